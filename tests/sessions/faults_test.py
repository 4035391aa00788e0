"""The disk is full, the folder may not be written, another program has locked the database, the clock was set back, and
two servers want one folder: whoever asks is told so, what is there is read on, answers under way reach their readers,
and what could not be stored is, once it can be."""
import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

from serving import (HANGS_AFTER, PROGRAM, Reader, Server, Site, check_store, environment, folder, new_folder, opened,
                     random_model, until)

PATIENCE = 3  # seconds that the program waits for a lock, src/store/session.cpp


def may_mount():
    return os.environ.get("SMOLLM3_MAY_MOUNT") == "1"


needs_mounts = unittest.skipUnless(may_mount(), "unshare -Urm is not allowed here")


def begin_where_mounting_is_allowed():
    """Goes on in a namespace of its own, if this system lets its users have one."""
    tried = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], stderr=subprocess.DEVNULL) \
        if shutil.which("unshare") else None
    if tried and tried.returncode == 0:
        shutil.rmtree(folder)
        os.execvpe("unshare", ["unshare", "-Urm", sys.executable, "-B", *sys.argv], {**os.environ, "SMOLLM3_MAY_MOUNT": "1"})


def mount(test, *arguments):
    """Until the test is over: the last of the arguments is where."""
    subprocess.run(["mount", *arguments], check=True)
    test.addCleanup(subprocess.run, ["umount", "--lazy", arguments[-1]], check=True)


class Disk:
    """A small one of its own, which can be full."""

    def __init__(self, test):
        self.folder = new_folder("disk")
        mount(test, "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.folder)
        self.filler = os.path.join(self.folder, "filler")

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1024))

    def free(self):
        os.unlink(self.filler)


