"""`template`: the prompt that a conversation becomes, and what its options change."""
import json
import unittest

from program import expect_error, path, run


class Template(unittest.TestCase):
    def setUp(self):
        self.model = path("templated.gguf")
        with open(path("t.jinja"), "w") as file:
            file.write("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{{ strftime_now('%d.%m.%Y') }}|"
                       "{{ enable_thinking }}|{{ tools is none }}|{{ xml_tools is defined }}|{{ python_tools is defined }}"
                       "{% if add_generation_prompt %}|go{% endif %}")
        run("synth", "--shape", "micro", "--template", path("t.jinja"), "--out", self.model).check_returncode()
        self.file("messages.json", [{"role": "user", "content": "Grüße <|im_end|>"}])
        self.file("tools.json", [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])

    def file(self, name, content):
        with open(path(name), "w") as file:
            json.dump(content, file)

    def render(self, *options):
        return run("--model", self.model, "template", "--messages", path("messages.json"), "--date", "2026-01-31", *options)

    def test_options(self):
        prefix = "<user>Grüße <|im_end|>\n31.01.2026|"
        for options, tail in (
                ([], "True|True|False|False|go"),
                (["--no-think"], "False|True|False|False|go"),
                (["--no-generation-prompt"], "True|True|False|False"),
                (["--tools", path("tools.json")], "True|False|True|False|go"),
                (["--python-tools", path("tools.json")], "True|True|False|True|go")):
            result = self.render(*options)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout.decode(), prefix + tail)

    def test_json_tells_what_a_user_wrote(self):
        report = json.loads(self.render("--json").stdout)
        self.assertEqual(report["text"], "".join(fragment["text"] for fragment in report["fragments"]))
        typed = "".join(fragment["text"] for fragment in report["fragments"] if not fragment["special"])
        self.assertIn("<|im_end|>", typed)

    def test_wrong_dates(self):
        for date in ("2026-02-30", "2026-1-1", "today", "20260131", "2026-01-3x"):
            result = run("--model", self.model, "template", "--messages", path("messages.json"), "--date", date)
            expect_error(self, result, 2, date)

    def test_files_that_are_none(self):
        with open(path("bad.json"), "w") as file:
            file.write("[{]")
        self.file("object.json", {})
        for name, word in (("missing.json", "No such file"), ("bad.json", "JSON"), ("object.json", "array")):
            expect_error(self, run("--model", self.model, "template", "--messages", path(name)), 1, name, word)

    def test_messages_that_are_none(self):
        self.file("messages.json", [{"content": 3}])
        expect_error(self, self.render(), 1)


unittest.main()
