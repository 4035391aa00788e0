"""`export`, `import`, `backup` and `restore`: conversations in and out, also while a server runs on them."""
import json
import os
import sqlite3
import unittest
import urllib.parse
import urllib.request

from program import HANGS_AFTER, expect_error, micro, path, run, start

ID = "0123456789abcdef0123456789abcdef"


def write(name, content):
    with open(path(name), "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path(name)


def chatgpt(title, question, answer, **more):
    def node(parent, role, text):
        return {"parent": parent, "message": {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}}
    return {"title": title, "create_time": 1700000000, "current_node": "a",
            "mapping": {"q": node(None, "user", question), "a": node("q", "assistant", answer)}, **more}


class Sessions(unittest.TestCase):
    def setUp(self):
        self.data = path("data-" + self.id().rsplit(".", 1)[1])

    def ok(self, command, *arguments, data=None, input=b""):
        result = run(command, *arguments, "--data", data or self.data, input=input)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def counts(self, file, **options):
        return json.loads(self.ok("import", file, "--json", **options))

    def test_between_two_places(self):
        file = write("two.json", [chatgpt("Bread", "How?", "Flour"), chatgpt("Sea", "Tides?", "The moon", conversation_id=ID)])
        self.assertEqual(self.ok("import", file), "2 conversations imported\n")
        self.assertEqual(self.ok("import", file), "0 conversations imported, 2 conversations there already\n")
        exported = self.ok("export", "--format", "json")
        other = self.data + "-other"
        self.assertEqual(self.counts("-", data=other, input=exported.encode()), {"imported": 2, "known": 0, "empty": 0, "failed": 0})
        self.assertEqual(self.ok("export", "--format", "json", data=other), exported)
        self.assertEqual(json.loads(exported)["version"], 1)

    def test_markdown(self):
        self.ok("import", write("one.json", [chatgpt("Bread", "How?", "Flour", conversation_id=ID)]))
        text = "# Bread\n\n*2023-11-14 22:13 UTC*\n\n## User\n\nHow?\n\n## Assistant\n\nFlour\n"
        self.assertEqual(self.ok("export"), text)
        self.assertEqual(self.ok("export", ID[:5], ID), text + "\n---\n\n" + text)
        self.ok("export", "--out", path("out.md"))
        with open(path("out.md")) as file:
            self.assertEqual(file.read(), text)
        self.assertEqual(os.stat(path("out.md")).st_mode & 0o777, 0o600)

    def test_ids_that_are_none_or_several(self):
        self.ok("import", write("both.json", [chatgpt("A", "1", "2", conversation_id=ID), chatgpt("B", "3", "4", conversation_id=ID[:31] + "0")]))
        expect_error(self, run("export", "f0", "--data", self.data), 1, "none whose id begins with 'f0'")
        expect_error(self, run("export", ID[:31], "--data", self.data), 1, "2 have an id that begins with", "name more of it")

    def test_files_that_are_none(self):
        for name, content, words in (("cut.json", "[{", ["not JSON", "byte"]), ("other.json", [{"a": 1}], ["no conversations that this program knows"]),
                                     ("later.json", {"format": "smollm3-conversations", "version": 9, "conversations": []}, ["later version"]),
                                     ("deep.json", "[" * 100000, ["nested too deeply"])):
            result = run("import", write(name, content), "--data", self.data)
            expect_error(self, result, 1, name, *words)
            self.assertEqual(result.stdout, b"")
        expect_error(self, run("import", path("missing.json"), "--data", self.data), 1, "missing.json", "No such file")
        expect_error(self, run("import"), 2, "FILE")

    def test_what_is_wrong_with_some_spares_the_others(self):
        broken = chatgpt("Broken", "1", "2")
        broken["mapping"]["a"]["parent"] = "a"
        file = write("some.json", [broken, chatgpt("Good", "3", "4"), chatgpt("Empty", "", ""), {**broken, "title": "Too"}])
        result = run("import", file, "--data", self.data, "--json")
        expect_error(self, result, 1, "some.json: conversation 1 (Broken): message 'a' follows itself, and 1 more", "not doubled")
        self.assertEqual(json.loads(result.stdout), {"imported": 1, "known": 0, "empty": 1, "failed": 2})
        self.assertIn("# Good", self.ok("export"))

    def test_what_a_server_could_not_read_does_not_come_in(self):
        self.ok("import", write("good.json", [chatgpt("T", "1", "2", conversation_id=ID)]))
        exported = self.ok("export", "--format", "json")
        for what, instead in (('"finish":"stop"', '"finish":"halt"'), ('"think":false', '"think":7'), ('"ended":{', '"ended":[],"x":{')):
            result = run("import", write("bad.json", exported.replace(what, instead)), "--data", self.data + "-other")
            expect_error(self, result, 1, "conversation 1: message 2")

    def test_places_without_conversations(self):
        for command in (["export"], ["backup", path("no.backup")]):
            expect_error(self, run(*command, "--data", path("nowhere")), 1, "nowhere", "there are no conversations", "--data")
        self.assertFalse(os.path.exists(path("nowhere")))
        self.assertFalse(os.path.exists(path("no.backup")))

    def test_backup_and_restore(self):
        self.ok("import", write("a.json", [chatgpt("A", "1", "2"), chatgpt("B", "3", "4")]))
        before = self.ok("export", "--format", "json")
        backup = path("a.backup")
        result = run("backup", backup, "--data", self.data)
        self.assertEqual((result.returncode, result.stdout), (0, b""))
        self.assertRegex(result.stderr.decode(), r"\A\S+/a\.backup: 2 conversations, \d+(\.\d)? kB\n\Z")
        self.assertEqual([name for name in os.listdir(os.path.dirname(backup)) if "a.backup" in name], ["a.backup"])
        self.ok("import", write("c.json", [chatgpt("C", "5", "6")]))
        self.ok("restore", backup)
        self.assertEqual(self.ok("export", "--format", "json"), before)
        self.ok("restore", backup, data=self.data + "-other")
        self.assertEqual(self.ok("export", "--format", "json", data=self.data + "-other"), before)

    def test_what_is_no_backup_changes_nothing(self):
        self.ok("import", write("a.json", [chatgpt("A", "1", "2")]))
        before = self.ok("export")
        expect_error(self, run("restore", path("a.json"), "--data", self.data), 1, "a.json", "no backup of conversations")
        expect_error(self, run("restore", path("missing"), "--data", self.data), 1, "missing", "No such file")
        self.ok("backup", path("later.backup"))
        with sqlite3.connect(path("later.backup")) as database:
            database.execute("update schema set version = 99")
        database.close()
        expect_error(self, run("restore", path("later.backup"), "--data", self.data), 1, "later.backup", "later version")
        database = os.path.join(self.data, "conversations.sqlite")
        expect_error(self, run("restore", database, "--data", self.data), 1, "no backup of conversations")
        expect_error(self, run("backup", database, "--data", self.data), 1, "this is where the conversations are kept")
        expect_error(self, run("backup", path("no/such/folder"), "--data", self.data), 1, "no/such/folder")
        self.assertEqual(self.ok("export"), before)

    def test_beside_a_server(self):
        process = start("--model", micro(), "serve", "--port", "0", "--data", self.data)
        url = process.stdout.readline().decode().split()[-1]

        def page(where):
            with urllib.request.urlopen(url + where, timeout=HANGS_AFTER) as response:
                return response.read().decode()

        def say(conversation, text, after):
            body = urllib.parse.urlencode({"text": text, "after": str(after)}).encode()
            request = urllib.request.Request(f"{url}/c/{conversation}/messages", body, {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"})
            with urllib.request.urlopen(request, timeout=HANGS_AFTER) as response:
                return response.status

        self.ok("import", write("a.json", [chatgpt("Bread", "How?", "Of flour and water", conversation_id=ID)]))
        self.assertIn("Of flour and water", page("/c/" + ID))
        # It is gone on with, though the store has no tokens of it.
        self.assertEqual(say(ID, "More?", 2), 200)
        page(f"/c/{ID}/stream/4")
        self.assertIn("More?", self.ok("export", ID))
        self.ok("backup", path("served.backup"))
        other = "f" * 32
        self.assertEqual(say(other, "Gone with the restore", 0), 200)
        page(f"/c/{other}/stream/2")
        self.ok("restore", path("served.backup"))
        self.assertNotIn("Gone with the restore", self.ok("export"))
        self.assertIn("More?", page("/c/" + ID))
        self.assertEqual(say(ID, "Again?", 4), 200)
        page(f"/c/{ID}/stream/6")
        process.terminate()
        process.communicate(timeout=HANGS_AFTER)
        self.assertEqual(process.returncode, 0)


unittest.main()
