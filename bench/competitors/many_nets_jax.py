"""JAX with many nets in two forms: a structure of arrays in blocks, written by hand, and the usual one, vmap."""

from __future__ import annotations

import numpy as np
from suite.cases.populations import BIGGEST, GROWTH, RATES, SHRINK, SMALLEST, X, Y
from suite.flat_params import offsets

from competitors import Unsupported

BLOCK = 4096  # nets of a block, whose numbers stay in a cache; 512, 2,048 and 8,192 are no faster


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
    for step, last_slope, slope in zip(*state, g, strict=True):
        gap, bound = last_slope - slope, growth / (1 + growth) * last_slope
        jump = jnp.where(gap == 0, 0.0, step * slope / jnp.where(gap == 0, 1.0, gap))
        jump = jnp.where(jnp.where(step > 0, slope < bound, slope > bound), growth * step, jump)
        descent = -rate * slope
        moved.append(jnp.where(step == 0, descent, jump + jnp.where(step * slope < 0, descent, 0.0)))
    return [a + b for a, b in zip(p, moved, strict=True)], (moved, g)


def rprop(t, p, g, error, state):
    """state : the last slopes, sizes of steps, the last steps, the last errors"""
    import jax.numpy as jnp

    last_slopes, sizes, steps, last_error = state
    worse, updated = error > last_error, []
    for a, slope, last_slope, size, step in zip(p, g, last_slopes, sizes, steps, strict=True):
        sign = slope * last_slope
        grown, shrunk = jnp.minimum(size * GROWTH["rprop"], BIGGEST), jnp.maximum(size * SHRINK, SMALLEST)
        size = jnp.where(sign > 0, grown, jnp.where(sign < 0, shrunk, size))
        step = jnp.where(sign < 0, jnp.where(worse, -step, 0.0), -jnp.sign(slope) * size)
        updated.append((a + step, jnp.where(sign < 0, 0.0, slope), size, step))
    p, *state = map(list, zip(*updated, strict=True))
    return p, (*state, error)


def first_state(optimizer, p):
    """The optimiser state before the first step."""
    import jax.numpy as jnp

    zeros = [jnp.zeros_like(a) for a in p]
    if optimizer == "rprop":
        return zeros, [jnp.full_like(a, RATES["rprop"]) for a in p], zeros, jnp.zeros_like(p[0])
    return () if optimizer == "sgd" else (zeros, zeros)


RULES = {"sgd": sgd, "adam": adam, "quickprop": quickprop, "rprop": rprop}


def training(layer_sizes, hidden_activation, optimizer):
    """train(params, n_epochs) -> params, on a structure of arrays.

    Every parameter is a vector over nets, units and samples are unrolled, and all epochs are one fori_loop. jax.grad
    makes the gradients, unrolled too.
    """
    import jax
    import jax.numpy as jnp

    activation = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[hidden_activation]
    layer_offsets, update = offsets(layer_sizes), RULES[optimizer]

    def loss(params):
        """The sum of all nets', and each one's."""
        total = 0.0
        for x, y in zip(X, Y, strict=True):
            a = [float(v) for v in x]
            for k, (w, b, i, j) in enumerate(layer_offsets):
                z = [params[b + q] + sum(params[w + r * j + q] * a[r] for r in range(i)) for q in range(j)]
                a = [activation(v) if k < len(layer_offsets) - 1 else jax.nn.sigmoid(v) for v in z]
            total += (a[0] - float(y)) ** 2
        return jnp.sum(total) / len(X), total

    def step(t, carry):
        params, state = carry
        grads, error = jax.grad(loss, has_aux=True)(params)
        return update(t, params, grads, error, state)

    def train(params, n):
        return jax.lax.fori_loop(0, n, step, (params, first_state(optimizer, params)))[0]

    return train


class Blocked:
    """`training` for one block of nets after another, each of which stays in a cache.

    XLA is told to present the CPUs as that many devices, and each device takes its blocks. With all nets at once, split
    by XLA, it takes as long, or up to three times as long.
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
    """The usual form: one net with matrices, vmap over nets, scan over epochs, jit around both."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        import jax
        import jax.numpy as jnp

        if optimizer != "sgd":
            raise Unsupported("not written for this optimiser")
        activation = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[hidden_activation]
        rate, layer_offsets = RATES[optimizer], offsets(layer_sizes)

        def loss(params):
            a = X
            for k, (w, b, i, j) in enumerate(layer_offsets):
                z = a @ params[w:b].reshape(i, j) + params[b : b + j]
                a = activation(z) if k < len(layer_offsets) - 1 else jax.nn.sigmoid(z)
            return jnp.mean((a[:, 0] - Y) ** 2)

        def train(params, steps):
            step = lambda p, _: (p - rate * jax.grad(loss)(p), None)
            return jax.lax.scan(step, params, steps)[0]

        self.train = jax.jit(jax.vmap(train, in_axes=(0, None)))
        self.start, self.arange = jnp.asarray(start), jnp.arange

    def run(self, n_epochs):
        return np.asarray(self.train(self.start, self.arange(n_epochs)))
