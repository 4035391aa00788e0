"""`chat` and `run` as a person at a terminal meets them."""
import json
import os
import stat
import unittest
import urllib.request

from program import HANGS_AFTER, endless, environment, folder, micro, path, run, start
from terminal import Terminal



def chat(*options, model=None, **env):
    env.setdefault("XDG_STATE_HOME", path("state"))
    return Terminal("--model", model or micro(), "chat", "--no-think", *options, env=environment(**env))


class Chat(unittest.TestCase):
    def test_a_conversation(self):
        terminal = chat("--max-tokens", "6")
        terminal.expect("SmolLM3 micro random")
        terminal.expect("> ")
        terminal.type("Hello\r")
        terminal.expect("6 tokens")
        terminal.expect("prompt")
        terminal.expect("> ")
        terminal.type("/exit\r")
        self.assertEqual(terminal.wait(), 0)

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        terminal = chat(model=endless())
        terminal.expect("> ")
        terminal.type("Talk on and on\r")
        terminal.expect("\r\n")
        terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("stopped")
        terminal.expect("> ")
        terminal.type("Again\r")
        terminal.expect("\r\n")
        terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("stopped")
        terminal.expect("> ")
        terminal.type("/continue\r")
        terminal.expect("\r\n")
        terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("stopped after")
        terminal.expect("> ")
        terminal.type("/reset\r")
        terminal.expect("> ")
        terminal.type("/continue\r")
        terminal.expect("No answer was stopped")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)

    def stopped_in_an_answer(self, *arguments):
        terminal = chat("--max-tokens", "3000", *arguments, model=endless())
        terminal.expect("> ")
        terminal.type("Talk on and on\r")
        terminal.expect("\r\n")
        terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("stopped after")
        terminal.expect("> ")
        return terminal

    def test_an_answer_that_was_stopped_goes_on_to_its_end(self):
        terminal = self.stopped_in_an_answer()
        terminal.type("/continue\r")
        terminal.expect(" tokens at ")
        terminal.expect("prompt")
        terminal.expect("> ")
        terminal.type("/exit\r")
        self.assertEqual(terminal.wait(), 0)

    def test_an_answer_that_was_stopped_is_gone_on_with_another_time(self):
        data = path("stopped")
        terminal = self.stopped_in_an_answer("--data", data)
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        terminal = chat("--data", data, "--continue", model=endless())
        terminal.expect("> Talk on and on")
        terminal.expect("stopped after")
        terminal.expect("> ")
        terminal.type("/new\r")
        terminal.expect("A new conversation")
        terminal.expect("> ")
        terminal.type("/open 1\r")
        terminal.expect("stopped after")
        terminal.expect("> ")
        terminal.type("/continue\r")
        terminal.expect("3,000 tokens at ")
        terminal.expect("> ")
        terminal.type("/exit\r")
        self.assertEqual(terminal.wait(), 0)

    def test_what_was_shown_is_not_shown_again(self):
        data = path("shared")
        server = start("--model", endless(), "serve", "--port", "0", "--data", data)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        url = server.stdout.readline().decode().split()[-1]
        terminal = chat("--data", data, "--seed", "5", model=endless())
        terminal.expect("> ")
        terminal.type("Talk on and on\r")
        terminal.expect("\r\n")
        for _ in range(100):
            terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("stopped after")
        terminal.expect("> ")

        def exported():
            return json.loads(run("export", "--format", "json", "--data", data).stdout)["conversations"][0]
        # By somebody else, and the server has forgotten that it wrote it.
        with urllib.request.urlopen(f"{url}/c/{exported()['id']}/stop", b"", timeout=HANGS_AFTER):
            pass
        while "interrupted" in (answer := exported()["messages"][1]):
            pass
        terminal.type("/continue\r")
        rest = terminal.expect(" tokens at ")
        self.assertLess(len(rest), len(answer["text"]))
        terminal.expect("> ")
        terminal.type("/exit\r")
        self.assertEqual(terminal.wait(), 0)

    def test_ctrl_c_clears_the_line(self):
        terminal = chat("--max-tokens", "4")
        terminal.expect("> ")
        terminal.type("never sent")
        terminal.expect("never sent")
        terminal.type("\x03")
        terminal.expect("^C")
        terminal.expect("> ")
        terminal.type("/help\r")
        terminal.expect("/reset")
        terminal.expect("> ")
        terminal.type("\x03")
        terminal.expect("again")
        terminal.expect("> ")
        terminal.type("\x03")
        self.assertEqual(terminal.wait(), 0)

    def test_editing(self):
        terminal = chat("--max-tokens", "4")
        terminal.expect("> ")
        terminal.type("/exiü\x7ft\r")  # a backspace takes a whole character
        self.assertEqual(terminal.wait(), 0)

    def test_history_outlives_the_program_and_is_private(self):
        state = path("history-state")
        terminal = chat("--max-tokens", "2", XDG_STATE_HOME=state)
        terminal.expect("> ")
        terminal.type("remember me\r")
        terminal.expect("prompt")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        file = os.path.join(state, "smollm3/history")
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        terminal = chat("--max-tokens", "2", XDG_STATE_HOME=state)
        terminal.expect("> ")
        terminal.type("\x1b[A")
        terminal.expect("remember me")
        terminal.type("\x03")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)

    def test_default_place_of_the_history(self):
        env = environment()
        terminal = Terminal("--model", micro(), "chat", "--no-think", "--max-tokens", "2", env=env)
        terminal.expect("> ")
        terminal.type("x\r")
        terminal.expect("prompt")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(os.path.exists(os.path.join(folder, ".local/state/smollm3/history")))

    def test_colours(self):
        for env, expected in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            terminal = chat("--max-tokens", "2", **env)
            terminal.expect("> ")
            terminal.type("Hi\r")
            terminal.expect("prompt")
            terminal.expect("> ")
            terminal.type("\x04")
            terminal.wait()
            self.assertEqual(b"\x1b[2m" in terminal.seen, expected, env)


class Run(unittest.TestCase):
    def test_needs_a_prompt_at_a_terminal(self):
        terminal = Terminal("--model", micro(), "run")
        terminal.expect("smollm3: command line: there is no prompt")
        self.assertEqual(terminal.wait(), 2)

    def test_ctrl_c(self):
        terminal = Terminal("--model", endless(), "run", "--raw", "Hi")
        terminal.expect(" ")
        terminal.type("\x03")
        self.assertEqual(terminal.wait(), 130)


unittest.main()
