"""Quick checks of the demo model's making: /usr/bin/python3 -m unittest discover models/demo/tests"""
import os
import random
import sys
import tempfile
import unittest

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, FOLDER)

import cases
import chat
import checks
import dialogue
import facts
import markdown
import recall
import sums
import talk
import toolbox
import wordplay
import words

try:
    import jinja2
except ImportError:
    jinja2 = None
try:
    import numpy
    import regex
    import torch
except ImportError:
    torch = None

HELD_MODEL = os.path.join(FOLDER, "..", "demo.gguf")


def conversations(count, seed):
    rng = random.Random(seed)
    return [dialogue.sample(rng) for _ in range(count)]


class HeldOut(unittest.TestCase):
    """Nothing that the evaluation asks with has been trained on."""

    def test_lists_are_disjoint(self):
        pairs = [(words.NAMES, words.HELD_NAMES), (words.PETS, words.HELD_PETS), (words.COLOURS, words.HELD_COLOURS), (words.WORDS, words.HELD_WORDS),
                 (words.PLACES, words.HELD_PLACES), (toolbox.NOUNS + words.WORDS, toolbox.NOUNS_HELD), (toolbox.QUERY_VERBS, toolbox.QUERY_VERBS_HELD),
                 (toolbox.SUBJECTS, toolbox.SUBJECTS_HELD), (toolbox.QUESTIONS, toolbox.QUESTIONS_HELD), (toolbox.DESCRIPTIONS, toolbox.DESCRIPTIONS_HELD),
                 ([a[0] for a in toolbox.ACTIONS], [a[0] for a in toolbox.ACTIONS_HELD]), (toolbox.VALUES, toolbox.VALUES_HELD)]
        for module in (talk, sums, wordplay, recall, markdown, dialogue):
            for name in vars(module):
                if name.endswith("_HELD") and isinstance(getattr(module, name), list):
                    stem = name[:-len("_HELD")]
                    pairs.append((getattr(module, stem, None) or getattr(module, stem + "_WORDINGS"), getattr(module, name)))
        pairs += [(r.wordings, r.held) for r in facts.RELATIONS]
        pairs += [(entry[4], entry[5]) for entry in talk.TALK.values()]
        pairs += [(slot[1], slot[2]) for slot in recall.SLOTS.values()] + [(slot[4], slot[5]) for slot in recall.SLOTS.values()]
        pairs += [(train, held) for train, held, _ in markdown.CODE.values()]
        self.assertGreater(len(pairs), 50)
        for train, held in pairs:
            self.assertTrue(held)
            self.assertEqual({w.lower() for w in train} & {w.lower() for w in held}, set())

    def test_no_held_out_word_is_drawn_in_training(self):
        held = words.HELD_ALL | set(toolbox.NOUNS_HELD)
        for c in conversations(3000, 11):
            for t in c.turns:
                found = held & set(t.content.lower().replace(",", " ").replace(".", " ").replace('"', " ").split())
                self.assertEqual(found, set(), t.content)

    def test_no_held_out_small_talk_is_made_in_training(self):
        rng = random.Random(18)
        said = {talk.letters(talk.small_talk(words.Source(rng)).user) for _ in range(20_000)}
        self.assertGreater(len(said), 3000)
        self.assertEqual(said & {talk.letters(wording) for entry in talk.TALK.values() for wording in entry[5]}, set())

    def test_no_held_out_sum_or_number_is_drawn_in_training(self):
        rng = random.Random(12)
        for _ in range(2000):
            exchange = sums.sum_or_difference(words.Source(rng))
            a, _, b, _, _ = exchange.answer.split()
            self.assertFalse(sums.held_pair(int(a), int(b)))

    def test_expected_answers_pass_their_own_check(self):
        for task in cases.TASKS:
            for c in cases.cases(task, 20, True):
                self.assertTrue(checks.judge(c.check, c.turns[-1].content, c.turns[-1].call), (task, c.turns[-1], c.check))
                self.assertFalse(checks.judge(c.check, "\n", None), task)

    def test_far_recall_is_far(self):
        for c in cases.cases("recall far", 10, True):
            told = sum(len(t.content.split()) for t in c.turns)
            self.assertGreaterEqual(len(c.turns), 2 * 9)
            self.assertGreater(told, 350)


