"""JAX with many nets in two forms: a structure of arrays in blocks, written by hand, and the usual one, vmap."""

from __future__ import annotations

import numpy as np
from suite.flat_params import offsets

from competitors import NetsImplementation

BLOCK = 4096  # nets of a block, whose numbers stay in a cache; 512, 2,048 and 8,192 are no faster


def update_of(case):
    """(function of step, parameters, gradients and state that returns (parameters, state); first state) of pytrees."""
    import jax
    import jax.numpy as jnp

    if case.optimizer == "sgd":
        return lambda t, p, g, state: (jax.tree.map(lambda a, b: a - case.learning_rate * b, p, g), state), lambda p: ()

    def adam(t, p, g, state):
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state[0], g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, state[1], g)
        c1, c2 = 1 - 0.9 ** (t + 1.0), 1 - 0.999 ** (t + 1.0)
        step = lambda a, b, c: a - case.learning_rate * (b / c1) / (jnp.sqrt(c / c2) + 1e-8)
        return jax.tree.map(step, p, m, v), (m, v)

    return adam, lambda p: (jax.tree.map(jnp.zeros_like, p),) * 2


def training_of_arrays(case):
    """train(params, n_epochs) -> params, on a structure of arrays, full batch.

    Every parameter is a vector over nets, units and samples are unrolled, and all epochs are one fori_loop. jax.grad
    makes the gradients, unrolled too.
    """
    import jax
    import jax.numpy as jnp

    activation = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[case.hidden_activation]
    layer_offsets, (update, first_state) = offsets(case.layer_sizes), update_of(case)

    def loss(params):
        """The sum of all nets'."""
        total = 0.0
        for x, y in zip(case.X, case.y[:, 0], strict=True):
            a = [float(v) for v in x]
            for k, (w, b, i, j) in enumerate(layer_offsets):
                z = [params[b + q] + sum(params[w + r * j + q] * a[r] for r in range(i)) for q in range(j)]
                a = [activation(v) if k < len(layer_offsets) - 1 else jax.nn.sigmoid(v) for v in z]
            total += (a[0] - float(y)) ** 2
        return jnp.sum(total) / len(case.X)

    step = lambda t, carry: update(t, carry[0], jax.grad(loss)(carry[0]), carry[1])
    return lambda params, n: jax.lax.fori_loop(0, n, step, (params, first_state(params)))[0]


class Blocked:
    """`training_of_arrays` for one block of nets after another, each of which stays in a cache.

    XLA is told to present the CPUs as that many devices, and each device takes its blocks. With all nets at once, split
    by XLA, it takes as long, or up to three times as long.
    """

    def __init__(self, case, threads):
        import jax

        train, start, n, devices = training_of_arrays(case), case.start, case.n_nets, jax.devices()
        blocks = max(1, -(-n // (len(devices) * BLOCK)))
        self.n, rows = n, -(-n // (len(devices) * blocks))
        padded = np.resize(start, (len(devices) * blocks * rows, start.shape[1]))
        shape = len(devices), blocks, rows
        self.start = [jax.numpy.asarray(np.ascontiguousarray(column).reshape(shape)) for column in padded.T]
        on_device = lambda params, n: jax.lax.map(lambda block: train(block, n), params)
        self.train = jax.pmap(on_device, in_axes=(0, None))

    def run(self, n_epochs):
        return np.stack([np.asarray(p).ravel()[: self.n] for p in self.train(self.start, n_epochs)], axis=1)


class Vmap:
    """The usual form: one net with matrices, vmap over nets, scan over epochs and batches, jit around all of it."""

    def __init__(self, case, threads):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_default_matmul_precision", "highest" if case.precision == "exact" else "default")
        kind = jnp.bfloat16 if case.precision == "bfloat16" else jnp.float32
        activation = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}[case.hidden_activation]
        layer_offsets, (update, first_state) = offsets(case.layer_sizes), update_of(case)
        batches = [jnp.asarray(array.reshape(case.n_steps, case.batch_size, -1)) for array in (case.X, case.y_matrix)]

        def loss(params, X, y):
            a = X
            for k, (w, b, i, j) in enumerate(layer_offsets):
                W = params[w:b].reshape(i, j)
                z = (a.astype(kind) @ W.astype(kind)).astype(jnp.float32) + params[b : b + j]
                a = activation(z) if k < len(layer_offsets) - 1 else z
            if case.loss == "softmax_cross_entropy":
                return -jnp.mean(jnp.sum(jax.nn.log_softmax(a) * y, axis=1))
            return jnp.mean((jax.nn.sigmoid(a) - y) ** 2)

        def step(carry, batch):
            t, params, state = carry
            return (t + 1, *update(t, params, jax.grad(loss)(params, *batch), state)), None

        def train(params, epochs):
            epoch = lambda carry, _: jax.lax.scan(step, carry, batches)
            return jax.lax.scan(epoch, (0, params, first_state(params)), epochs)[0][1]

        self.train = jax.jit(jax.vmap(train, in_axes=(0, None)))
        self.start, self.arange = jnp.asarray(case.start), jnp.arange

    def run(self, n_epochs):
        return np.asarray(self.train(self.start, self.arange(n_epochs)))


class Implementation(NetsImplementation):
    forms = {"blocked": Blocked, "vmap": Vmap}  # noqa: RUF012  # read only
