"""Train the demo model; resumes from its checkpoint, or starts from a GGUF file's weights.

    train.py --work DIR --minutes 90                 a run that ends, learning rate at zero, after 90 minutes
    train.py --work DIR --minutes 5 --device cuda --workers 14     on a GPU, with so many processes that make the batches
    train.py --work DIR --minutes 30 --start ../demo.gguf --rate 0.3

The schedule runs on time, not on steps, so that a run ends when it was asked to however busy the machine is: a short
warm-up, a plateau, then a linear decay to zero. A run that is terminated saves where it is. DIR holds vocab.json, checkpoint.pt and train.log.

On a GPU one process trains on large batches and writes checkpoint.pt (weights alone, in float16) and demo.gguf into DIR every
minute; at the end it answers all the held-out cases.

On the CPU each worker is a process with one thread that takes a copy of the weights, adds the gradient of one micro-batch to the
shared gradient, and steps the shared weights when that has enough, waiting for nobody: on a busy machine this loses far
less than threads that wait for each other in every operation, and a gradient that is one step old does no harm.
"""
import argparse
import math
import os
import signal
import time

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import bpe as bpe_module
import evaluation
import export
import gguf
import model
import optimizer
import samples

MATRIX_RATE, EMBEDDING_RATE, NORM_RATE, DECAY = 0.005, 0.005, 0.0002, 0.05
WARM_UP, PLATEAU = 0.02, 0.35  # shares of the run
SHORT_FIRST, SHORT = 0.15, 320 # share of the run with conversations of at most so many tokens: copying is learnt there first
MICRO_TOKENS, MICRO_PER_STEP = 1280, 4
SCALE = 1.0 / 1800            # about one over the weighted answer tokens of a step
LONGEST_BATCH = 60            # seconds; more passed while the process was suspended, and does not count
OVER = -1.0                   # the rate that ends the workers
SAVE_EVERY = 180              # seconds
LOG_EVERY = 20                # steps

# On a GPU: rates for batches ten times as large and as many steps or more; figures in seconds, tokens of a batch, and the share of
# them that an answer has.
GPU_MATRIX_RATE, GPU_EMBEDDING_RATE = 0.004, 0.003
GPU_SAVE_EVERY, GPU_LOG_EVERY = 60, 10
WATCHED = ("tool call", "sums", "reverse", "facts", "recall near")  # measured at every save
GPU_BATCH_TOKENS, LENGTH_MULTIPLE, ANSWER_SHARE = 49152, 64, 0.28


def rate_at(share):
    if share < WARM_UP:
        return share / WARM_UP
    return min(1.0, max(0.0, (1 - share) / (1 - PLATEAU)))


class Worker:
    """One process's part. Weights, gradients, optimizer state and counts lie in shared memory."""

    def __init__(self, shared, seed):
        self.shared = shared
        self.batches = samples.Batches(shared["bpe"], seed, MICRO_TOKENS)

    def copied_weights(self):
        """Leaves to differentiate: the matrices in bfloat16, the norms as they are."""
        return {n: (w.bfloat16() if w.dim() == 2 else w.clone()).requires_grad_(True) for n, w in self.shared["weights"].items()}

    def micro_batch(self):
        """Add one micro-batch's gradient to the shared one; the worker that brings the last of a step steps the weights."""
        shared = self.shared
        with shared["lock"]:
            weights = self.copied_weights()
        ids, target, at, weight = samples.tensors(self.batches.take(shared["longest"].value))
        hidden = model.forward(weights, shared["config"], ids, at)
        losses = F.cross_entropy(model.logits(weights, hidden).float(), target, reduction="none")
        loss = (losses * weight).sum()
        (loss * SCALE).backward()
        with shared["lock"]:
            shared["counts"] += torch.tensor([loss.item(), weight.sum().item(), ids.numel()])
            for n, g in shared["gradients"].items():
                g += weights[n].grad
            shared["gathered"].value += 1
            if shared["gathered"].value >= MICRO_PER_STEP:
                rate = max(0.0, shared["rate"].value)
                shared["optimizer"].step(shared["gradients"], MATRIX_RATE * rate, EMBEDDING_RATE * rate, NORM_RATE * rate, DECAY)
                for g in shared["gradients"].values():
                    g.zero_()
                shared["gathered"].value = 0


