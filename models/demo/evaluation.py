"""A quick measure of a checkpoint on the held-out cases: is every token of the answer the most likely one?"""
import torch

import cases
import chat
import model
import samples


@torch.no_grad()
def teacher_forced(weights, config, bpe, count=40):
    """{(task, thinking): share of cases with every token of the answer right}"""
    out = {}
    for task in cases.TASKS:
        for thinking in (True, False):
            encoded = [chat.tokens(c, bpe) for c in
                       cases.cases(task, count if task != "recall far" else count // 4, thinking)]
            right = 0
            encoded.sort(key=lambda e: len(e[0]))
            for i in range(0, len(encoded), 8):
                batch = encoded[i:i + 8]
                ids, target, at, _ = samples.collate(batch)
                hidden = model.forward(weights, config, ids, at)
                wrong = model.logits(weights, hidden).argmax(-1) != target
                row = at // ids.shape[1]
                right += len(batch) - len(set(row[wrong].tolist()))
            out[task, thinking] = right / len(encoded)
    return out


def report(figures):
    return "\n".join(f"  {task:12} think {100 * figures[task, True]:5.1f}  no think {100 * figures[task, False]:5.1f}" for task in cases.TASKS)
