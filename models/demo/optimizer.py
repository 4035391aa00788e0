"""Muon for the matrices (momentum made orthogonal by a Newton-Schulz iteration), Adam for the embedding and the norms."""
import torch

MOMENTUM, BETA1, BETA2 = 0.95, 0.9, 0.98


def orthogonalised(m, steps=4):
    """The nearest semi-orthogonal matrices to those of m (count, rows, columns), roughly: a quintic iteration on their singular
    values, in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m.bfloat16()
    wide = x.shape[1] <= x.shape[2]
    if not wide:
        x = x.transpose(1, 2)
    x = (x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).contiguous()
    for _ in range(steps):
        g = x @ x.transpose(1, 2)
        x = a * x + (b * g + c * (g @ g)) @ x
    return (x if wide else x.transpose(1, 2)).float().contiguous()


class Optimizer:
    """The state of every weight; on the CPU in shared memory, for processes that step in turn.

    On a GPU weights of one shape step together: each operation on one of them alone takes far longer to start than to run.
    """

    def __init__(self, weights, state=None, count=0):
        self.weights = weights
        self.state = state or {n: {"m": torch.zeros_like(w)} if self.is_matrix(n) else {"m": torch.zeros_like(w), "v": torch.zeros_like(w)}
                               for n, w in weights.items()}
        for tensors in self.state.values():
            for t in tensors.values():
                t.share_memory_()
        self.count = torch.tensor(count).share_memory_()
        groups = {}
        for n, w in weights.items():
            groups.setdefault((w.shape, self.is_matrix(n)) if w.is_cuda else n, []).append(n)
        self.groups = list(groups.values())

    def steps(self):
        return int(self.count)

    def is_matrix(self, name):
        return name.startswith("blk.") and self.weights[name].dim() == 2

    @torch.no_grad()
    def step(self, gradients, matrix_rate, embedding_rate, norm_rate, decay):
        self.count += 1
        count = self.steps()
        for names in self.groups:
            weights = [self.weights[n] for n in names]
            momenta = [self.state[n]["m"] for n in names]
            shape = weights[0].shape
            g = torch.stack([gradients[n] for n in names]).float()
            if self.is_matrix(names[0]):
                for_each(momenta, MOMENTUM, g, 1 - MOMENTUM)
                update = orthogonalised(g.lerp(torch.stack(momenta), MOMENTUM))
                size = 0.2 * max(shape) ** 0.5  # an update of about the size that Adam's would have
                for_each(weights, 1 - matrix_rate * decay, update, -matrix_rate * size)
            else:
                squares = [self.state[n]["v"] for n in names]
                for_each(momenta, BETA1, g, 1 - BETA1)
                for_each(squares, BETA2, g * g, 1 - BETA2)
                update = torch.stack(momenta) / (1 - BETA1 ** count) / ((torch.stack(squares) / (1 - BETA2 ** count)).sqrt() + 1e-10)
                if len(shape) == 2:
                    # The same vector added to all embeddings changes no probability, yet without this Adam moves every rare token
                    # along with the others until they are all alike.
                    update -= update.mean(1, keepdim=True)
                for_each(weights, 1.0, update, -(embedding_rate if len(shape) == 2 else norm_rate))


def for_each(tensors, factor, added, added_factor):
    """t = factor t + added_factor a, of every tensor and its row of `added`."""
    torch._foreach_mul_(tensors, factor)
    torch._foreach_add_(tensors, list(added), alpha=added_factor)
