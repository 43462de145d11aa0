"""JAX with many nets: by hand in blocks, and the usual way, vmap."""

from __future__ import annotations

import numpy as np
from suite.cases.populations import BIGGEST, GROWTH, RATES, SHRINK, SMALLEST, X, Y
from suite.flat_params import offsets

from competitors import Unsupported

BLOCK = 4096  # nets whose numbers stay in a cache; of 512, 2,048 and 8,192 the fastest nearby


def sgd(t, p, g, error, state):
    rate = RATES["sgd"]
    return [a - rate * b for a, b in zip(p, g, strict=True)], state


def adam(t, p, g, error, state):
    import jax.numpy as jnp

    m = [0.9 * a + 0.1 * b for a, b in zip(state[0], g, strict=True)]
    v = [0.999 * a + 0.001 * b * b for a, b in zip(state[1], g, strict=True)]
    c1, c2, rate = 1 - 0.9 ** (t + 1.0), 1 - 0.999 ** (t + 1.0), RATES["adam"]
    return [a - rate * (b / c1) / (jnp.sqrt(c / c2) + 1e-8) for a, b, c in zip(p, m, v, strict=True)], (m, v)


def quickprop(t, p, g, error, state):
    """state : the last steps, the last slopes"""
    import jax.numpy as jnp

    growth, rate, moved = GROWTH["quickprop"], RATES["quickprop"], []
    for step, before, slope in zip(*state, g, strict=True):
        gap, bound = before - slope, growth / (1 + growth) * before
        jump = jnp.where(gap == 0, 0.0, step * slope / jnp.where(gap == 0, 1.0, gap))
        jump = jnp.where(jnp.where(step > 0, slope < bound, slope > bound), growth * step, jump)
        descent = -rate * slope
        moved.append(jnp.where(step == 0, descent, jump + jnp.where(step * slope < 0, descent, 0.0)))
    return [a + b for a, b in zip(p, moved, strict=True)], (moved, g)


def rprop(t, p, g, error, state):
    """state : the last slopes, sizes of steps, the last steps, the last errors"""
    import jax.numpy as jnp

    befores, sizes, steps, last = state
    worse, found = error > last, []
    for a, slope, before, size, step in zip(p, g, befores, sizes, steps, strict=True):
        sign = slope * before
        grown, shrunk = jnp.minimum(size * GROWTH["rprop"], BIGGEST), jnp.maximum(size * SHRINK, SMALLEST)
        size = jnp.where(sign > 0, grown, jnp.where(sign < 0, shrunk, size))
        step = jnp.where(sign < 0, jnp.where(worse, -step, 0.0), -jnp.sign(slope) * size)
        found.append((a + step, jnp.where(sign < 0, 0.0, slope), size, step))
    p, *state = map(list, zip(*found, strict=True))
    return p, (*state, error)


def state_of(optimizer, p):
    """What a rule starts with."""
    import jax.numpy as jnp

    zeros = [jnp.zeros_like(a) for a in p]
    if optimizer == "rprop":
        return zeros, [jnp.full_like(a, RATES["rprop"]) for a in p], zeros, jnp.zeros_like(p[0])
    return () if optimizer == "sgd" else (zeros, zeros)


RULES = {"sgd": sgd, "adam": adam, "quickprop": quickprop, "rprop": rprop}


def training(layer_sizes, hidden_activation, optimizer):
    """train(params, n_epochs) -> params. Structure of arrays by hand: every parameter is a vector over nets, every unit
    and sample written out, all epochs in one fori_loop. Gradients by jax.grad, which writes them out too.
    """
    import jax
    import jax.numpy as jnp

    act = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[hidden_activation]
    places, update = offsets(layer_sizes), RULES[optimizer]

    def loss(params):
        """The sum of all nets', and each one's."""
        total = 0.0
        for x, y in zip(X, Y, strict=True):
            a = [float(v) for v in x]
            for k, (w, b, i, j) in enumerate(places):
                z = [params[b + q] + sum(params[w + r * j + q] * a[r] for r in range(i)) for q in range(j)]
                a = [act(v) if k < len(places) - 1 else jax.nn.sigmoid(v) for v in z]
            total += (a[0] - float(y)) ** 2
        return jnp.sum(total) / len(X), total

    def step(t, carry):
        params, state = carry
        grads, error = jax.grad(loss, has_aux=True)(params)
        return update(t, params, grads, error, state)

    def train(params, n):
        return jax.lax.fori_loop(0, n, step, (params, state_of(optimizer, params)))[0]

    return train


class Blocked:
    """`training` for a block of nets that stays in a cache, one block after another, on as many devices as XLA has been
    told to make of the processors. For all nets at once, shared out by XLA, it takes as long or up to three times as
    long.
    """

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import jax

        train, n, devices = training(layer_sizes, hidden_activation, optimizer), len(start), jax.devices()
        blocks = max(1, -(-n // (len(devices) * BLOCK)))
        self.n, self.rows = n, -(-n // (len(devices) * blocks))
        padded = np.resize(start, (len(devices) * blocks * self.rows, start.shape[1]))
        shape = len(devices), blocks, self.rows
        self.start = [jax.numpy.asarray(np.ascontiguousarray(column).reshape(shape)) for column in padded.T]
        on_device = lambda params, n: jax.lax.map(lambda block: train(block, n), params)
        self.train = jax.pmap(on_device, in_axes=(0, None))

    def run(self, n_epochs):
        return np.stack([np.asarray(p).ravel()[: self.n] for p in self.train(self.start, n_epochs)], axis=1)


class Vmap:
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
