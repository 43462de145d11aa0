"""PyTorch with many nets in two forms: batched matrices, the usual one, and some epochs in one compiled graph."""

from __future__ import annotations

from functools import cache

import numpy as np
from suite.flat_params import offsets

from competitors import DEVICE, NetsImplementation

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
    """baddbmm over all nets, autograd, one step of torch.optim for the stacked parameters; autocast for bfloat16."""

    def __init__(self, case, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest" if case.precision == "exact" else "high")
        self.torch, self.case, self.layer_offsets = torch, case, offsets(case.layer_sizes)
        self.activation = getattr(torch, case.hidden_activation)
        X, y = (torch.as_tensor(array, device=DEVICE).expand(case.n_nets, *array.shape) for array in (case.X, case.y))
        self.batches = list(zip(X.split(case.batch_size, 1), y.split(case.batch_size, 1), strict=True))
        self.half = torch.bfloat16 if case.precision == "bfloat16" else None

    def loss(self, layers, X, y):
        """The sum of all nets'."""
        torch = self.torch
        with torch.autocast(DEVICE, self.half, enabled=self.half is not None):
            a = X
            for k, (W, b) in enumerate(layers):
                z = torch.baddbmm(b, a, W)
                a = self.activation(z) if k < len(layers) - 1 else z
            if self.case.loss == "softmax_cross_entropy":
                total = torch.nn.functional.cross_entropy(a.flatten(0, 1), y.flatten(), reduction="sum")
            else:
                total = ((torch.sigmoid(a) - y) ** 2).sum()
            return total / X.shape[1]

    def run(self, n_epochs):
        torch, case, n = self.torch, self.case, self.case.n_nets
        layers = []
        for w, b, i, j in self.layer_offsets:
            tensor = lambda begin, end: torch.tensor(case.start[:, begin:end], device=DEVICE)
            layers.append((tensor(w, b).reshape(n, i, j).requires_grad_(), tensor(b, b + j)[:, None].requires_grad_()))
        flat = [t for layer in layers for t in layer]
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer]
        optimizer = make(flat, case.learning_rate, **({"fused": True} if DEVICE == "cuda" else {"foreach": True}))
        for _ in range(n_epochs):
            for X, y in self.batches:
                optimizer.zero_grad()
                self.loss(layers, X, y).backward()
                optimizer.step()
        return np.concatenate([t.detach().cpu().numpy().reshape(n, -1) for t in flat], axis=1)


def sgd(g, state, root):
    return [-a for a in g], state


def adam(g, state, root):
    m = [0.9 * a + 0.1 * b for a, b in zip(state[0], g, strict=True)]
    v = [0.999 * a + 0.001 * b * b for a, b in zip(state[1], g, strict=True)]
    return [-a / (b.sqrt() * root + 1e-8) for a, b in zip(m, v, strict=True)], [m, v]


@cache
def compiled(case_key, n_epochs):
    """train(p, state, factors): n_epochs in one graph, in place. Every parameter is a vector over nets.

    case_key : (layer_sizes, hidden_activation, optimizer, samples), samples a tuple of (inputs that are 1, target)
    factors : (n_epochs, 2), per epoch the factor of the step, and Adam's correction of the root
    """
    import torch

    layer_sizes, hidden_activation, optimizer, samples = case_key
    layer_offsets, rule = offsets(layer_sizes), {"sgd": sgd, "adam": adam}[optimizer]
    activation = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[hidden_activation]

    def loss(p):
        """The sum of all nets'."""
        total = 0.0
        for ones, y in samples:
            a = []
            for k, (w, b, i, j) in enumerate(layer_offsets):
                # An input is 0 or 1.
                terms = lambda q: [p[w + r * j + q] * a[r] for r in range(i)] if k else [p[w + r * j + q] for r in ones]  # noqa: B023
                z = [sum(terms(q), p[b + q]) for q in range(j)]
                a = [activation(v) if k < len(layer_offsets) - 1 else torch.sigmoid(v) for v in z]
            total = total + (a[0] - y) ** 2
        return total.sum() / len(samples)

    def train(params, first, factors):
        p, state = params, first
        for t in range(n_epochs):
            moved, state = rule(torch.func.grad(loss)(tuple(p)), state, factors[t, 1])
            p = [a + factors[t, 0] * b for a, b in zip(p, moved, strict=True)]
        for target, new in zip([params, *first], [p, *state], strict=True):
            for a, b in zip(target, new, strict=True):
                a.copy_(b)

    options = {name: value for name, value in OPTIONS.items() if name in torch._inductor.list_options()}
    return torch.compile(train, fullgraph=True, dynamic=False, options=options)


BLOCK_NETS: dict[tuple, int] = {}  # job -> nets of a block that its graph is compiled for; a smaller block is padded


class Compiled:
    """A structure of arrays, written by hand, in blocks: Inductor makes some epochs of a block one loop over nets."""

    def __init__(self, case, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.case, start = torch, case, case.start
        pairs = zip(case.X, case.y[:, 0].tolist(), strict=True)
        samples = tuple((tuple(np.flatnonzero(x).tolist()), y) for x, y in pairs)
        job = case.layer_sizes, case.hidden_activation, case.optimizer, samples
        self.n_epochs = UNROLLED if start.shape[1] < FEW_PARAMETERS else 1
        rows = BLOCK_NETS.setdefault(job, _rounded_up(-(-case.n_nets // -(-case.n_nets // BLOCK)), 32))
        shape = _rounded_up(case.n_nets, rows) // rows, rows, start.shape[1]
        self.start = np.resize(start, (shape[0] * rows, shape[2])).reshape(shape)
        self.train = compiled(job, self.n_epochs)

    def run(self, n_epochs):
        torch, case, t = self.torch, self.case, np.arange(1, n_epochs + 1)
        # Zero for padded epochs, which then change nothing.
        factors = np.zeros((_rounded_up(n_epochs, self.n_epochs), 2), np.float32)
        factors[:n_epochs, 0] = case.learning_rate
        if case.optimizer == "adam":
            factors[:n_epochs, 0] /= 1 - 0.9**t
            factors[:n_epochs, 1] = (1 - 0.999**t) ** -0.5
        calls, params = torch.from_numpy(factors).split(self.n_epochs), []
        with torch.no_grad():
            for block in self.start:
                p = [torch.from_numpy(column.copy()) for column in block.T]
                n_state = {"sgd": 0, "adam": 2}[case.optimizer]
                state = [[torch.zeros_like(a) for a in p] for _ in range(n_state)]
                for step_factors in calls:
                    self.train(p, state, step_factors)
                params.append(torch.stack(p, dim=1))
        return torch.cat(params).numpy()[: case.n_nets]


def _rounded_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


class Implementation(NetsImplementation):
    forms = {"batched": Batched, "compiled": Compiled}  # noqa: RUF012  # read only
