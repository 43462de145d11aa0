"""The contestants of populations.py: many nets of one architecture on XOR, full batch, mean squared error.

A form is Form(layer_sizes, hidden_activation, optimizer, start) with run(n_epochs) -> params (n_nets, n_params); it
starts from `start` at each run. Adam is that of its paper, epsilon 1e-8 after the correction.
"""

from __future__ import annotations

import time

import numpy as np
from flat import offsets
from populations import RATES, X, Y

from peers import DEVICE, Unsupported
from peers.numpy_adam import adam

FEW = 100
JAX_BLOCK, NUMPY_BLOCK = 4096, 8192  # nets whose numbers stay in a cache; of 512, 2,048 and 8,192 the fastest nearby


class Fastmlp:
    def __init__(self, layer_sizes, hidden_activation, optimizer, start, **fit):
        import fastmlp

        settings = {"hidden_activation": hidden_activation, "output_activation": "sigmoid"}
        self.population = fastmlp.Population(layer_sizes, len(start), random_state=0, device=DEVICE, **settings)
        self.start = start
        rates = fit.pop("rates", RATES[optimizer])
        self.fit = {"optimizer": fastmlp.optimizer_from_name(optimizer, rates), "verbose": 0, **fit}
        if len(start) <= FEW:  # nets that train one by one have their steps compiled when it has been worth it
            from fastmlp.kernels.cpu.one_net import MAKE_AFTER

            self.run(MAKE_AFTER // len(start) + 1)

    def run(self, n_epochs):
        self.population.params = self.start
        self.population.fit(X, Y, epochs=n_epochs, **self.fit)
        return self.population.params


def _jax_training(layer_sizes, hidden_activation, optimizer):
    """train(params, n_epochs) -> params. Structure of arrays by hand: every parameter is a vector over nets, every unit
    and sample written out, all epochs in one fori_loop. Gradients by jax.grad, which writes them out too.
    """
    import jax
    import jax.numpy as jnp

    if optimizer not in ("sgd", "adam"):
        raise Unsupported("not written for this optimiser")
    act = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[hidden_activation]
    rate, places = RATES[optimizer], offsets(layer_sizes)

    def loss(params):
        total = 0.0
        for x, y in zip(X, Y, strict=True):
            a = [float(v) for v in x]
            for k, (w, b, i, j) in enumerate(places):
                z = [params[b + q] + sum(params[w + r * j + q] * a[r] for r in range(i)) for q in range(j)]
                a = [act(v) if k < len(places) - 1 else jax.nn.sigmoid(v) for v in z]
            total += (a[0] - float(y)) ** 2
        return jnp.sum(total) / len(X)

    def step(t, state):
        params, m, v = state
        grads = jax.grad(loss)(params)
        if optimizer == "sgd":
            return [p - rate * g for p, g in zip(params, grads, strict=True)], m, v
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        c1, c2 = 1 - 0.9 ** (t + 1.0), 1 - 0.999 ** (t + 1.0)
        moved = [p - rate * (a / c1) / (jnp.sqrt(b / c2) + 1e-8) for p, a, b in zip(params, m, v, strict=True)]
        return moved, m, v

    def train(params, n):
        zeros = [jnp.zeros_like(p) for p in params]
        return jax.lax.fori_loop(0, n, step, (params, zeros, zeros) if optimizer == "adam" else (params, [], []))[0]

    return train


class JaxBlocked:
    """That for a block of nets that stays in a cache, one block after another, on as many devices as XLA has been told
    to make of the processors. For all nets at once, shared out by XLA, it takes as long or up to three times as long.
    """

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import jax

        train, n, devices = _jax_training(layer_sizes, hidden_activation, optimizer), len(start), jax.devices()
        blocks = max(1, -(-n // (len(devices) * JAX_BLOCK)))
        self.n, self.rows = n, -(-n // (len(devices) * blocks))
        padded = np.resize(start, (len(devices) * blocks * self.rows, start.shape[1]))
        shape = len(devices), blocks, self.rows
        self.start = [jax.numpy.asarray(np.ascontiguousarray(column).reshape(shape)) for column in padded.T]
        on_device = lambda params, n: jax.lax.map(lambda block: train(block, n), params)
        self.train = jax.pmap(on_device, in_axes=(0, None))

    def run(self, n_epochs):
        return np.stack([np.asarray(p).ravel()[: self.n] for p in self.train(self.start, n_epochs)], axis=1)


class JaxVmap:
    """The usual way: one net with matrices, vmap over nets, scan over epochs, jit around all."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import jax
        import jax.numpy as jnp

        if optimizer != "sgd":
            raise Unsupported("not written for this optimiser")
        act = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[hidden_activation]
        rate, places = RATES[optimizer], offsets(layer_sizes)

        def loss(params):
            a = X
            for k, (w, b, i, j) in enumerate(places):
                z = a @ params[w:b].reshape(i, j) + params[b : b + j]
                a = act(z) if k < len(places) - 1 else jax.nn.sigmoid(z)
            return jnp.mean((a[:, 0] - Y) ** 2)

        def train(params, steps):
            step = lambda p, _: (p - rate * jax.grad(loss)(p), None)
            return jax.lax.scan(step, params, steps)[0]

        self.train = jax.jit(jax.vmap(train, in_axes=(0, None)))
        self.start, self.arange = jnp.asarray(start), jnp.arange

    def run(self, n_epochs):
        return np.asarray(self.train(self.start, self.arange(n_epochs)))


class TorchBatched:
    """baddbmm over all nets, autograd, one step of torch.optim for the stacked parameters."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import torch

        if optimizer not in ("sgd", "adam"):
            raise Unsupported("not written for this optimiser")
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


class NumpyBlocked:
    """Structure of arrays by hand, for a block of nets that stays in a cache, one block after another: every parameter
    is a row over nets, every unit an array (samples, nets), every operation in place.
    """

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        if optimizer not in ("sgd", "adam"):
            raise Unsupported("not written for this optimiser")
        self.start, self.places, self.optimizer = start, offsets(layer_sizes), optimizer
        self.is_tanh = hidden_activation == "tanh"

    def run(self, n_epochs):
        out = np.empty_like(self.start)
        for first in range(0, len(out), NUMPY_BLOCK):
            p = self.start[first : first + NUMPY_BLOCK].T.copy()
            self.train(p, n_epochs)
            out[first : first + NUMPY_BLOCK] = p.T
        return out

    def train(self, p, n_epochs):
        places, samples, n = self.places, len(X), p.shape[1]
        g, s = np.empty_like(p), np.empty_like(p)
        m, v = np.zeros_like(p), np.zeros_like(p)
        room = lambda: [np.empty((j, samples, n), np.float32) for *_, j in places]
        outs, deltas, product = room(), room(), np.empty((samples, n), np.float32)
        y, rest, first = Y[:, None], np.empty((samples, n), np.float32), np.empty((X.shape[1], n), np.float32)
        for t in range(1, n_epochs + 1):
            for k, (w, b, i, j) in enumerate(places):
                for q in range(j):
                    z = outs[k][q]
                    if k == 0:
                        np.dot(X, p[w + q : b : j], out=z)
                    else:
                        np.multiply(outs[k - 1][0], p[w + q], out=z)
                        for r in range(1, i):
                            np.multiply(outs[k - 1][r], p[w + r * j + q], out=product)
                            z += product
                    z += p[b + q]
                if self.is_tanh and k < len(places) - 1:
                    np.tanh(outs[k], out=outs[k])
                else:
                    np.negative(outs[k], out=outs[k])
                    np.exp(outs[k], out=outs[k])
                    outs[k] += 1
                    np.reciprocal(outs[k], out=outs[k])
            a, d = outs[-1][0], deltas[-1][0]
            np.subtract(a, y, out=d)
            d *= 2 / samples
            np.subtract(1, a, out=rest)
            rest *= a
            d *= rest
            for k in range(len(places) - 1, -1, -1):
                w, b, i, j = places[k]
                np.sum(deltas[k], axis=1, out=g[b : b + j])
                for q in range(j):
                    d = deltas[k][q]
                    if k == 0:
                        np.dot(X.T, d, out=first)
                        g[w + q : b : j] = first
                        continue
                    for r in range(i):
                        np.multiply(outs[k - 1][r], d, out=product)
                        np.sum(product, axis=0, out=g[w + r * j + q])
                for r in range(i if k else 0):
                    below = deltas[k - 1][r]
                    np.multiply(deltas[k][0], p[w + r * j], out=below)
                    for q in range(1, j):
                        np.multiply(deltas[k][q], p[w + r * j + q], out=product)
                        below += product
                    a = outs[k - 1][r]
                    if self.is_tanh:
                        np.multiply(a, a, out=rest)
                        np.subtract(1, rest, out=rest)
                    else:
                        np.subtract(1, a, out=rest)
                        rest *= a
                    below *= rest
            if self.optimizer == "adam":
                adam(p, g, m, v, s, t, RATES["adam"])
            else:
                g *= RATES["sgd"]
                p -= g


class Stopping(Fastmlp):
    """Every net watches its own loss, here for a goal that none reaches."""

    def __init__(self, *job):
        super().__init__(*job, converged=1e-9)


class Rates(Fastmlp):
    """Every net has a learning rate of its own too, here the same number in an array."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        rates = np.full(len(start), RATES[optimizer])
        super().__init__(layer_sizes, hidden_activation, optimizer, start, converged=1e-9, rates=rates)


FORMS = {
    "fastmlp": Fastmlp, "own stopping": Stopping, "own rates": Rates, "jax blocked": JaxBlocked, "jax vmap": JaxVmap,
    "torch batched": TorchBatched, "numpy blocked": NumpyBlocked,
}  # fmt: skip


class Contestant:
    def __init__(self, variant: str):
        self.name, self.form_of = variant, FORMS[variant]

    def prepare(self, work, threads: int | None) -> float:
        if self.name.startswith("torch"):
            import torch

            torch.set_num_threads(threads)
        started = time.perf_counter()
        self.form = self.form_of(work.layer_sizes, work.activation, work.optimizer, work.start)
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        """Every run starts from the start."""

    def run(self, n_epochs: int) -> None:
        self.params = self.form.run(n_epochs)

    def answer(self, work) -> np.ndarray:
        return np.asarray(self.params)