def helper(shared, seed):
    """A worker beside the first, until the run is over."""
    prepare()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = Worker(shared, seed)
    while shared["rate"].value != OVER:
        worker.micro_batch()


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
    a.add_argument("--layers", type=int, default=model.Config.layers, help="at least 4; a checkpoint keeps its own")
    a.add_argument("--ffn", type=int, default=model.Config.ffn, help="width of the feed-forward part, a multiple of 32; a checkpoint keeps its own")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    a.add_argument("--workers", type=int, default=2, help="processes: those that train, or on a GPU those that make the batches")
    a.add_argument("--batch-tokens", type=int, default=GPU_BATCH_TOKENS, help="tokens of a step on a GPU")
    a.add_argument("--evaluate-every", type=float, default=30, help="minutes")
    return a.parse_args()


def train_on_cpu(o, config, bpe, path, stored, weights):
    prepare()
    weights = {n: w.detach().share_memory_() for n, w in weights.items()}
    opt = optimizer.Optimizer(weights, stored["optimizer"], stored["steps"])
    shared = {"config": config, "bpe": bpe, "weights": weights, "optimizer": opt, "lock": mp.Lock(), "rate": mp.Value("d", 0.0),
              "longest": mp.Value("i", SHORT), "gathered": mp.Value("i", 0),
              "gradients": {n: torch.zeros_like(w).share_memory_() for n, w in weights.items()}, "counts": torch.zeros(3, dtype=torch.float64).share_memory_()}
    seeds = [o.seed * 1_000_003 + opt.steps() * o.workers + rank for rank in range(o.workers)]
    helpers = [mp.Process(target=helper, args=(shared, seed), daemon=True) for seed in seeds[1:]]
    worker = Worker(shared, seeds[0])
    log = open(os.path.join(o.work, "train.log"), "a", buffering=1)
    elapsed = stored["elapsed"]
    saved = evaluated = shown = last = time.time()

    def state():
        with shared["lock"]:
            return {"weights": {n: w.clone() for n, w in weights.items()}, "steps": opt.steps(), "elapsed": elapsed,
                    "optimizer": {n: {k: t.clone() for k, t in s.items()} for n, s in opt.state.items()},
                    "tokens": stored["tokens"] + int(shared["counts"][2])}

    for p in helpers:
        p.start()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    counted, logged = torch.zeros(3, dtype=torch.float64), opt.steps()
    while True:
        elapsed += min(time.time() - last, LONGEST_BATCH)
        last = time.time()
        share = elapsed / (o.minutes * 60)
        shared["rate"].value = OVER if share >= 1 or stopped else rate_at(share) * o.rate
        shared["longest"].value = SHORT if share < SHORT_FIRST and not o.start else samples.MAX_LENGTH
        if share >= 1 or stopped:
            break
        worker.micro_batch()
        now = time.time()
        if opt.steps() >= logged + LOG_EVERY:
            logged, total = opt.steps(), shared["counts"].clone()
            loss, weight, tokens = (total - counted).tolist()
            counted = total
            print(f"step {opt.steps()} {elapsed / 60:.1f} min {(stored['tokens'] + counted[2]) / 1e6:.2f} M tokens "
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
    if not stopped:
        print(evaluation.report(evaluation.teacher_forced(weights, config, bpe)), file=log)


class GpuRun:
    """One process's training on a GPU: float32 weights, and bfloat16 copies of the matrices that are differentiated."""

    def __init__(self, o, config, bpe, stored, weights, device):
        self.o, self.config, self.bpe, self.device = o, config, bpe, device
        self.weights = {n: w.detach().to(device).clone() for n, w in weights.items()}
        self.optimizer = optimizer.Optimizer(self.weights, None, stored["steps"])
        self.leaves = {n: (w.bfloat16() if w.dim() == 2 else w.clone()).requires_grad_(True) for n, w in self.weights.items()}
        self.elapsed, self.tokens, self.rate = stored["elapsed"], stored["tokens"], o.rate
        self.sums = torch.zeros(2, device=device)  # weighted loss and weights since the last line of the log
        self.scale = 1 / (ANSWER_SHARE * o.batch_tokens)
        self.good = {n: w.clone() for n, w in self.weights.items()}

    def step(self, batch, rate):
        ids, target, at, weight = samples.tensors(batch, self.device)
        hidden = model.forward(self.leaves, self.config, ids, at)
        losses = F.cross_entropy(model.logits(self.leaves, hidden).float(), target, reduction="none")
        loss = (losses * weight).sum()
        (loss * self.scale).backward()
        rate *= self.rate
        self.optimizer.step({n: leaf.grad for n, leaf in self.leaves.items()}, GPU_MATRIX_RATE * rate, GPU_EMBEDDING_RATE * rate, NORM_RATE * rate,
                            DECAY)
        self.refresh()
        with torch.no_grad():
            self.sums += torch.stack([loss.detach(), weight.sum()])
        self.tokens += ids.numel()

    def refresh(self):
        for n, leaf in self.leaves.items():
            leaf.data.copy_(self.weights[n])
            leaf.grad = None

    def mean_loss(self):
        """Since the last call. Where the run has gone astray, it goes on from the weights last saved, at half the rate."""
        loss, weight = self.sums.tolist()
        self.sums.zero_()
        mean = loss / max(weight, 1.0)
        if not math.isfinite(mean):
            for n, w in self.weights.items():
                w.copy_(self.good[n])
            self.optimizer = optimizer.Optimizer(self.weights, None, self.optimizer.steps())
            self.rate /= 2
            self.refresh()
        return mean

    def save(self):
        if not all(bool(torch.isfinite(w).all()) for w in self.weights.values()):
            return
        self.good = {n: w.clone() for n, w in self.weights.items()}
        save(os.path.join(self.o.work, "checkpoint.pt"), {"weights": {n: w.half().cpu() for n, w in self.weights.items()}, "optimizer": None,
             "steps": self.optimizer.steps(), "elapsed": self.elapsed, "tokens": self.tokens})
        out = os.path.join(self.o.work, "demo.gguf")
        export.write(out + ".part", self.weights, self.bpe)
        os.replace(out + ".part", out)


def train_on_gpu(o, config, bpe, stored, weights):
    stream = samples.Stream(bpe, o.seed * 1_000_003 + stored["steps"], o.batch_tokens, LENGTH_MULTIPLE, o.workers,
                            samples.MAX_LENGTH if o.start else SHORT)
    log = open(os.path.join(o.work, "train.log"), "a", buffering=1)

    def say(text):
        print(text, flush=True)
        print(text, file=log)

    def measure(figures):
        try:
            say(figures())
        except Exception as e:  # a measure that fails must not end the run
            say(f"not measured: {e!r}")

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    if o.device == "cuda" and hasattr(torch.backends.cuda, "enable_cudnn_sdp"):
        torch.backends.cuda.enable_cudnn_sdp(False)  # it would plan anew for every shape of a batch
    run = GpuRun(o, config, bpe, stored, weights, o.device)
    say(f"{sum(w.numel() for w in weights.values()) / 1e6:.2f} M parameters, {o.workers} processes make batches of {o.batch_tokens} tokens, "
        f"PyTorch {torch.__version__} on {torch.cuda.get_device_name() if o.device == 'cuda' else 'the CPU'}")
    saved = shown = last = time.time()
    shown_tokens = run.tokens
    while True:
        run.elapsed += min(time.time() - last, LONGEST_BATCH)
        last = time.time()
        share = run.elapsed / (o.minutes * 60)
        if share >= 1 or stopped:
            break
        run.step(stream.take(SHORT if share < SHORT_FIRST and not o.start else samples.MAX_LENGTH), rate_at(share))
        if last - shown > GPU_LOG_EVERY:
            loss = run.mean_loss()
            now = time.time()
            say(f"step {run.optimizer.steps()} {run.elapsed / 60:.2f} min {run.tokens / 1e6:.1f} M tokens loss {loss:.4f} rate {rate_at(share) * run.rate:.3f} "
                f"{(run.tokens - shown_tokens) / (now - shown):.0f} tokens/s, {stream.repeated} batches repeated")
            shown, shown_tokens = now, run.tokens
        if last - saved > GPU_SAVE_EVERY:
            run.save()
            measure(lambda: evaluation.report(evaluation.teacher_forced(run.weights, config, bpe, tasks=WATCHED)))
            saved = time.time()
    stream.close()
    run.save()
    say(f"{run.tokens / 1e6:.1f} M tokens in {run.optimizer.steps()} steps, saved")
    for task in ("tool call", *(t for t in (*evaluation.cases.TASKS, "every fact") if t != "tool call")):
        measure(lambda: evaluation.answered(run.weights, config, bpe, (task,), 100 if task == "tool call" else 50))


def main():
    o = arguments()
    bpe = bpe_module.Bpe.load(os.path.join(o.work, "vocab.json"))
    path = os.path.join(o.work, "checkpoint.pt")
    stored = torch.load(path, map_location="cpu") if os.path.exists(path) else {"elapsed": 0.0, "tokens": 0, "optimizer": None, "steps": 0}
    asked = model.Config(layers=o.layers, ffn=o.ffn)
    weights = stored.get("weights") or (gguf.read_weights(o.start, asked) if o.start else model.initial_weights(asked, o.seed))
    config = model.Config.of(weights)
    weights = {n: w.float() for n, w in weights.items()}
    if o.device == "cpu":
        train_on_cpu(o, config, bpe, path, stored, weights)
    else:
        train_on_gpu(o, config, bpe, stored, weights)


if __name__ == "__main__":
    main()
