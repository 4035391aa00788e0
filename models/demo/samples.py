"""Endless training batches from the seeded generator: token ids, targets and loss weights, in length buckets."""
import random

import numpy as np
import torch

import chat
import dialogue

POOL = 1024          # conversations sorted by length together
MAX_LENGTH = 1408    # tokens; longer conversations are left out
PAD = 0


class Batches:
    """Micro-batches of about `tokens_each` tokens, each of conversations of about the same length."""

    def __init__(self, bpe, seed, tokens_each):
        self.bpe, self.rng, self.tokens_each, self.pieces = bpe, random.Random(seed), tokens_each, bpe.pieces()
        self.ready, self.longest = [], 0

    def take(self, longest):
        """(ids (B, T), target ids (n), their positions in the flattened batch (n), weights (n)); conversations of at most
        `longest` tokens."""
        if not self.ready or longest != self.longest:
            self.longest = longest
            self.ready = self._batches(self._pool())
        return collate(self.ready.pop())

    def _pool(self):
        pool = []
        while len(pool) < POOL:
            sample = chat.tokens(dialogue.sample(self.rng, self.pieces), self.bpe)
            if len(sample[0]) <= self.longest:
                pool.append(sample)
        return sorted(pool, key=lambda s: len(s[0]))

    def _batches(self, pool):
        batches, batch = [], []
        for s in pool:
            if batch and (len(batch) + 1) * len(s[0]) > self.tokens_each:
                batches.append(batch)
                batch = []
            batch.append(s)
        batches.append(batch)
        self.rng.shuffle(batches)
        return batches


def collate(batch):
    longest = max(len(ids) for ids, _ in batch) - 1
    ids = np.full((len(batch), longest), PAD, np.int64)
    target = np.zeros((len(batch), longest), np.int64)
    weight = np.zeros((len(batch), longest), np.float32)
    for row, (i, w) in enumerate(batch):
        ids[row, :len(i) - 1] = i[:-1]
        target[row, :len(i) - 1] = i[1:]
        weight[row, :len(i) - 1] = w[1:]
    at = np.flatnonzero(weight)
    return (torch.from_numpy(ids), torch.from_numpy(target.reshape(-1)[at]), torch.from_numpy(at),
            torch.from_numpy(weight.reshape(-1)[at]))
