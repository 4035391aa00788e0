"""Byte-level BPE: a trainer and an encoder with the split that GGUF files name `smaug-bpe` (Llama-3's).

Digits are never merged with each other: every digit is a token of its own. And a space or mark before a word is merged
with it for a list of frequent words only, so that all others have the same tokens wherever they stand (after a space, a
quote, an underscore, a line's start): a small model then copies a word it has never seen token by token.
"""
from collections import Counter, defaultdict
import json

import regex

SPLIT = regex.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                      r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_alphabet():
    """GPT-2's printable stand-in for each byte value."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, spare = {}, 256
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(spare)
            spare += 1
    return table


ALPHABET = byte_alphabet()
DIGITS = frozenset("0123456789")
NO_RANK = 1 << 30


def frequent_words(texts, count, excluded):
    """The words most often found after a space that are not `excluded`: those worth a token with their space."""
    counts = Counter(w[1:] for t in texts for w in SPLIT.findall(t) if w[0] == " " and w[1:].isalpha() and len(w) > 2)
    return frozenset([w for w, _ in counts.most_common() if w not in excluded][:count])


def train(texts, size, specials, joinable):
    """-> (tokens, merges): `size` tokens in all, bytes first, then merges by frequency, the specials last.

    `joinable`: the words that may be merged with a space before them.
    """
    letters = [ALPHABET[b] for b in range(256) if b >= 128 or chr(b).isalpha()]
    lead = frozenset(ALPHABET.values()) - frozenset(letters)

    def allowed(pair):
        a, b = pair
        if a in DIGITS and b in DIGITS:
            return False
        return not (a in lead and b[0] not in lead) or (a == ALPHABET[32] and b in joinable)

    counts = Counter()
    for t in texts:
        counts.update(SPLIT.findall(t))
    words = [([ALPHABET[b] for b in w.encode()], n) for w, n in sorted(counts.items())]
    pairs, where = Counter(), defaultdict(set)
    for i, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            where[pair].add(i)
    tokens, merges = [ALPHABET[b] for b in range(256)], []
    known, barred = set(tokens), set()
    while len(tokens) < size - len(specials):
        pair = max((p for p in pairs if p not in barred), key=lambda p: (pairs[p], p))
        if not allowed(pair):
            barred.add(pair)
            continue
        merged = pair[0] + pair[1]
        merges.append(pair)
        if merged not in known:
            known.add(merged)
            tokens.append(merged)
        for i in where.pop(pair):
            symbols, n = words[i]
            for old in zip(symbols, symbols[1:]):
                pairs[old] -= n
                if pairs[old] <= 0:
                    del pairs[old]
            out, at = [], 0
            while at < len(symbols):
                if at + 1 < len(symbols) and (symbols[at], symbols[at + 1]) == pair:
                    out.append(merged)
                    at += 2
                else:
                    out.append(symbols[at])
                    at += 1
            symbols[:] = out
            for new in zip(out, out[1:]):
                pairs[new] += n
                where[new].add(i)
        pairs.pop(pair, None)
    return tokens + specials, merges


class Bpe:
    def __init__(self, tokens, merges, specials):
        self.tokens, self.merges, self.specials = list(tokens), [tuple(m) for m in merges], list(specials)
        self.id_of = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.special = {s: self.id_of[s] for s in self.specials}
        self.special_ids = frozenset(self.special.values())
        self.byte_of = {c: b for b, c in ALPHABET.items()}
        self.cache = {}

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as f:
            stored = json.load(f)
        return Bpe(stored["tokens"], [m.split(" ") for m in stored["merges"]], stored["specials"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"specials": self.specials, "merges": [" ".join(m) for m in self.merges], "tokens": self.tokens},
                      f, ensure_ascii=False, indent=0)

    def pieces(self):
        """The tokens that are lower-case letters alone."""
        return [t for t in self.tokens if t.isascii() and t.isalpha() and t.islower() and t not in self.special]

    def encode_word(self, word):
        """[(id, bytes)] of one piece of the split."""
        found = self.cache.get(word)
        if found is None:
            symbols = [ALPHABET[b] for b in word.encode()]
            while len(symbols) > 1:
                ranks = [self.rank.get(pair, NO_RANK) for pair in zip(symbols, symbols[1:])]
                lowest = min(ranks)
                if lowest == NO_RANK:
                    break
                best = ranks.index(lowest)
                symbols[best:best + 2] = [symbols[best] + symbols[best + 1]]
            found = [(self.id_of[s], len(s)) for s in symbols]
            if len(self.cache) < 200_000:
                self.cache[word] = found
        return found

    def encode_with_lengths(self, text):
        return [pair for word in SPLIT.findall(text) for pair in self.encode_word(word)]

    def encode(self, text):
        """Ids of plain text; special tokens' names in it stay text."""
        return [i for i, _ in self.encode_with_lengths(text)]

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            if i in self.special_ids:
                out += self.tokens[i].encode()
            else:
                out += bytes(self.byte_of[c] for c in self.tokens[i])
        return out.decode("utf-8", "replace")
