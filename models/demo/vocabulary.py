"""Make the tokenizer's file.

    vocabulary.py OUT                   trains it on generated conversations
    vocabulary.py --from FILE.gguf OUT  takes it out of a model
"""
import argparse
import random

import bpe
import chat
import dialogue
import gguf
import toolbox
import words

CONVERSATIONS, SIZE, JOINABLE = 25_000, 4096, 300


def corpus(seed):
    """Plain text between the special tokens, as the encoder will see it, and every word of the training lists."""
    rng = random.Random(seed)
    for _ in range(CONVERSATIONS):
        plain = ""
        for piece, _ in chat.render(dialogue.sample(rng)):
            if piece in chat.SPECIAL_SET:
                yield plain
                plain = ""
            else:
                plain += piece
        yield plain
    for word in words.WORDS + words.COLOURS + words.NAMES + words.PLACES:
        for form in (f" {word}", f"\n{word}", word.capitalize()):
            yield from [form] * 15


def trained():
    texts = list(corpus(seed=1))
    items = {w.lower() for w in words.WORDS + words.COLOURS + words.NAMES + words.PLACES + words.PETS + toolbox.NOUNS}
    excluded = {form for w in items for form in (w, w.capitalize())}
    tokens, merges = bpe.train(texts, SIZE, chat.SPECIALS, bpe.frequent_words(texts, JOINABLE, excluded))
    return bpe.Bpe(tokens, merges, chat.SPECIALS)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--from", dest="source", help="a GGUF file")
    a.add_argument("out")
    o = a.parse_args()
    (gguf.read_bpe(o.source) if o.source else trained()).save(o.out)


if __name__ == "__main__":
    main()
