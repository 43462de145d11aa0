"""PyTorch with many nets in two forms: batched matrices, the usual one, and some epochs in one compiled graph."""

from __future__ import annotations

from functools import cache

import numpy as np
from suite.cases.populations import BIGGEST, GROWTH, RATES, SHRINK, SMALLEST, X, Y
from suite.flat_params import offsets

from competitors import DEVICE, Unsupported

UNSUPPORTED = {
    "quickprop": "torch.optim has no Quickprop",
    "rprop": "torch.optim.Rprop takes no step back where the error has grown: a third of the nets go elsewhere",
}
# Nets in a graph: with 16,384 a net and epoch took 5.4 ns, with 50,000 and 100,000 4.1; a million exceed the caches.
BLOCK = 50_000
# Epochs in a graph: a net and epoch took 4.7, 4.4 and 3.8 ns with one, two and four. Larger nets have one epoch, which
# compiles in ten seconds: 2-4-4-1 took 17 ns with one, 15 with two, which compile for half a minute.
UNROLLED, FEW_PARAMETERS = 4, 10
OPTIONS = {
    "max_fusion_size": 10_000,  # one loop over nets, from parameters to parameters
    "cpp.enable_floating_point_contract_flag": "fast",
    "cpp.use_decompose_tanh": True,  # 34 -> 17 ns of 2-4-4-1
}


