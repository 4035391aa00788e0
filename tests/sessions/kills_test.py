"""Servers are killed at random instants, and what they were writing goes on: nothing that was shown a second before is
lost, no page is shown anything twice, and every answer ends byte for byte as one of a server that nobody killed.

SMOLLM3_KILLS says how many, SMOLLM3_SEED what happens when (as far as the machine is as fast).
"""
import collections
import json
import os
import random
import shutil
import sqlite3
import threading
import time
import unittest

from serving import GONE, SANITIZED, Reader, Server, Site, check_store, new_folder, opened, random_model, until

KILLS = int(os.environ.get("SMOLLM3_KILLS", "20"))
SEED = int(os.environ.get("SMOLLM3_SEED", str(random.SystemRandom().randrange(1 << 32))))
CONTEXT = 2048
AT_ONCE = 4  # answers under way
# Seconds after which what was shown is in the store. One is promised; a machine that does much else, or a program that is
# slowed by sanitizers, is given more where it is not the time that is tested.
LATE = float(os.environ.get("SMOLLM3_LATE", "5" if SANITIZED else "3"))

Snapshot = collections.namedtuple("Snapshot", "conversation messages answers")


class Answer:
    """An answer that is under way, as its reader knows it."""

    def __init__(self, site, conversation, number, rng):
        self.site, self.id, self.number = site, conversation, number
        self.snapshot = None      # what was stored of it when it was asked
        self.paused = False       # in the store
        self.pause_asked = None   # when the server said that it is
        # Some are stopped when so many events have come, and asked something else; some paused.
        fate = rng.random()
        self.stop_at = rng.randrange(5, 300) if fate < 0.15 else None
        self.pause_at = rng.randrange(5, 300) if 0.15 <= fate < 0.3 else None
        self.told = False  # the actor has seen that it is over
        self.follow()

    def key(self):
        return self.id, self.number

    def follow(self):
        self.reader = Reader(self.site, self.id, self.number)

    def last_event(self):
        return int(self.reader.page.last_id.partition(".")[2] or 0)


class Actor(threading.Thread):
    """The people who use one server, until it is killed."""

    def __init__(self, test, most, all_go_on=False):
        super().__init__(daemon=True)
        self.test, self.most, self.all_go_on = test, most, all_go_on
        self.killed = False  # or soon to be
        self.failure = None
        self.start()

    def run(self):
        try:
            for answer in self.test.answers:
                if answer.paused and (self.all_go_on or self.test.rng.random() < 0.5):
                    answer.pause_asked = None
                    self.act(answer, "resume")
            while not self.killed:
                self.look()
                time.sleep(0.01)
        except GONE as failure:
            if not self.killed:
                self.failure = failure
        except Exception as failure:
            self.failure = failure

    def look(self):
        test = self.test
        for answer in list(test.answers):
            event = answer.last_event()
            if answer.reader.over():
                self.end(answer)
            elif answer.stop_at and event >= answer.stop_at:
                self.act(answer, "stop")
            elif answer.pause_at and event >= answer.pause_at:
                answer.pause_at = None
                self.act(answer, "pause")
                answer.pause_asked = time.monotonic()
        if sum(not answer.told for answer in test.answers) < self.most:
            # Some take so long to be read that servers are killed meanwhile.
            length = 1500 if self.most > AT_ONCE else test.rng.choice((10, 50, 500, 1500))
            test.ask(test.rng.randbytes(16).hex(), "".join(test.rng.choices("abc defgh ij", k=length)) + "?")

    def act(self, answer, action):
        status = self.test.site.post(f"/c/{answer.id}/{action}").status
        if status != 204:
            raise AssertionError(f"{action}: {status}")

    def end(self, answer):
        if answer.told:
            return
        if answer.reader.failure:
            raise answer.reader.failure
        note = answer.reader.page.note()
        if note == "Interrupted.":
            if answer.key() not in self.test.may_be_interrupted:
                raise AssertionError(f"{answer.key()} was interrupted, and should have gone on")
            self.act(answer, "continue")
            answer.follow()
            self.test.counts["continued"] += 1
            return
        answer.told = True
        if note == "Stopped." and answer.stop_at:
            self.test.ask(answer.id, "And then?", answer.number)
        elif not note.startswith("The context is full"):
            raise AssertionError(f"{answer.key()} ended: {answer.reader.page.outcome}")