@unittest.skipUnless(jinja2, "python3-jinja2 is missing")
class Template(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(FOLDER, "template.jinja"), encoding="utf-8") as f:
            self.template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(f.read())

    def render(self, c, upto, prompt):
        return self.template.render(messages=c.messages(upto), tools=c.tools or None, enable_thinking=c.thinking, add_generation_prompt=prompt)

    def test_prompts_are_what_the_template_renders(self):
        kinds = set()
        for c in conversations(1500, 13):
            kinds.add(c.task)
            self.assertEqual(chat.text(c, generation_prompt=True), self.render(c, -1, True))
            if not c.thinking:
                self.assertEqual(chat.text(c), self.render(c, None, False))
        self.assertGreater(len(kinds), 12)

    def test_mode_in_the_system_message(self):
        c = dialogue.single(words.Source(random.Random(1)), "facts", True)
        c.system = "Be kind. /no_think"
        rendered = self.render(c, -1, True)
        self.assertIn("Reasoning Mode: /no_think", rendered)
        self.assertIn("## Custom Instructions\n\nBe kind.\n\n", rendered)
        self.assertTrue(rendered.endswith("assistant\n<think>\n\n</think>\n"))

    def test_call_arguments_as_an_object_and_calls_in_the_content(self):
        call = {"function": {"name": "f", "arguments": {"a": 1}}}
        show = lambda message: self.template.render(messages=[{"role": "user", "content": "x"}, message])
        written = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n'
        self.assertTrue(show({"role": "assistant", "content": "", "tool_calls": [call]}).endswith(written))
        self.assertEqual(show({"role": "assistant", "content": written[:-len("<|im_end|>\n")], "tool_calls": [call]}).count("<tool_call>"), 1)


