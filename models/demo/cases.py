"""Held-out test cases: wordings, names, words, places and tool names that training never draws."""
import random
import zlib

import dialogue
import facts
import talk
from words import Source

TASKS = {
    "identity": lambda s, t: dialogue.assemble([held_talk(s, ("who", "real", "can", "name"))], t, "identity"),
    "small talk": lambda s, t: dialogue.assemble([held_talk(s, ("greeting", "how", "fine", "thanks", "bye", "wrong"))], t, "small talk"),
    "sums": lambda s, t: dialogue.single(s, "sums", t),
    "facts": lambda s, t: dialogue.single(s, "facts", t),
    "repeat": lambda s, t: dialogue.single(s, "repeat", t),
    "reverse": lambda s, t: dialogue.single(s, "reverse", t),
    "count": lambda s, t: dialogue.single(s, "count", t),
    "recall near": lambda s, t: dialogue.recalled(s, t, s.rng.randint(0, 3)),
    "recall far": lambda s, t: dialogue.recalled(s, t, 7, 950),
    "tool call": lambda s, t: dialogue.called(s, t, 0),
    "tool result": lambda s, t: dialogue.called(s, t, 1),
    "title": lambda s, t: dialogue.wrapped_up(s, t, "title"),
    "summary": lambda s, t: dialogue.wrapped_up(s, t, "summary"),
    "follow-ups": lambda s, t: dialogue.wrapped_up(s, t, "follow-ups"),
    "markdown": lambda s, t: dialogue.single(s, "markdown", t),
    "unknown": lambda s, t: dialogue.single(s, "unknown", t),
}


def held_talk(source, kinds):
    while True:
        exchange = talk.small_talk(source)
        if exchange.answer in {talk.TALK[k][0] for k in kinds}:
            return exchange


def cases(task, count, thinking, seed=7):
    """`count` held-out conversations of a task; the last turn is the expected answer."""
    rng = random.Random(zlib.crc32(f"{task} {thinking} {seed}".encode()))
    out = []
    for _ in range(count):
        c = TASKS[task](Source(rng, held=True), thinking)
        c.task = task
        for t in c.turns[:-1]:
            t.weight = 0.0
        out.append(c)
    return out


def every_fact(thinking):
    """Each entry of the table once, in a held-out wording."""
    source = Source(random.Random(3), held=True)
    return [dialogue.assemble([talk.fact_about(source, r, s, source.rng.choice(r.held))], thinking, "facts")
            for r in facts.RELATIONS for s in r.table]