class Kills(unittest.TestCase):
    def setUp(self):
        print(f"SMOLLM3_SEED={SEED}", flush=True)
        self.rng = random.Random(SEED)
        self.arguments = ["--model", random_model(layers=8), "--ctx", str(CONTEXT)]
        self.data = new_folder("data")
        self.site = Site()
        self.answers = []
        self.unsure = []  # questions whose server was killed before it said that it has them
        self.may_be_interrupted = set()
        self.counts = collections.Counter()

    def ask(self, conversation, text, after=0):
        self.unsure.append((conversation, after + 2))
        reply = self.site.send(conversation, text, after, think=self.rng.random() < 0.5)
        if reply.status != 200:
            raise AssertionError(f"{reply.status}: {reply.body}")
        self.unsure.pop()
        with opened(self.data) as database:
            self.adopt(database, conversation, after + 2)

    def adopt(self, database, conversation, number):
        """`database`: as it is before anything follows the question."""
        answer = Answer(self.site, conversation, number, self.rng)
        answer.snapshot = snapshot_of(database, conversation)
        self.answers.append(answer)

    def test_kills(self):
        server = Server(self.site, self.arguments, self.data)
        for kill in range(KILLS):
            how = self.rng.choice(("at once", "with a question", "soon", "soon", "late"))
            under_way = sum(not answer.told for answer in self.answers)
            actor = Actor(self, most=max(AT_ONCE, under_way + (how == "with a question")))
            self.wait_for_the_time_to_kill(server, how)
            at = time.monotonic()
            actor.killed = True
            server.kill()
            actor.join()
            if actor.failure:
                raise AssertionError(f"before kill {kill}; the server said:\n{server.said()}") from actor.failure
            self.check(at)
            server = Server(self.site, self.arguments, self.data)
        self.finish(server)
        self.assertGreaterEqual(self.counts["unfinished"], 2 * KILLS)
        self.assertGreaterEqual(self.counts["while reading"], KILLS // 4)
        self.assertGreaterEqual(self.counts["while writing"], KILLS // 2)
        self.compare_with_one_that_was_never_killed()
        print(dict(self.counts), flush=True)

    def wait_for_the_time_to_kill(self, server, how):
        def under_way():
            return sum(not answer.told for answer in self.answers)
        if how == "with a question":  # while it is stored, or its prompt is read
            before = len(self.answers) + len(self.unsure)
            until("a question", lambda: len(self.answers) + len(self.unsure) > before or server.over())
            time.sleep(self.rng.uniform(0, 0.2))
        elif how == "at once":  # while what the server before has left is taken up
            time.sleep(self.rng.uniform(0, 0.1))
        elif how == "soon":
            time.sleep(self.rng.uniform(0.1, 0.8))
        else:  # when there is something that has to be recorded by then
            time.sleep(self.rng.uniform(LATE, LATE + 1))
        until("two answers under way", lambda: under_way() >= 2 or server.over())

    def check(self, at):
        """What a server that was killed has left."""
        left = new_folder("left")
        for name in os.listdir(self.data):
            if name.startswith("conversations.sqlite") and not name.endswith("-shm"):
                shutil.copy(os.path.join(self.data, name), left)
        check_store(left)
        with opened(left) as database:
            kept = {(row["conversation"], row["number"]): row for row in database.execute(
                "select m.conversation, m.number, m.condition, a.vain_resumes, coalesce(max(g.last_event), 0) as last_event "
                "from messages m join answers a on a.conversation = m.conversation and a.number = m.number "
                "left join gains g on g.conversation = m.conversation and g.number = m.number "
                "where m.role = 'assistant' group by m.conversation, m.number")}
            for key in self.unsure:
                if key in kept:
                    self.adopt(database, *key)
                    self.counts["questions that were kept without a word"] += 1
            self.unsure.clear()
            for answer in self.answers:
                self.assertIn(answer.key(), kept, "a question that was answered with 200 is lost")
                self.check_answer(answer, kept[answer.key()], at)
        unfinished = [row for row in kept.values() if row["condition"] != "whole"]
        self.assertGreaterEqual(len(unfinished), 2)
        self.counts["unfinished"] += len(unfinished)
        self.may_be_interrupted = {key for key, row in kept.items()
                                   if row["condition"] == "interrupted" or row["vain_resumes"] >= 2}
        shutil.rmtree(left)

    def check_answer(self, answer, row, at):
        reader = answer.reader
        if row["condition"] == "open":
            self.counts["while writing" if reader.received else "while reading" if reader.connections else "before"] += 1
        shown = [number for when, number in reader.received if when < at - LATE]
        if shown and row["condition"] != "whole":
            self.counts["with something recorded"] += 1
            self.assertGreaterEqual(row["last_event"], max(shown), f"{answer.key()}: what was shown is lost")
        if answer.pause_asked and answer.pause_asked < at - LATE:
            self.assertEqual(row["condition"], "paused", answer.key())
        answer.paused = row["condition"] == "paused"
        if not answer.paused:
            answer.pause_asked = None
        if row["condition"] != "whole" and reader.over():
            # The page was told of an end, or of an interruption, and the server killed before it was stored, or before
            # the page could say that the answer is to go on: it is loaded again.
            answer.told = False
            answer.follow()
        answer.reader.begin_anew()

    def finish(self, server):
        for answer in self.answers:
            answer.stop_at = answer.pause_at = None
        actor = Actor(self, most=0, all_go_on=True)
        until("all answers are over", lambda: actor.failure or all(answer.told for answer in self.answers))
        actor.killed = True
        actor.join()
        if actor.failure:
            raise actor.failure
        for answer in self.answers:
            fresh = Reader(self.site, answer.id, answer.number)
            fresh.thread.join()
            self.assertEqual(answer.reader.page.shown(), fresh.page.shown(), answer.key())
        server.stop()
        check_store(self.data)

    def compare_with_one_that_was_never_killed(self):
        """All questions as they were stored when they were asked, each in a conversation of its own, for one server."""
        data = new_folder("reference")
        with opened(self.data) as original, sqlite3.connect(os.path.join(data, "conversations.sqlite")) as copy:
            original.backup(copy)
        copy.close()
        copies = {answer.key(): self.rng.randbytes(16).hex() for answer in self.answers}
        with opened(data, changes=True) as database:
            database.execute("delete from conversations")
            for answer in self.answers:
                insert(database, answer, copies[answer.key()])
        server = Server(self.site, self.arguments, data)
        readers = {answer.key(): Reader(self.site, copies[answer.key()], answer.number) for answer in self.answers}
        until("all answers are over", lambda: all(reader.over() for reader in readers.values()))
        server.stop()
        with opened(self.data) as ours, opened(data) as theirs:
            for answer in self.answers:
                with self.subTest(answer=answer.key()):
                    reader = readers[answer.key()]
                    self.assertIsNone(reader.failure)
                    was_stopped = self.compare(result_of(ours, *answer.key()),
                                               result_of(theirs, copies[answer.key()], answer.number))
                    if not was_stopped:
                        self.assertEqual(answer.reader.page.shown(), reader.page.shown())

    def compare(self, result, reference):
        self.assertEqual(result["condition"], "whole")
        self.assertEqual(reference["condition"], "whole")
        ended, expected = json.loads(result["ended"]), json.loads(reference["ended"])
        self.assertEqual(expected["finish"], "length")
        if ended["finish"] == "cancelled":
            self.counts["stopped"] += 1
            self.assertTrue(reference["tokens"].startswith(result["tokens"]))
            return True
        for name in ("tokens", "thinking", "text"):
            self.assertEqual(result[name], reference[name], name)
        self.assertEqual(ended["finish"], expected["finish"])
        for name in ("prompt_tokens", "generated_tokens", "thinking_tokens"):
            self.assertEqual(ended["usage"][name], expected["usage"][name], name)
        return False


def snapshot_of(database, conversation):
    def rows(table, column):
        return [dict(row) for row in database.execute(f"select * from {table} where {column} = ?", (conversation,))]
    return Snapshot(rows("conversations", "id"), rows("messages", "conversation"), rows("answers", "conversation"))


def insert(database, answer, conversation):
    """The snapshot, with the answer as it was before its first token."""
    for table, column, rows in zip(("conversations", "messages", "answers"), ("id", "conversation", "conversation"), answer.snapshot):
        for row in rows:
            row = {**row, column: conversation}
            if table == "messages":
                del row["id"]  # the database gives another
            if row.get("number") == answer.number:
                row.update({name: value for name, value in
                            {"condition": "open", "tokens": "", "vain_resumes": 0, "epoch": 0}.items() if name in row})
            database.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values()))


def result_of(database, conversation, number):
    return database.execute("select m.condition, m.thinking, m.text, m.ended, a.tokens from messages m join answers a on "
                            "a.conversation = m.conversation and a.number = m.number where m.conversation = ? and m.number = ?",
                            (conversation, number)).fetchone()


unittest.main()