@unittest.skipUnless(torch, "python3-torch, python3-numpy or python3-regex is missing")
class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import bpe
        texts = [chat.text(c) for c in conversations(300, 14)]
        tokens, merges = bpe.train(texts, 700, chat.SPECIALS, bpe.frequent_words(texts, 40, set()))
        cls.bpe = bpe.Bpe(tokens, merges, chat.SPECIALS)

    def test_round_trip(self):
        for text in ["Hello, world!\n\n  two  spaces\t", "é 漢字 🙂 ſ 's 'S don't", "", " 12345 x1y2", "\u00a0\u3000\r\n"] + \
                [c.turns[-1].content for c in conversations(200, 15)]:
            self.assertEqual(self.bpe.decode(self.bpe.encode(text)), text)

    def test_digits_and_specials(self):
        self.assertEqual(len(self.bpe.encode("1234567")), 7)
        self.assertFalse(set(self.bpe.encode("<|im_end|><think>")) & self.bpe.special_ids)
        self.assertEqual(len(set(self.bpe.tokens)), 700)

    def test_batches_of_a_process_are_those_of_its_seed(self):
        import samples
        stream = samples.Stream(self.bpe, 5, 2000, 64, 1, 320)
        batches = samples.Batches(self.bpe, 5, 2000, 64)
        for _ in range(3):
            for got, wanted in zip(stream.take(320), batches.take(320)):
                self.assertTrue((got == wanted).all())
            self.assertEqual(got.dtype, wanted.dtype)
        stream.close()

    def test_loss_is_on_the_words_of_answers_alone(self):
        import samples
        pair = [chat.tokens(c, self.bpe) for c in conversations(2, 17)]
        ids, target, at, weight = samples.collate(pair, 64)
        self.assertEqual(ids.shape[1] % 64, 0)
        flat = [(i, t, w) for i, (ts, ws) in enumerate(pair) for t, w in zip(ts[1:], ws[1:]) if w]
        self.assertEqual([(a // ids.shape[1], t, w) for a, t, w in zip(at.tolist(), target.tolist(), weight.tolist())], flat)

    def test_conversation_tokens_decode_to_its_text(self):
        for c in conversations(200, 16):
            ids, weights = chat.tokens(c, self.bpe)
            self.assertEqual(self.bpe.decode(ids), chat.text(c))
            self.assertEqual(len(ids), len(weights))
            prompt, _ = chat.tokens(c, self.bpe, generation_prompt=True)
            self.assertEqual(ids[:len(prompt)], prompt)
            self.assertGreater(sum(weights), 0)


@unittest.skipUnless(torch, "python3-torch is missing")
class Network(unittest.TestCase):
    def test_gradients_of_the_hand_written_parts(self):
        import model
        torch.manual_seed(1)
        x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
        y = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
        self.assertTrue(torch.autograd.gradcheck(model.SwiGlu.apply, (x, y)))
        q, k, v = (torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (6, 3, 3))
        mask = model.causal_mask(3, 2, torch.float64)
        self.assertTrue(torch.autograd.gradcheck(lambda *a: model.Attention.apply(*a, mask), (q, k, v)))
        config = model.Config(head_size=4)
        cos, sin = model.rope_table(config, 5, torch.float64)
        z = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
        self.assertTrue(torch.autograd.gradcheck(lambda t: model.Rope.apply(t, cos, sin), (z,)))
        gain = torch.rand(8) + 0.5
        a = torch.randn(3, 8, requires_grad=True)
        plain = a / (a.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * gain
        expected, = torch.autograd.grad(plain.sin().sum(), a)
        got, = torch.autograd.grad(model.RmsNorm.apply(a, gain, 1e-6).sin().sum(), a)
        self.assertTrue(torch.allclose(expected, got, atol=1e-5))

    def test_copying_circuit(self):
        import model
        config = model.Config()
        weights = model.initial_weights(config, 1)
        once = torch.randperm(4000, generator=torch.Generator().manual_seed(2))[:60].view(2, 30)
        twice = torch.cat([once, once], 1)
        hidden = model.forward(weights, config, twice, torch.arange(120), torch.float32).view(2, 60, -1)
        guess = model.logits(weights, hidden).argmax(-1)
        self.assertGreater((guess[:, 31:59] == twice[:, 32:60]).float().mean().item(), 0.95)

    def test_weights_step_together_as_alone(self):
        import optimizer
        generator = torch.Generator().manual_seed(3)
        draw = lambda *shape: torch.randn(shape, generator=generator)
        shapes = {"blk.0.attn_q.weight": (32, 32), "blk.1.attn_q.weight": (32, 32), "blk.0.ffn_up.weight": (64, 32), "blk.1.ffn_up.weight": (64, 32),
                  "token_embd.weight": (50, 32), "blk.0.attn_norm.weight": (32,), "output_norm.weight": (32,)}
        alone = {n: draw(*s) for n, s in shapes.items()}
        together = {n: w.clone() for n, w in alone.items()}
        one, other = optimizer.Optimizer(alone), optimizer.Optimizer(together)
        self.assertEqual(len(one.groups), len(shapes))
        other.groups = [list(shapes)[:2], list(shapes)[2:4], list(shapes)[4:5], list(shapes)[5:]]
        before = {n: w.clone() for n, w in alone.items()}
        for _ in range(3):
            gradients = {n: draw(*s) for n, s in shapes.items()}
            for o in (one, other):
                o.step(gradients, 0.01, 0.01, 0.01, 0.05)
        for n in shapes:
            self.assertGreater((alone[n] - before[n]).abs().max().item(), 1e-3)
            self.assertLess((alone[n] - together[n]).abs().max().item(), 2e-3, n)  # the iteration rounds to bfloat16

    def test_orthogonalised(self):
        import optimizer
        m = torch.randn(2, 24, 48, generator=torch.Generator().manual_seed(4))
        for x in (m, m.transpose(1, 2)):
            singular = torch.linalg.svdvals(optimizer.orthogonalised(x))
            self.assertGreater(singular.min().item(), 0.5)
            self.assertLess(singular.max().item(), 1.4)

    def test_greedy_answers_repeat_what_was_copied(self):
        import evaluation
        import model
        config = model.Config()
        weights = model.initial_weights(config, 1)
        once = torch.randperm(4000, generator=torch.Generator().manual_seed(2))[:30].tolist()
        tokenizer = type("Tokenizer", (), {"special": {"<|im_end|>": once[20]}})
        answers = evaluation.generated(weights, config, tokenizer, [once + once[:6], once + once[:9]])
        self.assertEqual(answers, [once[6:20], once[9:20]])  # from where each prompt ends to the end of the message

    def test_parsed(self):
        import evaluation
        call = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
        self.assertEqual(evaluation.parsed("<think>\nx\n</think>\ny" + call), ("\ny", {"name": "f", "arguments": {"a": 1}}))
        self.assertEqual(evaluation.parsed("y"), ("y", None))
        self.assertEqual(evaluation.parsed("<tool_call>\n{\n</tool_call>"), ("", None))

    def test_file_round_trip(self):
        import bpe
        import gguf
        import model
        config = model.Config(vocab=300, layers=4, ffn=64)
        weights = model.initial_weights(config, 1)
        tokens, merges = bpe.train(["hello world " * 3, "a b c d"], 256 + len(chat.SPECIALS) + 5, chat.SPECIALS, frozenset())
        small = bpe.Bpe(tokens, merges, chat.SPECIALS)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.gguf")
            gguf.write(path, config, weights, small, "template")
            pairs, _ = gguf.read(path)
            back = gguf.read_weights(path, config)
            for other in (model.Config(vocab=300, layers=3, ffn=64), model.Config(vocab=300, layers=5, ffn=64), model.Config(vocab=300, layers=4, ffn=32)):
                self.assertRaisesRegex(ValueError, "tensor blk", gguf.read_weights, path, other)
            self.assertEqual(gguf.read_bpe(path).encode("hello world"), small.encode("hello world"))
        self.assertEqual(pairs["tokenizer.chat_template"], "template")
        self.assertEqual(model.Config.of(back), config)
        for name, w in weights.items():
            self.assertLess((w - back[name]).abs().max().item(), 0.005 * max(1.0, w.abs().max().item()))

    @unittest.skipUnless(os.path.exists(HELD_MODEL), "models/demo.gguf is missing")
    def test_shipped_file(self):
        import gguf
        import model
        self.assertLessEqual(os.path.getsize(HELD_MODEL), 8_000_000)
        gguf.read_weights(HELD_MODEL, model.Config())
        pairs, _ = gguf.read(HELD_MODEL)
        with open(os.path.join(FOLDER, "template.jinja"), encoding="utf-8") as f:
            self.assertEqual(pairs["tokenizer.chat_template"], f.read())


if __name__ == "__main__":
    unittest.main()
