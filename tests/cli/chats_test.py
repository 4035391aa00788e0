"""Conversations that `chat` keeps: found again, gone on with after a kill, and shared with a server that runs."""
import fcntl
import json
import os
import stat
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

from program import HANGS_AFTER, PROGRAM, endless, environment, expect_error, micro, path, run, start

ID = "0123456789abcdef0123456789abcdef"


class Chats(unittest.TestCase):
    def setUp(self):
        self.data = path("chats-" + self.id().rsplit(".", 1)[1])

    def arguments(self, *options, model=None, data=None):
        return ("--model", model or micro(), "--quiet", "chat", "--no-think", "--seed", "5", "--data", data or self.data, *options)

    def chat(self, text, *options, **places):
        result = run(*self.arguments("--max-tokens", "6", *options, **places), input=text.encode())
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode("utf-8", "replace")

    def start(self, *options, **places):
        process = start(*self.arguments(*options, **places), stdin=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def export(self, data=None):
        result = run("export", "--format", "json", "--data", data or self.data)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["conversations"]

    def messages(self, data=None):
        """What was said and asked for in the only conversation, whenever that was and however long it took."""
        (conversation,) = self.export(data)
        return [{name: value for name, value in message.items() if name in ("text", "thinking", "role", "prompt", "tokens", "settings", "epoch")}
                for message in conversation["messages"]]

    def test_conversations_are_found_again(self):
        self.chat("Hi\nAnd you?\n")
        self.chat("Bread\n")
        listed = self.chat("/list\n").splitlines()
        self.assertRegex(listed[0], r"\A  1  \d{4}-\d\d-\d\d \d\d:\d\d  [0-9a-f]{8}  Bread\Z")
        self.assertRegex(listed[1], r"\A  2  .*  Hi\Z")
        first = self.chat("/open 2\n")
        self.assertRegex(first, r"\A> Hi\n(?s:.*)\n> And you\?\n")
        self.assertEqual(self.chat(f"/open {listed[1].split()[3]}\n"), first)
        marked = self.chat("/open 2\n/list\n/new\n/list\n").splitlines()
        self.assertIn("  2* ", "\n".join(marked))
        self.assertEqual(sum("2*" in line for line in marked), 1)

    def test_going_on_is_the_same_as_never_having_left(self):
        whole = self.chat("Hi\nAnd you?\n", data=self.data + "-whole")
        self.assertEqual(self.chat("Hi\n") + self.chat("And you?\n", "--continue"), whole)
        self.assertEqual(self.messages(), self.messages(self.data + "-whole"))

    def test_a_system_prompt_stays_with_its_conversation(self):
        self.chat("Hi\n", "--system", "Be brief.")
        self.chat("And you?\n", "--continue")
        (conversation,) = self.export()
        self.assertEqual([message["asked"].get("system") for message in conversation["messages"] if "asked" in message], ["Be brief."] * 2)
        self.chat("Hi\n")
        self.assertNotIn("system", self.export()[0]["messages"][1]["asked"])

    def test_killed_in_the_middle_of_an_answer(self):
        limits = ("--max-tokens", "3000")
        whole = run(*self.arguments(*limits, model=endless(), data=self.data + "-whole"), input=b"Talk on\n")
        process = self.start(*limits, model=endless())
        process.stdin.write(b"Talk on\n")
        process.stdin.flush()
        self.assertTrue(process.stdout.read1(1))
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.data, "socket")).st_mode), 0o600)
        process.kill()
        process.wait()
        self.assertTrue(os.path.exists(os.path.join(self.data, "socket")))  # which nobody listens at
        again = run(*self.arguments(*limits, "--continue", model=endless()))
        self.assertEqual((again.returncode, again.stderr), (0, b""))
        # Nothing: it was over when it was killed. Zeros are stored as another character.
        self.assertIn(again.stdout.replace(b"\0", b"\xef\xbf\xbd"), (whole.stdout.replace(b"\0", b"\xef\xbf\xbd"), b""))
        self.assertEqual(self.messages(), self.messages(self.data + "-whole"))
        self.assertFalse(os.path.exists(os.path.join(self.data, "socket")))

    def serve(self, *options):
        process = start("--model", endless(), "serve", "--port", "0", "--data", self.data, *options)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().decode().split()[-1]

    def post(self, url, text, after=0):
        form = urllib.parse.urlencode({"text": text, "after": after}).encode()
        with urllib.request.urlopen(f"{url}/c/{ID}/messages", form, timeout=HANGS_AFTER) as response:
            self.assertEqual(response.status, 200)

    def stop(self, url, number):
        with urllib.request.urlopen(f"{url}/c/{ID}/stop", b"", timeout=HANGS_AFTER):
            pass
        with urllib.request.urlopen(f"{url}/c/{ID}/stream/{number}", timeout=HANGS_AFTER) as response:
            response.read()

    def test_with_a_server_that_runs(self):
        _, url = self.serve("--ctx", "512")
        self.post(url, "From the page")
        result = run("--model", endless(), "--ctx", "64", "chat", "--data", self.data, "--max-tokens", "6", input=f"/list\n/open {ID[:6]}\n/new\nFrom the terminal\n".encode())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr.decode(), r"\Amodel: SmolLM3 micro random, of the server that has these conversations, with its own --ctx\n\Z")
        listed, shown = result.stdout.decode("utf-8", "replace").split("> From the page\n")
        self.assertRegex(listed, r"\A  1  .* 01234567  From the page\n\Z")
        while any("interrupted" in message for conversation in self.export() for message in conversation["messages"]):
            pass  # the server stores an end a moment after it was told of
        page, terminal = sorted(self.export(), key=lambda conversation: conversation["id"] != ID)
        self.assertEqual(page["messages"][1]["ended"]["finish"], "length")  # it was followed to its end
        self.assertIn(page["messages"][1]["text"].strip(), shown.replace("\0", "\ufffd"))  # as it is stored
        with urllib.request.urlopen(f"{url}/c/{terminal['id']}", timeout=HANGS_AFTER) as response:
            self.assertIn("From the terminal", response.read().decode())
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/local/conversations", timeout=HANGS_AFTER)
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()

    def test_what_went_on_elsewhere_is_shown(self):
        _, url = self.serve()
        self.post(url, "One")
        process = self.start("--max-tokens", "6", model=endless())
        process.stdin.write(b"/open 1\n")
        process.stdin.flush()
        shown = process.stdout.read1(1)  # by now it has what was said until here
        self.stop(url, 2)
        self.post(url, "Two", after=2)
        self.stop(url, 4)
        out, err = process.communicate(b"Three\n", timeout=HANGS_AFTER)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(err.decode(), r"\Asmollm3: chat: this conversation went on elsewhere[^\n]*not sent[^\n]*\n\Z")
        self.assertIn(b"> Two\n", shown + out)
        self.assertEqual([message["text"] for message in self.export()[0]["messages"] if message["role"] == "user"], ["One", "Two"])

    def test_a_server_with_another_model(self):
        self.serve()
        result = run(*self.arguments(), input=b"Hi\n")
        expect_error(self, result, 1, "micro.gguf", "answers with another model, SmolLM3 micro random", "--model")
        self.assertEqual(result.stdout, b"")
        result = run("chat", "--data", self.data, "--max-tokens", "2", input=b"Hi\n")  # none was asked for by name
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"model: SmolLM3 micro random, of the server", result.stderr)

    def test_a_server_that_ends_in_the_middle_of_an_answer(self):
        first = self.start(model=endless())
        first.stdin.write(b"/list\nHi\n")
        first.stdin.flush()
        self.assertTrue(first.stdout.read1(1))
        second = self.start("--max-tokens", "3000", model=endless())
        second.stdin.write(b"Talk on\n")
        second.stdin.flush()
        self.assertTrue(second.stdout.read1(1))
        first.kill()
        _, err = second.communicate(timeout=HANGS_AFTER)
        if second.returncode != 0:  # else it was over
            self.assertEqual(second.returncode, 1)
            self.assertEqual(err, b"smollm3: chat: the server has ended; what it wrote is kept, and smollm3 chat --continue goes on with it\n")
        run(*self.arguments("--max-tokens", "1", "--continue", model=endless())).check_returncode()
        ended = {conversation["title"]: conversation["messages"][1]["ended"]["usage"]["generated_tokens"] for conversation in self.export() if "ended" in conversation["messages"][1]}
        self.assertEqual(ended["Talk on"], 3000)

    def test_temporary_leaves_nothing(self):
        home, temporary = path("temporary-home"), path("temporary-files")
        os.mkdir(home)
        os.mkdir(temporary)
        env = environment(HOME=home, TMPDIR=temporary)
        result = run("--model", micro(), "chat", "--temporary", "--max-tokens", "6", "--seed", "5", input=b"Hi\n/list\n/open 1\n", env=env)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"  1* ", result.stdout)
        self.assertIn(b"> Hi\n", result.stdout)
        process = subprocess.Popen([PROGRAM, "--model", endless(), "chat", "--temporary"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(b"Hi\n")
        process.stdin.flush()
        self.assertTrue(process.stdout.read1(1))
        process.kill()
        process.communicate()
        self.assertEqual([files for _, _, files in os.walk(home) if files] + os.listdir(temporary), [])

    def test_conversations_of_somebody_who_does_not_answer(self):
        self.chat("Hi\n")
        with open(os.path.join(self.data, "lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = run(*self.arguments(), input=b"Hi\n")
        expect_error(self, result, 1, self.data, "another server or chat keeps its conversations there, and does not answer", "--temporary")

    def test_places_that_are_none(self):
        result = run(*self.arguments(data=micro() + "/below"), input=b"Hi\n")
        expect_error(self, result, 1, "/below", "cannot be made", "--data")
        expect_error(self, run(*self.arguments("--continue"), input=b"Hi\n"), 1, "--continue", "no conversation yet")

    def test_long_paths(self):
        self.chat("Hi\n", data=os.path.join(self.data, "x" * 120))
        process = self.start(data=os.path.join(self.data, "x" * 120))
        process.stdin.write(b"Bread\n")
        process.stdin.flush()
        self.assertTrue(process.stdout.read1(1))
        self.assertIn("Bread", self.chat("/list\n", data=os.path.join(self.data, "x" * 120)))

    def test_which_conversation_is_meant(self):
        self.chat("Hi\n")
        for line, words in (("/open 7777777", "number or id '7777777'"), ("/open zz", "number or id 'zz'"), ("/open", "lacks")):
            expect_error(self, run(*self.arguments(), input=line.encode()), 1, words, "/list")

    def test_options_that_do_not_go_together(self):
        for options in (["--temporary", "--data", "x"], ["--temporary", "--continue"], ["--continue", "--system", "x"]):
            expect_error(self, run("chat", *options), 2, options[0])


unittest.main()
