"""Conversations as text and tokens, exactly as template.jinja renders them (a test compares the two).

A rendered conversation is a list of pieces `(text, kind)`: kind SPECIAL for a special token, else plain text. Pieces of
assistant turns carry the weight of their tokens in the training loss.
"""
from dataclasses import dataclass, field
import json

NO_THOUGHT = ["<think>", "\n\n", "</think>", "\n"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>",
            "<tool_response>", "</tool_response>", "<code>", "</code>"]
CONTROL = [s for s in SPECIALS if s.startswith("<|")]
SPECIAL_SET = frozenset(SPECIALS)


@dataclass
class Turn:
    """One message. `weight` is the loss weight of an assistant's words, `thought` its reasoning (last turn only)."""
    role: str
    content: str = ""
    thought: str = None
    call: dict = None  # {"name": ..., "arguments": {...}}
    weight: float = 0.0


@dataclass
class Conversation:
    """What a training sample or a test case is made of; the last turn is the assistant's answer."""
    turns: list
    thinking: bool = True
    system: str = ""
    tools: list = field(default_factory=list)
    task: str = ""
    check: dict = None  # how an evaluation judges the answer (checks.py)

    def messages(self, upto=None):
        """OpenAI-style messages of turns[:upto] (without thoughts: past reasoning is not shown to the model)."""
        out = [{"role": "system", "content": self.system}] if self.system else []
        for t in self.turns[:upto]:
            message = {"role": t.role, "content": t.content}
            if t.call:
                arguments = json.dumps(t.call["arguments"], ensure_ascii=False)
                message["tool_calls"] = [{"id": "call_0", "type": "function",
                                          "function": {"name": t.call["name"], "arguments": arguments}}]
            if t.role == "tool":
                message["tool_call_id"] = "call_0"
            out.append(message)
        return out


def call_pieces(call):
    return ["<tool_call>", "\n" + json.dumps(call, ensure_ascii=False) + "\n", "</tool_call>"]


def render(conversation, generation_prompt=False):
    """[(text, weight)]: the whole conversation, or with `generation_prompt` all but the last answer."""
    c = conversation
    header = f"system\n## Metadata\n\nReasoning Mode: /{'think' if c.thinking else 'no_think'}\n\n"
    if c.system:
        header += f"## Custom Instructions\n\n{c.system}\n\n"
    if c.tools:
        header += "### Tools\n\n<tools>\n" + "".join(str(t) + "\n" for t in c.tools) + "</tools>\n\n"
    out = [("<|im_start|>", 0.0), (header, 0.0), ("<|im_end|>", 0.0), ("\n", 0.0)]
    for i, t in enumerate(c.turns):
        last = i == len(c.turns) - 1
        if t.role == "user":
            out += [("<|im_start|>", 0.0), ("user\n" + t.content, 0.0)]
        elif t.role == "tool":
            out += [("<|im_start|>", 0.0), ("user\n", 0.0), ("<tool_response>", 0.0), ("\n" + t.content + "\n", 0.0),
                    ("</tool_response>", 0.0)]
        else:
            out += [("<|im_start|>", 0.0), ("assistant\n", 0.0)]
            if not c.thinking:
                out += [(p, 0.0) for p in NO_THOUGHT]
            if last and generation_prompt:
                return out
            if c.thinking and last:
                out += [("<think>", t.weight), (f"\n{t.thought}\n", t.weight), ("</think>", t.weight), ("\n", t.weight)]
            body = ([t.content] if t.content else []) + (call_pieces(t.call) if t.call else [])
            if c.thinking and not last:  # a past answer without its thought must not teach to begin without one
                cut = 1 if t.content else len(body[0])
                out.append((body[0][:cut], 0.0))
                body[0] = body[0][cut:]
            out += [(p, t.weight) for p in body if p]
        out += [("<|im_end|>", t.weight if t.role == "assistant" else 0.0), ("\n", 0.0)]
    return out


def text(conversation, generation_prompt=False):
    return "".join(piece for piece, _ in render(conversation, generation_prompt))


def tokens(conversation, bpe, generation_prompt=False):
    """(ids, weights). Plain text between two special tokens is split and merged as one string, as a runner would."""
    ids, weights, plain, spans = [], [], "", []

    def flush():
        nonlocal plain, spans
        if plain and len({weight for _, weight in spans}) == 1:
            added = bpe.encode(plain)
            ids.extend(added)
            weights.extend([spans[0][1]] * len(added))
            plain, spans = "", []
        elif plain:
            at = 0
            edge = iter(spans)
            end, weight = next(edge)
            for token, length in bpe.encode_with_lengths(plain):
                while at >= end:
                    end, weight = next(edge)
                ids.append(token)
                weights.append(weight)
                at += length
            plain, spans = "", []

    for piece, weight in render(conversation, generation_prompt):
        if piece in SPECIAL_SET:
            flush()
            ids.append(bpe.special[piece])
            weights.append(weight)
        else:
            plain += piece
            spans.append((len(plain.encode()), weight))
    flush()
    return ids, weights
