"""JAX in two forms, since it depends on the net which is fastest.

"scan": all epochs in one jit, a fori_loop over epochs and in it a scan over batches (one batch: only the fori_loop).
"tuned": like "scan", written for what XLA does well on a CPU. In tiny nets each product is a broadcast multiplication
and a sum, which fuses with the operations around it where a dot does not; the derivative of the loss is written by
hand, and the loop is unrolled by some epochs. In other nets samples are columns, z = W' x, which suits XLA's products
at some sizes.

Optax is not needed for SGD and Adam: they are written out over the tree of parameters. Targets are one-hot matrices,
which XLA on a CPU handles faster than the gather and scatter of class numbers.
"""

from __future__ import annotations

import time

import numpy as np
from suite.flat_params import flatten, layers
from suite.training_case import TrainingCase

from competitors import TrainingImplementation


def products() -> str:
    return "XLA's own"


TINY = 8  # units in the widest layer
UNROLLED = 4  # epochs of such a net in one iteration of the loop


def delta_of(case: TrainingCase, z, y, axis: int = 1):
    """Derivative of the loss with respect to the logits; with axis 0, samples are in columns."""
    import jax

    n_samples = z.shape[1 - axis]
    if case.loss == "softmax_cross_entropy":
        return (jax.nn.softmax(z, axis=axis) - y) / n_samples
    if case.loss == "squared_error" and case.output_activation == "identity":
        return 2 * (z - y) / z.size
    a = jax.nn.sigmoid(z)
    return (a - y) / z.size * (2 * a * (1 - a) if case.loss == "squared_error" else 1)


def make_step(case: TrainingCase, is_tuned: bool):
    """(loss, step): loss(params, X, y), step(state, X, y) -> state with state = (params, m, v, t).

    Tuned: `loss` has the right gradient but not the right value.
    """
    import jax
    import jax.numpy as jnp

    activation = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[case.hidden_activation]

    def logits(params, X, product):
        for k, (W, b) in enumerate(params):
            z = product(activation(z) if k else X, W) + b  # noqa: F821, z of the layer below
        return z

    def loss(params, X, y):
        kind = jnp.bfloat16 if case.precision == "bfloat16" else jnp.float32
        z = logits(params, X, lambda a, W: (a.astype(kind) @ W.astype(kind)).astype(jnp.float32))
        if case.loss == "squared_error":
            return jnp.mean((z - y if case.output_activation == "identity" else jax.nn.sigmoid(z) - y) ** 2)
        if case.loss == "binary_cross_entropy":
            return jnp.mean(jax.nn.softplus(z) - z * y)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(z) * y, axis=1))

    def tiny(params, X, y):
        z = logits(params, X, lambda a, W: jnp.sum(a[:, :, None] * W[None], axis=1))
        return jnp.sum(jax.lax.stop_gradient(delta_of(case, z, y)) * z)

    def columns(params, X, y):
        z = logits(params, X, lambda a, W: W @ a)
        return jnp.sum(jax.lax.stop_gradient(delta_of(case, z, y, axis=0)) * z)

    differentiated = loss if not is_tuned else tiny if max(case.layer_sizes) <= TINY else columns

    def step(state, X, y):
        params, m, v, t = state
        grads = jax.grad(differentiated)(params, X, y)
        if case.optimizer == "sgd":
            return jax.tree.map(lambda p, g: p - case.learning_rate * g, params, grads), m, v, t
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        root = jnp.sqrt(1 - 0.999**t)
        size = case.learning_rate * root / (1 - 0.9**t)
        return jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) + 1e-8 * root), params, m, v), m, v, t

    return loss, step


class Implementation(TrainingImplementation):
    def __init__(self, variant: str):
        self.is_tuned = variant == "tuned"

    def prepare(self, case: TrainingCase, threads: int) -> float:
        import jax
        import jax.numpy as jnp

        # On a GPU JAX's float32 products round as TF32 does, unless it is told not to.
        jax.config.update("jax_default_matmul_precision", "highest" if case.precision == "exact" else "default")
        self.case = case
        is_tiny = max(case.layer_sizes) <= TINY
        self.is_transposed = self.is_tuned and not is_tiny
        self.loss_of, step = make_step(case, self.is_tuned)
        X, y = (array.reshape(case.n_steps, case.batch_size, -1) for array in (case.X, case.y_matrix))
        if self.is_transposed:
            X, y = X.transpose(0, 2, 1), y.transpose(0, 2, 1)
        self.batches = X, y = jnp.array(X), jnp.array(y)
        self.reset()

        def epoch(state, X, y):
            if case.n_steps == 1:
                return step(state, X[0], y[0])
            return jax.lax.scan(lambda state, batch: (step(state, *batch), None), state, (X, y))[0]

        unrolled = UNROLLED if self.is_tuned and case.n_steps == 1 and is_tiny else 1

        def epochs(state, n_epochs, X, y):
            def several_epochs(_, state):
                for _ in range(unrolled):
                    state = epoch(state, X, y)
                return state

            state = jax.lax.fori_loop(0, n_epochs // unrolled, several_epochs, state)
            return jax.lax.fori_loop(0, n_epochs % unrolled, lambda _, state: epoch(state, X, y), state)

        started = time.perf_counter()
        self.train = jax.jit(epochs, donate_argnums=0).lower(self.state, 1, X, y).compile()
        seconds = time.perf_counter() - started
        self.run(1)
        self.reset()
        return seconds

    def reset(self) -> None:
        import jax
        import jax.numpy as jnp

        params = [(jnp.array(W), jnp.array(b)) for W, b in layers(self.case.start, self.case.layer_sizes)]
        if self.is_transposed:
            params = [(jnp.array(W.T), b[:, None]) for W, b in params]
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        self.state = params, *zeros, jnp.float32(0)

    def run(self, n_epochs: int) -> None:
        import jax

        self.state = jax.block_until_ready(self.train(self.state, n_epochs, *self.batches))

    def net(self):
        """[(W, b), ...] with W (fan_in, fan_out)."""
        return [(W.T, b[:, 0]) for W, b in self.state[0]] if self.is_transposed else self.state[0]

    def params(self):
        return flatten(x for pair in self.net() for x in pair)

    def loss(self, X, y) -> float:
        y = y if y.ndim == 2 else np.eye(self.case.layer_sizes[-1], dtype=np.float32)[y]
        return float(self.loss_of(self.net(), X, y))
