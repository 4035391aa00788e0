"""Endless training batches from the seeded generator: token ids, targets and loss weights, in length buckets."""
from collections import deque
import multiprocessing
import os
import queue
import random

import numpy as np
import torch

import chat
import dialogue

POOL = 1024          # conversations sorted by length together, at least
POOL_BATCHES = 16    # batches cut from them, about, where a batch is large
MAX_LENGTH = 1408    # tokens; longer conversations are left out
PAD = 0
AHEAD, KEPT = 96, 1024  # batches that wait to be taken; batches kept to be seen again while none waits


class Batches:
    """Micro-batches of about `tokens_each` tokens, each of conversations of about the same length."""

    def __init__(self, bpe, seed, tokens_each, multiple=1):
        self.bpe, self.rng, self.tokens_each, self.pieces = bpe, random.Random(seed), tokens_each, bpe.pieces()
        self.multiple = multiple
        self.ready, self.longest = [], 0

    def take(self, longest):
        """A collated batch (below) of conversations of at most `longest` tokens."""
        if not self.ready or longest != self.longest:
            self.longest = longest
            self.ready = self._batches(self._pool())
        return collate(self.ready.pop(), self.multiple)

    def _pool(self):
        pool, tokens = [], 0
        while len(pool) < POOL or tokens < POOL_BATCHES * self.tokens_each:
            sample = chat.tokens(dialogue.sample(self.rng, self.pieces), self.bpe)
            if len(sample[0]) <= self.longest:
                pool.append(sample)
                tokens += len(sample[0])
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


def collate(batch, multiple=1):
    """(ids (B, T), target ids (n), their positions in the flattened batch (n), weights (n)); T a multiple of `multiple`."""
    longest = -(-(max(len(ids) for ids, _ in batch) - 1) // multiple) * multiple
    ids = np.full((len(batch), longest), PAD, np.int16)
    target = np.zeros((len(batch), longest), np.int16)
    weight = np.zeros((len(batch), longest), np.float32)
    for row, (i, w) in enumerate(batch):
        ids[row, :len(i) - 1] = i[:-1]
        target[row, :len(i) - 1] = i[1:]
        weight[row, :len(i) - 1] = w[1:]
    at = np.flatnonzero(weight).astype(np.int32)
    return ids, target.reshape(-1)[at], at, weight.reshape(-1)[at]


def tensors(batch, device="cpu"):
    """The same in PyTorch, all indices int64."""
    out = [torch.from_numpy(a) for a in batch]
    if device != "cpu":
        out = [t.pin_memory().to(device, non_blocking=True) for t in out]
    ids, target, at, weight = out
    return ids.long(), target.long(), at.long(), weight


def _fill(waiting, longest, bpe, seed, tokens_each, multiple):
    os.nice(5)
    batches = Batches(bpe, seed, tokens_each, multiple)
    while True:
        waiting.put(batches.take(longest.value))


class Stream:
    """Batches that processes of their own make ahead. They fork: make it before the process uses a GPU.

    Where the processes fall behind, batches of before are seen again (`repeated` counts them).
    """

    def __init__(self, bpe, seed, tokens_each, multiple, workers, longest):
        context = multiprocessing.get_context("fork")
        self.waiting, self.longest = context.Queue(AHEAD), context.Value("i", longest)
        self.workers = [context.Process(target=_fill, args=(self.waiting, self.longest, bpe, seed + i, tokens_each, multiple), daemon=True)
                        for i in range(workers)]
        for w in self.workers:
            w.start()
        self.kept, self.rng, self.repeated = deque(maxlen=KEPT), random.Random(seed), 0

    def take(self, longest):
        """A batch as Batches.take gives; the length may grow from call to call, and shorter ones of before still come then."""
        self.longest.value = longest
        try:
            batch = self.waiting.get(timeout=0.0005 if self.kept else 60)
        except queue.Empty:
            if not self.kept:
                raise RuntimeError("no process makes batches") from None
            self.repeated += 1
            return self.rng.choice(self.kept)
        self.kept.append(batch)
        return batch

    def close(self):
        for w in self.workers:
            w.kill()
