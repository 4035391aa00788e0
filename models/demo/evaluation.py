"""Quick measures of a network on the held-out cases, without the program: teacher_forced() and answered()."""
import functools
import json
import re

import torch

import cases
import chat
import checks
import model
import samples

BATCH_TOKENS = {"cpu": 4096, "cuda": 131072}
LONGEST_ANSWER = 192  # tokens


@functools.lru_cache(maxsize=None)
def _conversations(task, thinking, count):
    return cases.every_fact(thinking) if task == "every fact" else cases.cases(task, count, thinking)


@functools.lru_cache(maxsize=None)
def _encoded(bpe, task, thinking, count):
    return sorted((chat.tokens(c, bpe) for c in _conversations(task, thinking, count)), key=lambda e: len(e[0]))


def _cut(items, length_of, device):
    """Items sorted by length in batches of about as many tokens as the device likes."""
    batches = [[]]
    for item in items:
        if batches[-1] and (len(batches[-1]) + 1) * length_of(item) > BATCH_TOKENS[device]:
            batches.append([])
        batches[-1].append(item)
    return batches


@torch.no_grad()
def teacher_forced(weights, config, bpe, count=40, tasks=tuple(cases.TASKS)):
    """{(task, thinking): share of cases where every token of the answer is the most likely one}"""
    out = {}
    device = weights["token_embd.weight"].device.type
    for task in tasks:
        for thinking in (True, False):
            encoded = _encoded(bpe, task, thinking, count if task != "recall far" else count // 4)
            right = 0
            for batch in _cut(encoded, lambda e: len(e[0]), device):
                ids, target, at, _ = samples.tensors(samples.collate(batch), device)
                hidden = model.forward(weights, config, ids, at)
                wrong = model.logits(weights, hidden).argmax(-1) != target
                right += len(batch) - len(set((at // ids.shape[1])[wrong].tolist()))
            out[task, thinking] = right / len(encoded)
    return out


def report(figures):
    return "\n".join(f"  {task:12} think {100 * figures[task, True]:5.1f}  no think {100 * figures[task, False]:5.1f}"
                     for task in dict.fromkeys(task for task, _ in figures))


@torch.no_grad()
def generated(weights, config, bpe, prompts):
    """The most likely continuation of each prompt (ids, sorted by length), to the end of the message. Every token costs a pass over
    all before it: simple, and quick on a GPU."""
    device = weights["token_embd.weight"].device
    end = bpe.special["<|im_end|>"]
    out = []
    for batch in _cut(prompts, lambda p: len(p) + LONGEST_ANSWER, device.type):
        length = torch.tensor([len(p) for p in batch], device=device)
        first = length.clone()
        ids = torch.zeros(len(batch), -(-(len(batch[-1]) + LONGEST_ANSWER) // 64) * 64, dtype=torch.long)
        for row, p in enumerate(batch):
            ids[row, :len(p)] = torch.tensor(p)
        ids = ids.to(device)
        rows = torch.arange(len(batch), device=device)
        ended = torch.zeros(len(batch), dtype=torch.bool, device=device)
        for _ in range(LONGEST_ANSWER):
            used = min(ids.shape[1], -(-int(length.max()) // 64) * 64)
            hidden = model.forward(weights, config, ids[:, :used].contiguous(), rows * used + length - 1)
            token = model.logits(weights, hidden).argmax(-1)
            ended |= token == end
            if bool(ended.all()):
                break
            ids[rows, length] = torch.where(ended, ids[rows, length], token)
            length += (~ended).long()
        out += [ids[row, first[row]:length[row]].tolist() for row in range(len(batch))]
    return out


def parsed(text):
    """(answer without the thought, first call or None) of what was generated."""
    content = text.split("</think>")[-1]
    call = re.search(r"<tool_call>(.*?)</tool_call>", content, re.S)
    if not call:
        return content, None
    try:
        call_made = json.loads(call[1])
    except json.JSONDecodeError:
        call_made = None
    named = isinstance(call_made, dict) and {"name", "arguments"} <= set(call_made)
    return content[:call.start()], call_made if named else None


def answered(weights, config, bpe, tasks=(*cases.TASKS, "every fact"), count=50):
    """Greedy answers judged as evaluate.py judges them, a line a task; of calls also by the number of tools on offer."""
    lines = []
    for task in tasks:
        line = f"  {task:12}"
        for thinking in (True, False):
            asked = sorted(((chat.tokens(c, bpe, generation_prompt=True)[0], c) for c in
                            _conversations(task, thinking, count if task != "recall far" else min(count, 20))), key=lambda a: len(a[0]))
            answers = generated(weights, config, bpe, [ids for ids, _ in asked])
            by_tools = {}
            for (_, c), ids in zip(asked, answers):
                by_tools.setdefault(len(c.tools), []).append(checks.judge(c.check, *parsed(bpe.decode(ids))))
            right, of = sum(map(sum, by_tools.values())), len(asked)
            line += f"  {'think' if thinking else 'no think'} {100 * right / of:5.1f} % of {of}"
            if task == "tool call":
                line += " (" + ", ".join(f"{n}: {sum(good)}/{len(good)}" for n, good in sorted(by_tools.items())) + ")"
        lines.append(line)
    return "\n".join(lines)
