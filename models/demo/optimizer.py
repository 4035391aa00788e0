"""Muon for the matrices (momentum made orthogonal by a Newton-Schulz iteration), Adam for the embedding and the norms."""
import torch

MOMENTUM, BETA1, BETA2 = 0.95, 0.9, 0.98


def orthogonalised(m, steps=4):
    """The nearest semi-orthogonal matrix to m, roughly: a quintic iteration on its singular values, in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    if not wide:
        x = x.t()
    x = (x / (x.norm() + 1e-7)).contiguous()
    for _ in range(steps):
        g = x @ x.t()
        x = a * x + (b * g + c * (g @ g)) @ x
    return (x if wide else x.t()).float()


class Optimizer:
    """The state of every weight, in shared memory, for processes that step in turn."""

    def __init__(self, weights, state=None, count=0):
        self.weights = weights
        self.state = state or {n: {"m": torch.zeros_like(w)} if self.is_matrix(n) else {"m": torch.zeros_like(w), "v": torch.zeros_like(w)}
                               for n, w in weights.items()}
        for tensors in self.state.values():
            for t in tensors.values():
                t.share_memory_()
        self.count = torch.tensor(count).share_memory_()

    def steps(self):
        return int(self.count)

    def is_matrix(self, name):
        return name.startswith("blk.") and self.weights[name].dim() == 2

    @torch.no_grad()
    def step(self, gradients, matrix_rate, embedding_rate, norm_rate, decay):
        self.count += 1
        count = self.steps()
        for n, g in gradients.items():
            w, s = self.weights[n], self.state[n]
            if self.is_matrix(n):
                s["m"].mul_(MOMENTUM).add_(g, alpha=1 - MOMENTUM)
                update = orthogonalised(g.lerp(s["m"], MOMENTUM))
                size = 0.2 * max(w.shape) ** 0.5  # an update of about the size that Adam's would have
                w.mul_(1 - matrix_rate * decay).add_(update, alpha=-matrix_rate * size)
            else:
                s["m"].mul_(BETA1).add_(g, alpha=1 - BETA1)
                s["v"].mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
                m = s["m"] / (1 - BETA1 ** count)
                v = s["v"] / (1 - BETA2 ** count)
                update = m / (v.sqrt() + 1e-10)
                if w.dim() == 2:
                    # The same vector added to all embeddings changes no probability, yet without this Adam moves every rare token
                    # along with the others until they are all alike.
                    update -= update.mean(0)
                w.add_(update, alpha=-(embedding_rate if w.dim() == 2 else norm_rate))
