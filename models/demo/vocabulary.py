"""Train the tokenizer on generated conversations: vocabulary.py OUT [SIZE]."""
import random
import sys

import bpe
import chat
import dialogue
import toolbox
import words

CONVERSATIONS = 25_000


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


def main():
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
    texts = list(corpus(seed=1))
    items = {w.lower() for w in words.WORDS + words.COLOURS + words.NAMES + words.PLACES + words.PETS + toolbox.NOUNS}
    excluded = {form for w in items for form in (w, w.capitalize())}
    joinable = bpe.frequent_words(texts, 300, excluded)
    tokens, merges = bpe.train(texts, size, chat.SPECIALS, joinable)
    bpe.Bpe(tokens, merges, chat.SPECIALS).save(sys.argv[1])


if __name__ == "__main__":
    main()
