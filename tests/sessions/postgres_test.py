"""PostgreSQL is killed while answers are written: they reach their readers, what is asked meanwhile is refused with the
reason, and all is stored once the database is back. And a server that is killed goes on with its answers there."""
import pathlib
import secrets
import subprocess
import sys
import unittest

from serving import Reader, Server, Site, check_store, random_model, until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from postgres import Postgres, find_tools  # noqa: E402

AT_ONCE = 4

TOOLS = find_tools()
if TOOLS is None:
    print("skipped: PostgreSQL is not installed")
    sys.exit(77)


class PostgreSql(unittest.TestCase):
    def setUp(self):
        self.postgres = self.enterContext(Postgres(TOOLS))
        self.data = self.postgres.create("conversations")
        self.site = Site()
        self.server = self.serve()
        self.addCleanup(lambda: self.server.over() or self.server.kill())

    def serve(self):
        return Server(self.site, ["--model", random_model(layers=8), "--ctx", "2048"], self.data, ["--grace", "0"])

    def ask(self):
        """Answers that are being written, by their conversations."""
        readers = {}
        for _ in range(AT_ONCE):
            conversation = secrets.token_hex(16)
            reply = self.site.send(conversation, "Why is that so?")
            self.assertEqual(reply.status, 200, reply.body)
            readers[conversation] = Reader(self.site, conversation, 2)
        for reader in readers.values():
            until("words", lambda reader=reader: len(reader.received) > 5 or reader.over())
            self.assertFalse(reader.over(), reader.failure or reader.page.outcome)
        return readers

    def conditions(self):
        rows = subprocess.run([TOOLS / "psql", "-h", self.postgres.folder, "-At", "conversations", "-c",
                               "select conversation, condition from messages where role = 'assistant'"],
                              check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return dict(row.split("|") for row in rows)

    def are_kept(self, readers):
        """To the end, as they were shown."""
        for reader in readers.values():
            until("its end", reader.over)
            self.assertIsNone(reader.failure)
            self.assertRegex(reader.page.note(), "^The context is full")
        until("all are stored", lambda: all(self.conditions()[one] == "whole" for one in readers))
        for conversation, reader in readers.items():
            fresh = Reader(self.site, conversation, 2)
            until("its end", fresh.over)
            self.assertEqual(fresh.page.shown(), reader.page.shown())

    def test_killed_database(self):
        readers = self.ask()
        self.postgres.kill()
        reply = self.site.send(secrets.token_hex(16), "Another")
        self.assertEqual(reply.status, 503, reply.body + self.server.said())
        self.assertIn("the database does not answer", reply.notice())
        for reader in readers.values():
            until("its end", reader.over)
        self.postgres.start()
        self.are_kept(readers)
        until("it says so", lambda: "answers are stored again; nothing was lost" in self.server.said())
        self.are_kept(self.ask())
        self.server.stop()
        check_store(self.data)

    def test_killed_server(self):
        readers = self.ask()
        self.server.kill()
        self.server = self.serve()
        self.are_kept(readers)
        self.server.stop()
        check_store(self.data)


unittest.main()
