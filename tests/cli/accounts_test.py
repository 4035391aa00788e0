"""`user` and `key`: who may use a server that others reach, also while it runs."""
import json
import os
import unittest
import urllib.error
import urllib.parse
import urllib.request

from program import HANGS_AFTER, expect_error, micro, path, run, start
from terminal import Terminal

PASSWORD = b"correct horse\n"
ID = "0123456789abcdef0123456789abcdef"


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


class Accounts(unittest.TestCase):
    def setUp(self):
        self.data = path("data-" + self.id().rsplit(".", 1)[1])

    def smollm3(self, *arguments, **options):
        return run(*arguments, "--data", self.data, **options)

    def ok(self, *arguments, **options):
        result = self.smollm3(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def serve(self, *arguments):
        process = start("--model", micro(), "serve", "--port", "0", "--data", self.data, *arguments)
        self.addCleanup(self.stop, process)
        return process, process.stdout.readline().decode().split()[-1]

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=HANGS_AFTER)

    def ask(self, url, form=None, **headers):
        """The status, the headers and the text of an answer, as somebody from elsewhere gets it."""
        headers = {"X-Forwarded-For": "192.0.2.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(url, urllib.parse.urlencode(form).encode() if form else None, headers)
        try:
            with urllib.request.build_opener(NoRedirects).open(request, timeout=HANGS_AFTER) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def sign_in(self, url, name, password):
        status, headers, _ = self.ask(url + "/sign-in", {"name": name, "password": password})
        return status, (headers["Set-Cookie"] or "").split(";")[0]

    def test_users_are_added_listed_and_removed(self):
        result = self.smollm3("user", "add", "ann", input=PASSWORD)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b"ann can sign in\n"))
        self.ok("--quiet", "user", "add", "bob", input=b"another password")
        expect_error(self, self.smollm3("user", "add", "ann", input=PASSWORD), 1, "account 'ann'", "there is one of this name", "passwd ann")
        self.ok("key", "add", "--user", "ann")
        lines = self.ok("user", "list").splitlines()
        self.assertRegex(lines[0], r"\Aann +20\d\d-\d\d-\d\d  0 conversations, 1 key, 0 sign-ins\Z")
        accounts = json.loads(self.ok("user", "list", "--json"))["accounts"]
        self.assertEqual([one["name"] for one in accounts], ["ann", "bob"])
        self.assertEqual(list(accounts[0]), ["name", "created", "conversations", "keys", "sign_ins"])
        expect_error(self, self.smollm3("user", "remove", "ann"), 1, "0 conversations, 1 key and 0 sign-ins", "--yes")
        result = self.smollm3("user", "remove", "ann", "--yes")
        self.assertEqual((result.returncode, result.stderr), (0, b"ann was removed, with 0 conversations, 1 key and 0 sign-ins\n"))
        self.assertEqual(json.loads(self.ok("key", "list", "--json")), {"keys": []})
        for action in ("remove", "passwd"):
            expect_error(self, self.smollm3("user", action, "ann", "--yes"), 1, "account 'ann'", "there is none of this name")

    def test_names_and_passwords_that_are_none(self):
        for name in ("Ann", "a b", "a/b", "x" * 65):
            expect_error(self, self.smollm3("user", "add", name, input=PASSWORD), 1, "no name", "lower-case")
        expect_error(self, self.smollm3("user", "add", "local", input=PASSWORD), 1, "machine's own user")
        for password, words in ((b"", "too short"), (b"short\n", "too short"), (b"\xff" * 9, "UTF-8"), (b"x" * 2000, "too long")):
            expect_error(self, self.smollm3("user", "add", "ann", input=password), 1, "password", words)
        self.assertEqual(self.ok("user", "list"), "")

    def test_wrong_usage(self):
        for arguments, word in ((["user"], "ACTION"), (["user", "rename", "ann"], "rename"), (["user", "add"], "NAME"),
                                (["user", "list", "ann"], "ann"), (["key", "revoke"], "ID"), (["key", "add", "x"], "'x'")):
            expect_error(self, self.smollm3(*arguments), 2, word, "--help")

    def test_a_password_is_typed_twice_and_not_seen(self):
        terminal = Terminal("user", "add", "ann", "--data", self.data)
        terminal.expect("Password for ann: ")
        terminal.type("correct horse\n")
        terminal.expect("Once more: ")
        terminal.type("correct horse\n")
        terminal.expect("ann can sign in")
        self.assertEqual(terminal.wait(), 0)
        self.assertNotIn(b"horse", terminal.seen)
        _, url = self.serve()
        self.assertEqual(self.sign_in(url, "ann", "correct horse")[0], 303)

    def test_two_passwords_that_differ_and_an_interrupt_change_nothing(self):
        terminal = Terminal("user", "add", "ann", "--data", self.data)
        terminal.expect("Password for ann: ")
        terminal.type("correct horse\n")
        terminal.expect("Once more: ")
        terminal.type("correct house\n")
        terminal.expect("the two that were typed differ")
        self.assertEqual(terminal.wait(), 1)
        terminal = Terminal("user", "add", "ann", "--data", self.data)
        terminal.expect("Password for ann: ")
        terminal.type("correct\x03")
        self.assertEqual(terminal.wait(), 130)
        self.assertEqual(self.ok("user", "list"), "")

    def test_removing_asks(self):
        self.ok("user", "add", "ann", input=PASSWORD)
        for answer, left in (("\n", True), ("n\n", True), ("y\n", False)):
            terminal = Terminal("user", "remove", "ann", "--data", self.data)
            terminal.expect("0 conversations, 0 keys and 0 sign-ins")
            terminal.expect("[y/N] ")
            terminal.type(answer)
            self.assertEqual(terminal.wait(), 1 if left else 0)
            self.assertEqual("ann" in self.ok("user", "list"), left)

    def test_keys(self):
        expect_error(self, self.smollm3("key", "add", "--user", "ann"), 1, "account 'ann'", "there is none of this name")
        result = self.smollm3("key", "add", "--label", "laptop")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout.decode(), r"\Ask-smollm3-[0-9a-f]{76}\n\Z")
        self.assertRegex(result.stderr.decode(), r"\Akey [0-9a-f]{12} of account local, shown this once:\n\Z")
        self.ok("user", "add", "ann", input=PASSWORD)
        made = json.loads(self.ok("key", "add", "--user", "ann", "--json"))
        self.assertEqual(list(made), ["id", "account", "label", "key"])
        keys = json.loads(self.ok("key", "list", "--json"))["keys"]
        self.assertEqual([(key["account"], key["label"], key["used"]) for key in keys], [("local", "laptop", None), ("ann", "", None)])
        self.assertRegex(self.ok("key", "list", "--user", "local"), r"\A[0-9a-f]{12}  local +20\d\d-\d\d-\d\d  never used +laptop\n\Z")
        self.assertIn(made["id"], self.ok("key", "list", "--user", "ann"))
        database = os.path.join(self.data, "conversations.sqlite")
        with open(database, "rb") as file:
            self.assertNotIn(made["key"][23:].encode(), file.read(), "what is kept is a hash")
        self.ok("key", "revoke", made["id"])
        expect_error(self, self.smollm3("key", "revoke", made["id"]), 1, "there is none of this id", "key list")
        expect_error(self, self.smollm3("key", "list", "--user", "bob"), 1, "account 'bob'")
        expect_error(self, self.smollm3("key", "add", "--label", "x" * 101), 1, "label", "too long")

    def test_a_server_that_runs_knows_at_once(self):
        _, url = self.serve("--name", "chat.example")
        self.assertIn("smollm3 user add NAME", self.ask(url + "/sign-in")[2])
        self.assertEqual(self.ask(url + "/v1/models")[0], 401)
        self.ok("user", "add", "ann", input=PASSWORD)
        self.assertEqual(self.sign_in(url, "ann", "wrong horse"), (403, ""))
        status, cookie = self.sign_in(url, "ann", "correct horse")
        self.assertEqual(status, 303)
        self.assertEqual(self.ask(url + "/", Cookie=cookie)[0], 200)
        key = json.loads(self.ok("key", "add", "--user", "ann", "--json"))
        self.assertEqual(self.ask(url + "/v1/models", Authorization="Bearer " + key["key"])[0], 200)
        self.assertEqual(self.ask(url + "/v1/models", x_api_key=key["key"])[0], 200)
        self.assertIsNotNone(json.loads(self.ok("key", "list", "--json"))["keys"][0]["used"])
        self.ok("key", "revoke", key["id"])
        status, headers, body = self.ask(url + "/v1/models", x_api_key=key["key"])
        self.assertEqual((status, json.loads(body)["error"]["code"]), (401, "invalid_api_key"))
        result = self.smollm3("user", "passwd", "ann", input=b"battery staple\n")
        self.assertEqual(result.stderr, b"the password was changed, and 1 sign-in ended\n")
        self.assertEqual(self.ask(url + "/", Cookie=cookie)[0], 303)
        status, cookie = self.sign_in(url, "ann", "battery staple")
        self.assertEqual(self.ask(url + "/", Cookie=cookie)[0], 200)
        self.ok("user", "remove", "ann", "--yes")
        self.assertEqual(self.ask(url + "/", Cookie=cookie)[0], 303)

    def test_a_proxy_on_this_machine_says_who_is_behind_it(self):
        _, url = self.serve()
        with urllib.request.urlopen(url + "/v1/models", timeout=HANGS_AFTER) as response:  # of this machine itself
            self.assertEqual(response.status, 200)
        self.assertEqual(self.ask(url + "/v1/models", X_Forwarded_For="")[0], 401, "a proxy is one, whatever it says")
        for _ in range(1000):
            status, headers, _ = self.ask(url + "/v1/models", x_api_key="wrong", X_Forwarded_For="198.51.100.7, 192.0.2.1")
            if status == 429:
                break
        self.assertGreater(int(headers["Retry-After"]), 0)
        for other, expected in (("192.0.2.1", 429), ("192.0.2.2", 401), ("192.0.2.1, 192.0.2.3", 401), ("nonsense", 401)):
            self.assertEqual(self.ask(url + "/v1/models", x_api_key="wrong", X_Forwarded_For=other)[0], expected, other)

    def test_what_a_server_says_at_its_start(self):
        def said(*arguments):
            process = start("--model", micro(), "serve", "--port", "0", "--data", self.data, *arguments)
            process.stdout.readline()
            process.terminate()
            return process.communicate(timeout=HANGS_AFTER)[1].decode()

        hint = f"nobody can sign in yet; add an account: smollm3 user add NAME --data {self.data}\n"
        for arguments in (["--host", "0.0.0.0"], ["--name", "chat.example"]):
            self.assertIn(hint, said(*arguments))
        self.assertNotIn("sign in", said())
        text = said("--host", "0.0.0.0", "--insecure")
        self.assertRegex(text, r"(?m)^insecure: whoever reaches this server [^\n]+$")
        self.assertNotIn("sign in", text)
        self.ok("user", "add", "ann", input=PASSWORD)
        self.assertNotIn("sign in", said("--host", "0.0.0.0"))

    def test_an_insecure_server_asks_nobody(self):
        _, url = self.serve("--insecure", "--name", "chat.example")
        self.assertEqual(self.ask(url + "/")[0], 200)
        self.assertEqual(self.ask(url + "/v1/models")[0], 200)

    def test_conversations_are_exported_and_imported_for_an_account(self):
        file = path("one.json")
        with open(file, "w") as stream:
            json.dump([{"title": "Bread", "create_time": 1700000000, "current_node": "a", "conversation_id": ID, "mapping": {
                "q": {"parent": None, "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["How?"]}}},
                "a": {"parent": "q", "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["Flour"]}}}}}], stream)
        expect_error(self, self.smollm3("import", file, "--user", "ann"), 1, "account 'ann'", "there is none of this name")
        self.ok("user", "add", "ann", input=PASSWORD)
        self.assertEqual(self.ok("import", file, "--user", "ann"), "1 conversation imported\n")
        self.assertEqual(self.ok("export"), "")
        self.assertIn("# Bread", self.ok("export", "--user", "ann"))
        self.assertIn("Flour", self.ok("export", "--user", "ann", ID[:5]))
        expect_error(self, self.smollm3("export", "--user", "bob"), 1, "account 'bob'")
        # All of it moves with a backup: the password, keys and conversations.
        key = self.ok("--quiet", "key", "add", "--user", "ann").strip()
        self.ok("backup", path("accounts.backup"))
        self.data += "-other"
        self.ok("restore", path("accounts.backup"))
        _, url = self.serve()
        status, cookie = self.sign_in(url, "ann", "correct horse")
        self.assertEqual(status, 303)
        self.assertIn("Flour", self.ask(f"{url}/c/{ID}", Cookie=cookie)[2])
        self.assertEqual(self.ask(url + "/v1/models", x_api_key=key)[0], 200)


unittest.main()