class Batched:
    """baddbmm over all nets, autograd, one step of torch.optim for the stacked parameters."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import torch

        if optimizer not in ("sgd", "adam"):
            raise Unsupported(UNSUPPORTED[optimizer])
        self.torch, self.start, self.layer_offsets = torch, start, offsets(layer_sizes)
        self.activation, self.optimizer = getattr(torch, hidden_activation), optimizer

    def run(self, n_epochs):
        torch, n = self.torch, len(self.start)
        layers = []
        for w, b, i, j in self.layer_offsets:
            tensor = lambda begin, end: torch.tensor(self.start[:, begin:end], device=DEVICE)
            layers.append((tensor(w, b).reshape(n, i, j).requires_grad_(), tensor(b, b + j)[:, None].requires_grad_()))
        flat, rate = [t for layer in layers for t in layer], RATES[self.optimizer]
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer]
        optimizer = make(flat, rate, foreach=True)
        x, y = torch.tensor(X, device=DEVICE).expand(n, *X.shape), torch.tensor(Y, device=DEVICE)[None, :, None]
        for _ in range(n_epochs):
            optimizer.zero_grad()
            a = x
            for k, (W, b) in enumerate(layers):
                z = torch.baddbmm(b, a, W)
                a = self.activation(z) if k < len(layers) - 1 else torch.sigmoid(z)
            (((a - y) ** 2).sum() / len(X)).backward()
            optimizer.step()
        return np.concatenate([t.detach().cpu().numpy().reshape(n, -1) for t in flat], axis=1)


def sgd(g, error, state, root):
    return [-a for a in g], state


def adam(g, error, state, root):
    m = [0.9 * a + 0.1 * b for a, b in zip(state[0], g, strict=True)]
    v = [0.999 * a + 0.001 * b * b for a, b in zip(state[1], g, strict=True)]
    return [-a / (b.sqrt() * root + 1e-8) for a, b in zip(m, v, strict=True)], [m, v]


def quickprop(g, error, state, root):
    """state : the last steps, the last slopes"""
    import torch

    growth, rate, moved = GROWTH["quickprop"], RATES["quickprop"], []
    for step, last_slope, slope in zip(*state, g, strict=True):
        gap, bound = last_slope - slope, growth / (1 + growth) * last_slope
        jump = torch.where(gap == 0, 0.0, step * slope / gap)
        jump = torch.where(torch.where(step > 0, slope < bound, slope > bound), growth * step, jump)
        descent = -rate * slope
        moved.append(torch.where(step == 0, descent, jump + torch.where(step * slope < 0, descent, 0.0)))
    return moved, [moved, list(g)]


def rprop(g, error, state, root):
    """state : the last slopes, sizes of steps, the last steps, the last errors"""
    import torch

    last_slopes, sizes, steps, (last_error,) = state
    updated = []
    for slope, last_slope, size, step in zip(g, last_slopes, sizes, steps, strict=True):
        sign = slope * last_slope
        factor = torch.where(sign > 0, GROWTH["rprop"], torch.where(sign < 0, SHRINK, 1.0))
        size = (size * factor).clamp(SMALLEST, BIGGEST)
        step = torch.where(sign < 0, torch.where(error > last_error, -step, 0.0), -slope.sign() * size)
        updated.append((step, torch.where(sign < 0, 0.0, slope), size))
    moved, slopes, sizes = map(list, zip(*updated, strict=True))
    return moved, [slopes, sizes, moved, [error]]


RULES = {"sgd": sgd, "adam": adam, "quickprop": quickprop, "rprop": rprop}


def first_state(optimizer, p):
    """The optimiser state before the first step: lists of vectors over nets."""
    import torch

    zeros = lambda: [torch.zeros_like(a) for a in p]
    if optimizer == "rprop":
        return [zeros(), [torch.full_like(a, RATES["rprop"]) for a in p], zeros(), [torch.zeros_like(p[0])]]
    return [] if optimizer == "sgd" else [zeros(), zeros()]


@cache
def compiled(layer_sizes, hidden_activation, optimizer, n_epochs):
    """train(p, state, factors): n_epochs in one graph, in place. Every parameter is a vector over nets.

    factors : (n_epochs, 2), per epoch the factor of the step, and Adam's correction of the root
    """
    import torch

    layer_offsets, rule = offsets(layer_sizes), RULES[optimizer]
    samples = [([r for r, v in enumerate(x) if v], y) for x, y in zip(X.tolist(), Y.tolist(), strict=True)]
    activation = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[hidden_activation]

    def loss(p):
        """The sum of all nets', and each one's."""
        total = 0.0
        for ones, y in samples:
            a = []
            for k, (w, b, i, j) in enumerate(layer_offsets):
                if k:
                    z = [sum((p[w + r * j + q] * a[r] for r in range(i)), p[b + q]) for q in range(j)]
                else:  # an input is 0 or 1
                    z = [sum((p[w + r * j + q] for r in ones), p[b + q]) for q in range(j)]
                a = [activation(v) if k < len(layer_offsets) - 1 else torch.sigmoid(v) for v in z]
            total = total + (a[0] - y) ** 2
        return total.sum() / len(samples), total

    def train(params, first, factors):
        p, state = params, first
        for t in range(n_epochs):
            g, error = torch.func.grad(loss, has_aux=True)(tuple(p))
            moved, state = rule(g, error, state, factors[t, 1])
            p = [a + factors[t, 0] * b for a, b in zip(p, moved, strict=True)]
        for target, new in zip([params, *first], [p, *state], strict=True):
            for a, b in zip(target, new, strict=True):
                a.copy_(b)

    options = {name: value for name, value in OPTIONS.items() if name in torch._inductor.list_options()}
    return torch.compile(train, fullgraph=True, dynamic=False, options=options)


BLOCK_NETS: dict[
    tuple, int
] = {}  # job -> the nets of a block that its graph is compiled for; a smaller block is padded


class Compiled:
    """A structure of arrays, written by hand, in blocks: Inductor makes some epochs of a block one loop over nets."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import torch

        self.torch, self.n, self.optimizer = torch, len(start), optimizer
        job = layer_sizes, hidden_activation, optimizer
        self.n_epochs = UNROLLED if start.shape[1] < FEW_PARAMETERS else 1
        rows = BLOCK_NETS.setdefault(job, _rounded_up(-(-self.n // -(-self.n // BLOCK)), 32))
        shape = _rounded_up(self.n, rows) // rows, rows, start.shape[1]
        self.start = np.resize(start, (shape[0] * rows, shape[2])).reshape(shape)
        self.train = compiled(*job, self.n_epochs)

    def run(self, n_epochs):
        torch, t = self.torch, np.arange(1, n_epochs + 1)
        # Zero for padded epochs, which then change nothing.
        factors = np.zeros((_rounded_up(n_epochs, self.n_epochs), 2), np.float32)
        factors[:n_epochs, 0] = 1.0 if self.optimizer in ("quickprop", "rprop") else RATES[self.optimizer]
        if self.optimizer == "adam":
            factors[:n_epochs, 0] /= 1 - 0.9**t
            factors[:n_epochs, 1] = (1 - 0.999**t) ** -0.5
        calls, params = torch.from_numpy(factors).split(self.n_epochs), []
        with torch.no_grad():
            for block in self.start:
                p = [torch.from_numpy(column.copy()) for column in block.T]
                state = first_state(self.optimizer, p)
                for step_factors in calls:
                    self.train(p, state, step_factors)
                params.append(torch.stack(p, dim=1))
        return torch.cat(params).numpy()[: self.n]


def _rounded_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