@contextlib.contextmanager
def locked(data):
    """By another program, for writing."""
    other = sqlite3.connect(os.path.join(data, "conversations.sqlite"), timeout=30, isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.options = ["--model", random_model(layers=8), "--ctx", "2048"]

    def setUp(self):
        self.site = Site()
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if not server.over():
                server.kill()

    def serve(self, data):
        server = Server(self.site, self.options, data, ["--grace", "0"])
        self.servers.append(server)
        return server

    def ask(self, text="Why is that so?", conversation=None, after=0):
        conversation = conversation or secrets.token_hex(16)
        reply = self.site.send(conversation, text, after)
        self.assertEqual(reply.status, 200, reply.body)
        return conversation, Reader(self.site, conversation, after + 2)

    def words(self, reader):
        until("words", lambda: len(reader.received) > 5 or reader.over())
        self.assertFalse(reader.over(), reader.failure or reader.page.outcome)

    def finished(self):
        """A conversation with a short answer: the question nearly fills the context."""
        conversation, reader = self.ask("Why? " * 380)
        self.ends(reader)
        return conversation, reader

    def ends(self, reader):
        until("its end", reader.over)
        self.assertIsNone(reader.failure)
        self.assertRegex(reader.page.note(), "^The context is full")

    def condition(self, data, conversation):
        with opened(data) as database:
            return database.execute("select condition from messages where conversation = ? order by number desc limit 1",
                                    (conversation,)).fetchone()[0]

    def until_whole(self, data, conversation):
        until("it is stored", lambda: self.condition(data, conversation) == "whole")

    def shows(self, conversation, reader):
        """What is loaded is what came word by word."""
        loaded = self.site.get(f"/c/{conversation}")
        self.assertEqual(loaded.status, 200)
        fresh = Reader(self.site, conversation, 2)
        self.ends(fresh)
        self.assertEqual(fresh.page.shown(), reader.page.shown())

    def refuses(self, data, *words):
        """To start there, with one line."""
        result = subprocess.run([PROGRAM, *self.options, "serve", "--port", "0", "--data", data], env=environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=HANGS_AFTER)
        self.assertEqual((result.returncode, result.stdout), (1, b""), result.stderr)
        said = result.stderr.decode()
        self.assertRegex(said, r"\Asmollm3: [^\n:]+: [^\n]+; [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, said)

    def is_not_sent(self, reply, *words):
        self.assertEqual(reply.status, 503, reply.body)
        for word in words:
            self.assertIn(word, reply.notice())

    @needs_mounts
    def test_full_disk(self):
        disk = Disk(self)
        server = self.serve(disk.folder)
        older, seen = self.finished()
        self.until_whole(disk.folder, older)
        conversation, reader = self.ask()
        self.words(reader)
        disk.fill()
        self.ends(reader)
        self.is_not_sent(self.site.send(secrets.token_hex(16), "Another"), "the disk is full")
        self.is_not_sent(self.site.send(conversation, "And then?", after=2), "the disk is full")
        self.is_not_sent(self.site.post(f"/c/{older}/rename", **{f"title-{older}": "New"}), "the disk is full")
        self.assertEqual(self.site.get("/").status, 200)
        self.shows(older, seen)
        self.shows(conversation, reader)
        self.assertEqual(self.condition(disk.folder, conversation), "open")
        check_store(self.copy(disk.folder))
        disk.free()
        self.until_whole(disk.folder, conversation)
        self.shows(conversation, reader)
        until("it says so", lambda: "answers are stored again; nothing was lost" in server.said())
        self.assertEqual(len(re.findall(r"error [^\n]*the disk is full[^\n]*stored once it can be done", server.said())), 1)
        self.ends(self.ask("Now?")[1])
        server.stop()
        check_store(disk.folder)

    @needs_mounts
    def test_start_on_a_full_disk(self):
        for end in (Server.kill, Server.stop):
            with self.subTest(end=end.__name__):
                disk = Disk(self)
                server = self.serve(disk.folder)
                conversation, reader = self.ask()
                self.words(reader)
                disk.fill()
                end(server)
                server = self.serve(disk.folder)
                until("it says so", lambda: "the disk is full" in server.said())
                loaded = self.site.get(f"/c/{conversation}")
                self.assertEqual(loaded.status, 200)
                self.assertNotIn("Interrupted", loaded.body)
                self.is_not_sent(self.site.send(secrets.token_hex(16), "Another"), "the disk is full")
                self.is_not_sent(self.site.post(f"/c/{conversation}/stop"), "just started")
                self.assertFalse(reader.over())
                disk.free()
                self.ends(reader)
                self.until_whole(disk.folder, conversation)
                self.shows(conversation, reader)
                server.stop()
                check_store(disk.folder)

    @needs_mounts
    def test_new_folder_on_a_full_disk(self):
        disk = Disk(self)
        disk.fill()
        self.refuses(disk.folder, disk.folder, "the disk is full")

    @needs_mounts
    def test_folder_that_may_not_be_written(self):
        data, empty = new_folder("data"), new_folder("empty")
        server = self.serve(data)
        conversation, _ = self.finished()
        server.stop()
        for place in (data, empty):
            mount(self, "--bind", place, place)
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
            self.refuses(place, place, "--data")
        self.refuses(os.path.join(empty, "within"), os.path.join(empty, "within"), "--data")
        subprocess.run(["mount", "-o", "remount,bind,rw", data], check=True)
        self.serve(data).stop()
        self.assertEqual(self.condition(data, conversation), "whole")

    def test_no_database(self):
        data = new_folder("data")
        with open(os.path.join(data, "conversations.sqlite"), "wb") as file:
            file.write(b"What somebody else has put here. " * 1000)
        self.refuses(data, data, "it is damaged")
        self.refuses("/dev/null", "/dev/null", "--data")

    def test_locked_database(self):
        data = new_folder("data")
        server = self.serve(data)
        older, seen = self.finished()
        self.until_whole(data, older)
        conversation, reader = self.ask()
        self.words(reader)
        with locked(data):
            began = time.monotonic()
            self.is_not_sent(self.site.send(secrets.token_hex(16), "Another"), "another program has locked it")
            self.assertGreater(time.monotonic() - began, PATIENCE - 1)
            self.ends(reader)
            self.shows(older, seen)
            self.shows(conversation, reader)
            self.assertEqual(self.condition(data, conversation), "open")
        self.until_whole(data, conversation)
        self.shows(conversation, reader)
        self.assertIn("another program has locked it", server.said())
        self.ends(self.ask("Now?")[1])
        server.stop()
        check_store(data)

    def test_start_on_a_locked_database(self):
        data = new_folder("data")
        server = self.serve(data)
        conversation, reader = self.ask()
        self.words(reader)
        server.kill()
        with locked(data):
            self.refuses(data, data, "another program has locked it")
        # One that is locked only for a while is waited for.
        with locked(data):
            starting = threading.Thread(target=self.serve, args=(data,))
            starting.start()
            time.sleep(PATIENCE / 3)
            self.assertTrue(starting.is_alive())
        starting.join()
        self.ends(reader)
        self.until_whole(data, conversation)

    def test_clock_that_was_set_back(self):
        data = new_folder("data")
        server = self.serve(data)
        older, seen = self.finished()
        self.until_whole(data, older)
        conversation, reader = self.ask()
        self.words(reader)
        server.kill()
        year = 365 * 24 * 3600 * 1000
        with opened(data, changes=True) as database:
            database.execute("update conversations set created = created + ?, changed = changed + ?", (year, year))
            database.execute("update messages set created = created + ?", (year,))
        server = self.serve(data)
        self.ends(reader)
        self.until_whole(data, conversation)
        self.shows(older, seen)
        newer, read = self.ask("What is new?")
        self.ends(read)
        listed = self.site.get("/").body
        for one in (older, conversation, newer):
            self.assertIn(f"/c/{one}", listed)
        self.assertEqual(self.site.post(f"/c/{older}/remove").status, 200)
        self.assertEqual(self.site.get(f"/c/{older}").status, 404)
        self.assertEqual(self.site.post(f"/c/{older}/restore").status, 200)
        self.shows(older, seen)
        server.stop()
        check_store(data)

    def test_second_server(self):
        data = new_folder("data")
        server = self.serve(data)
        conversation, reader = self.ask()
        self.words(reader)
        self.refuses(data, data, "another server or chat keeps its conversations there")
        self.ends(reader)
        self.until_whole(data, conversation)
        server.kill()  # after which the folder is free
        self.serve(data).stop()

    def copy(self, data):
        copy = new_folder("copy")
        for name in ("conversations.sqlite", "conversations.sqlite-wal"):
            shutil.copy(os.path.join(data, name), copy)
        return copy


if not may_mount():
    begin_where_mounting_is_allowed()
    print("skipped: the tests of full disks, and of folders that may not be written; unshare -Urm is not allowed here")
unittest.main()
