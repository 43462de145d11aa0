"""PyTorch with many nets: the usual way, batched matrices, and the whole epoch by hand in one compiled graph."""

from __future__ import annotations

from functools import cache

import numpy as np
from flat import offsets
from populations import RATES, X, Y

from peers import DEVICE, Unsupported

UNLIKE = {
    "quickprop": "torch.optim has no Quickprop",
    "rprop": "torch.optim.Rprop takes no step back where the error has grown: a third of the nets go elsewhere",
}
BLOCK = 50_000  # nets of a call at most: a call costs as much as an epoch of some thousand nets
OPTIONS = {"cpp.enable_floating_point_contract_flag": "fast", "max_fusion_size": 10_000}
SAMPLES = list(zip(X.tolist(), Y.tolist(), strict=True))  # numbers of Python become constants of a graph
UNROLLED = 2  # epochs of a call: four take TIMES as long to compile


class Batched:
    """baddbmm over all nets, autograd, one step of torch.optim for the stacked parameters."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import torch

        if optimizer not in ("sgd", "adam"):
            raise Unsupported(UNLIKE.get(optimizer, "not written for this optimiser"))
        self.torch, self.start, self.places = torch, start, offsets(layer_sizes)
        self.act, self.optimizer = getattr(torch, hidden_activation), optimizer

    def run(self, n_epochs):
        torch, n = self.torch, len(self.start)
        layers = []
        for w, b, i, j in self.places:
            part = lambda first, last: torch.tensor(self.start[:, first:last], device=DEVICE)
            layers.append((part(w, b).reshape(n, i, j).requires_grad_(), part(b, b + j)[:, None].requires_grad_()))
        flat, rate = [t for layer in layers for t in layer], RATES[self.optimizer]
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer]
        optimizer = make(flat, rate, foreach=True)
        x, y = torch.tensor(X, device=DEVICE).expand(n, *X.shape), torch.tensor(Y, device=DEVICE)[None, :, None]
        for _ in range(n_epochs):
            optimizer.zero_grad()
            a = x
            for k, (W, b) in enumerate(layers):
                z = torch.baddbmm(b, a, W)
                a = self.act(z) if k < len(layers) - 1 else torch.sigmoid(z)
            (((a - y) ** 2).sum() / len(X)).backward()
            optimizer.step()
        return np.concatenate([t.detach().cpu().numpy().reshape(n, -1) for t in flat], axis=1)


def gradient(p, places, act):
    """The slopes of every net's squared error, written out: every parameter is a vector over nets. By autograd Inductor
    makes several loops of them, with what is between in memory.
    """
    import torch

    slopes = {}

    def add(at, slope):
        slopes[at] = slopes[at] + slope if at in slopes else slope

    for x, y in SAMPLES:
        ones = [r for r, v in enumerate(x) if v]  # the inputs that are not 0 are 1
        outs = []
        for k, (w, b, i, j) in enumerate(places):
            hidden = torch.tanh if act == "tanh" and k < len(places) - 1 else torch.sigmoid
            below = [(r, outs[-1][r]) for r in range(i)] if k else []
            fixed = [p[b + q] + sum(p[w + r * j + q] for r in ones) if ones and not k else p[b + q] for q in range(j)]
            outs.append([hidden(z + sum(a * p[w + r * j + q] for r, a in below)) for q, z in enumerate(fixed)])
        a = outs[-1][0]
        deltas = [(a - y) * (a * (1 - a)) * (2 / len(X))]
        for k in range(len(places) - 1, -1, -1):
            w, b, i, j = places[k]
            for q, d in enumerate(deltas):
                add(b + q, d)
                for r in range(i) if k else ones:
                    add(w + r * j + q, d * outs[k - 1][r] if k else d)
            if k:
                below = [sum(d * p[w + r * j + q] for q, d in enumerate(deltas)) for r in range(i)]
                slope_of = (lambda a: 1 - a * a) if act == "tanh" else (lambda a: a * (1 - a))
                deltas = [v * slope_of(a) for v, a in zip(below, outs[k - 1], strict=True)]
    return [slopes[at] for at in range(len(p))]


@cache
def epochs(layer_sizes, hidden_activation, optimizer, n_epochs):
    """step(p, m, v, corrections): so many epochs in one compiled graph, in place. corrections : Adam's, a row each"""
    import torch

    places, rate = offsets(layer_sizes), RATES[optimizer]

    def step(params, means, squares, corrections):
        p, m, v = params, means, squares
        for t in range(n_epochs):
            g = gradient(p, places, hidden_activation)
            if optimizer == "sgd":
                p = [a - rate * b for a, b in zip(p, g, strict=True)]
                continue
            m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
            v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
            size, root = corrections[t, 0], corrections[t, 1]
            p = [a - size * b / (c.sqrt() * root + 1e-8) for a, b, c in zip(p, m, v, strict=True)]
        for kept, new in zip([*params, *means, *squares], [*p, *m, *v], strict=True):
            kept.copy_(new)

    return torch.compile(step, fullgraph=True, dynamic=False, options=OPTIONS)


ROWS: dict[tuple, int] = {}  # job -> nets of a block that its graphs are compiled for; fewer nets are filled up to one


class Compiled:
    """An epoch or two of a block of nets in one graph, of which Inductor makes one loop over nets."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import torch

        if optimizer not in ("sgd", "adam"):
            raise Unsupported("not written for this optimiser")
        self.torch, self.n, self.optimizer = torch, len(start), optimizer
        job = layer_sizes, hidden_activation, optimizer
        blocks = -(-self.n // BLOCK)
        rows = ROWS.setdefault(job, -(-self.n // (32 * blocks)) * 32)
        blocks = -(-self.n // rows)
        self.start = np.resize(start, (blocks * rows, start.shape[1])).reshape(blocks, rows, -1)
        self.step = {k: epochs(*job, k) for k in (1, UNROLLED)}
        for k in self.step:
            self.run(k)

    def run(self, n_epochs):
        torch, t = self.torch, np.arange(1, n_epochs + 1)[:, None]
        corrections = np.hstack([RATES[self.optimizer] / (1 - 0.9**t), (1 - 0.999**t) ** -0.5])
        calls = torch.from_numpy(corrections.astype(np.float32)).split(UNROLLED)
        done = []
        with torch.no_grad():
            for block in self.start:
                p = [torch.from_numpy(column.copy()) for column in block.T]
                m, v = ([torch.zeros_like(a) for a in p] if self.optimizer == "adam" else [] for _ in range(2))
                for now in calls:
                    self.step[len(now)](p, m, v, now)
                done.append(torch.stack(p, dim=1))
        return torch.cat(done).numpy()[: self.n]
