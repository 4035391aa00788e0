"""One question and its answer: what tasks make and conversations are put together from."""
from dataclasses import dataclass, field
import re

from words import HELD_ALL


@dataclass
class Exchange:
    user: str
    answer: str
    thought: str
    task: str
    title: str = ""           # of a conversation that is about this
    summary: str = ""         # continues "You ..."
    follow_ups: list = field(default_factory=list)
    check: dict = None        # how an evaluation judges the answer; None: it must be `answer` exactly
    direct: bool = True       # the answer can be learnt without the thought before it
    unthought: str = ""       # the answer under /no_think where it is not the same


OPENERS = ["", "", "", "", "", "", "please ", "hey, ", "tell me: ", "quick question: ", "ok, ", "hello, ", "now: ", "one more: ",
           "can you help me? "]
CLOSERS = ["", "", "", "", "", "", "", " please", " thanks", " thank you"]


def requested(*deeds):
    """Each deed as people ask for it: 'write a title' -> 'Can you write a title?', 'Please write a title.', ..."""
    forms = ("Please {}.", "Can you {}?", "Could you please {}?", "I want you to {}.", "{}", "Now {}.", "Would you {}?")
    wordings = [form.format(deed) for deed in deeds for form in forms]
    return [w[:1].upper() + w[1:] for w in wordings]


def mistyped(rng, text):
    """One letter dropped, doubled or changed places with the next, unless a held-out word comes of it."""
    places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    typed = rng.choice((text[:i] + text[i + 1:], text[:i] + text[i] + text[i:], text[:i] + text[i + 1] + text[i] + text[i + 2:]))
    return text if HELD_ALL & set(re.findall("[a-z]+", typed.lower())) else typed


def vary(source, text):
    """Training prompts the way people type them: an opener, no capital, no mark at the end, a please (never after a
    list's place at the end, where it would read as one more item)."""
    rng = source.rng
    if source.held:
        return text
    opener = rng.choice(OPENERS)
    if opener:
        text = opener + (text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text)
    if rng.random() < 0.12:
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = mistyped(rng, text)
    closer = "" if text.endswith("0") else rng.choice(CLOSERS)
    if closer:
        mark = text[-1] if text[-1:] in "?.!" and text else ""
        text = (text[:-1] if mark else text) + ("," if rng.random() < 0.5 else "") + closer + (mark if rng.random() < 0.6 else "")
    if rng.random() < 0.15:
        text = text.lower() if not any(c.isdigit() for c in text) or rng.random() < 0.5 else text
    elif rng.random() < 0.5:
        text = text[:1].upper() + text[1:]
    return text
