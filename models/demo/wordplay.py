"""Repeating, reversing and counting given words."""
from exchange import Exchange, requested, vary

REPEAT = ["Repeat these words: {}", "Repeat: {}", "Say: {}", "Please repeat {}", "Repeat after me: {}", "Say these words: {}", "Echo: {}",
          "Write these words again: {}", "Copy these words: {}", "Say the words {}", "Repeat the following: {}", "Type {}", "say again: {}",
          "Tell me these words: {}", "Copy: {}", "Repeat the following words: {}", "Write the following words: {}", "The following words again: {}",
          "Say all of these: {}", "Copy the following: {}"] + \
    requested("say {}", "repeat all of {}", "write down {}", "say the words {}")
REPEAT_HELD = ["Can you repeat these words: {}", "Say the following words: {}", "Please copy: {}"]
REVERSE = ["Reverse these words: {}", "Reverse: {}", "Say these words backwards: {}", "Write these words in reverse order: {}",
           "Reverse the order of these words: {}", "Put these words in reverse order: {}", "reverse the list: {}", "Backwards: {}",
           "Say {} in reverse order", "Turn this list around: {}", "List these words from last to first: {}", "Give me these words in reverse: {}",
           "Reverse the words {}", "in reverse order: {}", "Reverse the following words: {}", "Say the following backwards: {}"]
REVERSE_HELD = ["Can you reverse these words: {}", "Please say the words backwards: {}", "Write the list in reverse order: {}"]
COUNT = ["Count these words: {}", "How many words are these: {}", "How many words are there: {}", "Count the words: {}", "How many words? {}",
         "Count: {}", "How many words are in this list: {}", "Tell me how many words these are: {}", "What is the number of words in: {}",
         "How many items are in this list: {}", "How many things are these: {}", "count the following words: {}"]
COUNT_HELD = ["Can you count these words: {}", "Please tell me how many words are here: {}", "How many words are in the list: {}"]


def _listed(source, words):
    style = source.rng.random()
    if style < 0.6:
        return ", ".join(words)
    if style < 0.8:
        return " ".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def _numbered(words):
    return "\n".join(f"{i} {w}" for i, w in enumerate(words, 1))


def _ask(source, train, held, words):
    """vary() before the words go in, so that their spelling stays."""
    wording = vary(source, source.pick(train, held).replace("{}", "0"))
    return wording.replace("0", _listed(source, words)) if "0" in wording else f"{wording} {_listed(source, words)}"


def _words(source):
    rng = source.rng
    if not source.held and rng.random() < 0.1:
        return [source.name() for _ in range(rng.randint(2, 7))]
    if not source.held and rng.random() < 0.1:
        return [str(rng.randint(0, 999)) for _ in range(rng.randint(2, 6))]
    return source.words(rng.randint(3, 7) if source.held else rng.choice((1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8)))


def repeat(source):
    words = _words(source)
    answer = ", ".join(words)
    return Exchange(_ask(source, REPEAT, REPEAT_HELD, words), answer, "I repeat the words in the same order.", "repeat",
                    "Repeating words", f"asked me to repeat {len(words)} words", [f"Reverse: {answer}", f"Count: {answer}", "What can you do?"])


def reverse(source):
    words = _words(source)
    answer = ", ".join(words[::-1])
    given = ", ".join(words)
    return Exchange(_ask(source, REVERSE, REVERSE_HELD, words), answer, f"{_numbered(words)}\nFrom last to first.", "reverse",
                    "Reversing words", f"asked me to reverse {len(words)} words", [f"Repeat: {given}", f"Count: {given}", "What can you do?"],
                    check={"kind": "last line", "text": answer}, direct=False, unthought=f"{_numbered(words)}\n{answer}")


def count(source):
    words = _words(source)
    given = ", ".join(words)
    answer = "There is 1 word." if len(words) == 1 else f"There are {len(words)} words."
    return Exchange(_ask(source, COUNT, COUNT_HELD, words), answer, _numbered(words), "count", "Counting words",
                    f"asked me to count {len(words)} words", [f"Repeat: {given}", f"Reverse: {given}", "What can you do?"],
                    check={"kind": "number", "value": str(len(words))}, direct=False,
                    unthought=f"{_numbered(words)}\n{answer}")
