"""`run`, and `chat` through pipes."""
import json
import signal
import socket
import unittest

from program import HANGS_AFTER, endless, expect_error, micro, run, start

SHORT = ("--max-tokens", "12", "--seed", "5")


def ask(*arguments, **options):
    return run("--model", micro(), "run", *arguments, **options)


class Run(unittest.TestCase):
    def answer(self, *arguments, **options):
        result = ask(*SHORT, *arguments, **options)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout

    def test_answers_on_standard_output_alone(self):
        text = self.answer("--no-think", "Hi")
        self.assertTrue(text.endswith(b"\n"))
        text.decode()

    def test_the_same_seed_gives_the_same_answer(self):
        self.assertEqual(self.answer("--no-think", "Hi"), self.answer("--no-think", "Hi"))
        self.assertNotEqual(self.answer("--no-think", "Hi"), self.answer("--no-think", "--seed", "6", "Hi"))

    def test_without_a_seed_answers_differ(self):
        answers = {ask("--no-think", "--max-tokens", "12", "--temp", "2", "Hi").stdout for _ in range(3)}
        self.assertGreater(len(answers), 1)

    def test_greedy_needs_no_seed(self):
        answers = {ask("--no-think", "--max-tokens", "8", "--temp", "0", "Hi").stdout for _ in range(2)}
        self.assertEqual(len(answers), 1)

    def test_prompts_from_words_and_from_standard_input(self):
        for arguments, text in ((["two words"], b""), (["two", "words"], b"ignored"), ([], b"two words\n"), (["-"], b"two words")):
            report = json.loads(self.answer("--json", *arguments, input=text))
            expected = json.loads(self.answer("--json", "two words"))
            self.assertEqual((report["text"], report["thinking"]), (expected["text"], expected["thinking"]))
        both = json.loads(self.answer("--json", "Explain", "-", input=b"this\n"))
        self.assertEqual(both["usage"]["prompt_tokens"], json.loads(self.answer("--json", "Explain\n\nthis"))["usage"]["prompt_tokens"])

    def test_json(self):
        report = json.loads(self.answer("--json", "--no-think", "Hi"))
        self.assertEqual(list(report), ["model", "mode", "text", "thinking", "tool_calls", "finish", "seed", "usage"])
        self.assertEqual((report["model"], report["finish"], report["seed"]), ("SmolLM3 micro random", "length", 5))
        self.assertEqual(report["usage"]["generated_tokens"], 12)
        self.assertEqual(report["text"].strip(), self.answer("--no-think", "Hi").decode().strip())

    def test_raw_prompts_are_taken_as_they_are(self):
        report = json.loads(self.answer("--raw", "--json", "<|im_start|>Hi"))
        self.assertEqual(report["usage"]["prompt_tokens"], 3)
        self.assertGreater(json.loads(self.answer("--json", "<|im_start|>Hi"))["usage"]["prompt_tokens"], 14)

    def test_system_text_is_part_of_the_prompt(self):
        counts = [json.loads(self.answer("--json", *more, "Hi"))["usage"]["prompt_tokens"]
                  for more in (["--system", "Be brief."], ["--system", "Be brief, please."])]
        self.assertEqual(counts[1] - counts[0], len(", please"))  # a token for each byte

    def test_prompts_that_are_none(self):
        expect_error(self, ask(input=b""), 1, "prompt", "empty")
        expect_error(self, ask(input=b"\xff"), 1, "prompt", "UTF-8")
        expect_error(self, ask("--raw", "--system", "x", "Hi"), 2, "--system")

    def test_values_out_of_range(self):
        for option, value in (("--temp", "-1"), ("--temp", "nan"), ("--top-p", "-0.1"), ("--top-p", "1.5"), ("--min-p", "2")):
            result = ask(option, value, "Hi")
            self.assertIn(result.returncode, (1, 2))
            expect_error(self, result, result.returncode)
        for option, value in (("--top-k", "-1"), ("--max-tokens", "x"), ("--seed", "-1"), ("--temp", "warm")):
            expect_error(self, ask(option, value, "Hi"), 2, option)

    def test_more_than_the_context_holds(self):
        expect_error(self, run("--model", micro(), "--ctx", "64", "run", "word " * 100), 1, "64", "--ctx")

    def test_interrupt(self):
        process = start("--model", endless(), "run", "--raw", "Hi")
        first = process.stdout.read1(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANGS_AFTER)
        self.assertEqual((process.returncode, err), (130, b""))
        self.assertTrue(first)

    def test_words_come_one_by_one(self):
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps apart what is written apart
        with reader, writer:
            process = start("--model", endless(), "run", "--raw", "Hi", stdout=writer)
            sizes = [len(reader.recv(65536)) for _ in range(20)]
            process.kill()
            process.communicate()
        self.assertLess(max(sizes), 200)

    def test_reader_that_goes_away(self):
        process = start("--model", endless(), "run", "--raw", "Hi")
        process.stdout.read1(1)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=HANGS_AFTER), 1)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()


class PipedChat(unittest.TestCase):
    def chat(self, text, *options):
        return run("--model", micro(), "chat", "--max-tokens", "6", "--seed", "5", "--no-think", *options, input=text)

    def test_each_line_is_a_turn(self):
        result = self.chat(b"Hi\nAnd you?\n")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        first = self.chat(b"Hi\n").stdout
        self.assertTrue(result.stdout.startswith(first))
        self.assertGreater(len(result.stdout), len(first))
        self.assertNotIn(b"> ", result.stdout)
        self.assertNotIn(b"\x1b", result.stdout)

    def test_last_line_without_a_break(self):
        self.assertEqual(self.chat(b"Hi").stdout, self.chat(b"Hi\n").stdout)

    def test_reset_forgets(self):
        first = self.chat(b"Hi\n").stdout
        self.assertEqual(self.chat(b"Hi\n/reset\nHi\n").stdout, first + first)

    def test_modes(self):
        self.assertEqual(self.chat(b"/no_think\nHi\n").stdout, self.chat(b"Hi\n").stdout)
        self.assertEqual(self.chat(b"/no_think Hi\n").stdout, self.chat(b"Hi\n").stdout)

    def test_exit(self):
        self.assertEqual(self.chat(b"Hi\n/exit\nnever read\n").stdout, self.chat(b"Hi\n").stdout)
        self.assertEqual(self.chat(b"").stdout, b"")

    def test_continued_lines(self):
        result = run("--model", micro(), "run", "--no-think", "--max-tokens", "6", "--seed", "5", "a\nb")
        self.assertEqual(self.chat(b"a\\\nb\n").stdout, result.stdout)

    def test_a_turn_that_fails_leaves_the_conversation(self):
        result = self.chat(b"Hi\n\xff\nHi\n")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, rb"\Asmollm3: message: [^\n]*UTF-8[^\n]*\n\Z")
        self.assertEqual(result.stdout, self.chat(b"Hi\nHi\n").stdout)

    def test_unknown_command(self):
        result = self.chat(b"/frobnicate\n")
        self.assertRegex(result.stderr, rb"\Asmollm3: chat: [^\n]*/frobnicate[^\n]*\n\Z")
        self.assertEqual(result.stdout, b"")


unittest.main()
