"""Train the demo model; resumes from its checkpoint, or starts from a GGUF file's weights.

    train.py --work DIR --minutes 90                 a run that ends, learning rate at zero, after 90 minutes
    train.py --work DIR --minutes 30 --start ../demo.gguf --rate 0.3

The schedule runs on time, not on steps, so that a run ends when it was asked to however busy the machine is: a short
warm-up, a plateau, then a linear decay to zero. DIR holds vocab.json, checkpoint.pt and train.log.

Each worker is a process with one thread that takes the step's next micro-batch when it is done with the last: on a busy
machine this loses far less than threads that wait for each other in every operation. Weights, gradients and the
optimizer's state lie in shared memory; each worker updates its share of the weights.
"""
import argparse
import os
import time

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import bpe as bpe_module
import evaluation
import gguf
import model
import optimizer
import samples

MATRIX_RATE, ADAM_RATE, DECAY = 0.006, 0.003, 0.05
WARM_UP, PLATEAU = 0.02, 0.5  # shares of the run
SHORT_FIRST, SHORT = 0.25, 320 # share of the run with conversations of at most so many tokens: copying is learnt there first
MICRO_TOKENS, MICRO_PER_STEP = 1280, 3
SCALE = 1.0 / 1400            # about one over the weighted answer tokens of a step
SAVE_EVERY = 240              # seconds
LOG_EVERY = 20                # steps


def rate_at(share):
    if share < WARM_UP:
        return share / WARM_UP
    return min(1.0, max(0.0, (1 - share) / (1 - PLATEAU)))


class Worker:
    """One process's part in every step."""

    def __init__(self, rank, shared, seed):
        self.rank, self.shared = rank, shared
        self.weights = {n: w.detach().requires_grad_(True) for n, w in shared["weights"].items()}
        self.batches = samples.Batches(shared["bpe"], seed, MICRO_TOKENS)
        self.mine = [n for i, n in enumerate(self.weights) if i % shared["workers"] == rank]

    def gradients(self):
        """Micro-batches until the step has its number; their gradient into the shared place, their loss into the counts."""
        counts = self.shared["counts"][self.rank]
        while True:
            with self.shared["taken"].get_lock():
                if self.shared["taken"].value >= MICRO_PER_STEP:
                    break
                self.shared["taken"].value += 1
            ids, target, at, weight = self.batches.take(self.shared["longest"].value)
            hidden = model.forward(self.weights, self.shared["config"], ids, at)
            losses = F.cross_entropy(model.logits(self.weights, hidden).float(), target, reduction="none")
            loss = (losses * weight).sum()
            (loss * SCALE).backward()
            counts += torch.tensor([loss.item(), weight.sum().item(), ids.numel()])
        for n, w in self.weights.items():
            place = self.shared["gradients"][self.rank][n]
            if w.grad is None:
                place.zero_()
            else:
                place.copy_(w.grad)
                w.grad = None

    @torch.no_grad()
    def update(self):
        gradients = {n: sum(g[n] for g in self.shared["gradients"]) for n in self.mine}
        rate = self.shared["rate"].value
        self.shared["optimizer"].step(gradients, MATRIX_RATE * rate, ADAM_RATE * rate, DECAY)

    def step(self):
        self.gradients()
        self.shared["barrier"].wait()
        self.update()
        self.shared["barrier"].wait()


def helper(rank, shared, seed):
    """A worker beside the first: steps until the rate is negative."""
    prepare()
    worker = Worker(rank, shared, seed)
    while True:
        shared["barrier"].wait()
        if shared["rate"].value < 0:
            return
        worker.step()


def prepare():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def save(path, state):
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--work", required=True, help="folder for the checkpoint and the log; holds vocab.json")
    a.add_argument("--minutes", type=float, default=90, help="length of the whole schedule, resumed time included")
    a.add_argument("--start", help="a GGUF file to take the weights from")
    a.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--workers", type=int, default=2)
    a.add_argument("--evaluate-every", type=float, default=20, help="minutes")
    return a.parse_args()


def main():
    o = arguments()
    prepare()
    config = model.Config()
    bpe = bpe_module.Bpe.load(os.path.join(o.work, "vocab.json"))
    path = os.path.join(o.work, "checkpoint.pt")
    stored = torch.load(path) if os.path.exists(path) else {"elapsed": 0.0, "tokens": 0, "optimizer": None, "steps": 0}
    weights = stored.get("weights") or (gguf.read_weights(o.start, config) if o.start else model.initial_weights(config, o.seed))
    weights = {n: w.detach().share_memory_() for n, w in weights.items()}
    opt = optimizer.Optimizer(weights, stored["optimizer"], stored["steps"])
    shared = {
        "config": config, "bpe": bpe, "weights": weights, "optimizer": opt, "workers": o.workers,
        "gradients": [{n: torch.zeros_like(w).share_memory_() for n, w in weights.items()} for _ in range(o.workers)],
        "counts": torch.zeros(o.workers, 3, dtype=torch.float64).share_memory_(),  # loss, weight, tokens
        "barrier": mp.Barrier(o.workers), "taken": mp.Value("i", 0), "rate": mp.Value("d", 0.0),
        "longest": mp.Value("i", SHORT),
    }
    seeds = [o.seed * 1_000_003 + opt.count * o.workers + rank for rank in range(o.workers)]
    helpers = [mp.Process(target=helper, args=(rank, shared, seeds[rank]), daemon=True) for rank in range(1, o.workers)]
    for p in helpers:
        p.start()
    worker = Worker(0, shared, seeds[0])
    log = open(os.path.join(o.work, "train.log"), "a", buffering=1)
    begun = time.time() - stored["elapsed"]
    saved = evaluated = shown = time.time()

    def state():
        return {"weights": weights, "optimizer": opt.state, "steps": opt.count, "tokens": stored["tokens"] + int(counted[2]),
                "elapsed": time.time() - begun}

    counted = torch.zeros(3, dtype=torch.float64)
    while True:
        share = (time.time() - begun) / (o.minutes * 60)
        shared["rate"].value = rate_at(share) * o.rate if share < 1 else -1.0
        shared["longest"].value = SHORT if share < SHORT_FIRST and not o.start else samples.MAX_LENGTH
        shared["taken"].value = 0
        shared["barrier"].wait()
        if share >= 1:
            break
        worker.step()
        now = time.time()
        if opt.count % LOG_EVERY == 0:
            total = shared["counts"].sum(0)
            loss, weight, tokens = (total - counted).tolist()
            counted = total.clone()
            print(f"step {opt.count} {(now - begun) / 60:.1f} min {(stored['tokens'] + counted[2]) / 1e6:.2f} M tokens "
                  f"loss {loss / weight:.4f} rate {shared['rate'].value:.3f} {tokens / (now - shown):.0f} tokens/s", file=log)
            shown = now
        if now - saved > SAVE_EVERY:
            save(path, state())
            saved = now
        if now - evaluated > o.evaluate_every * 60:
            print(evaluation.report(evaluation.teacher_forced(weights, config, bpe)), file=log)
            evaluated = time.time()
    for p in helpers:
        p.join()
    save(path, state())
    print(evaluation.report(evaluation.teacher_forced(weights, config, bpe)), file=log)


if __name__ == "__main__":
    main()
