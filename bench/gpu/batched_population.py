"""A population of mid-sized nets on a GPU: fastmlp, PyTorch with a batched product per layer, JAX with vmap and scan.

ReLU nets with softmax cross-entropy and Adam; each net has its own order of samples.

Every competitor trains from a given start on samples in a given order, so that two of its steps can be compared with
float64 NumPy before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

import fastmlp
import fastmlp.execution.dispatch
from gpu.launch_modes import graph_notes, launch_modes, one_line

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
# Largest error of two steps, relative to their length. Adam's first steps are its rate times the sign of each gradient
# entry, and rounding changes the sign of small entries: correct float32 is up to 0.01 off, where a unit is active for a
# single sample whose pre-activation is about 0.
TOLERANCES = {"exact": 0.02, "tf32": 0.2, "bfloat16": 0.4}
Competitor = tuple[Callable[[], Any], Callable[[], Any], int, float]  # run, wait, runs per round, units per run
Builders = dict[str, Callable[[], Competitor]]  # each verifies its competitor, and raises if it is wrong


@contextmanager
def left_out_on_error(name: str, left_out: dict[str, str]) -> Iterator[None]:
    """Leave a competitor out, with the reason, if it raises inside this context, and go on."""
    try:
        yield
    except Exception as error:
        left_out[name] = one_line(error)


def layers_of(flat: Any, sizes: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """[(W (n_nets, i, j), b (n_nets, 1, j))] of flat vectors (n_nets, n_params), layer by layer."""
    layers, at = [], 0
    for i, j in pairwise(sizes):
        W, b = flat[:, at : at + i * j].reshape(-1, i, j), flat[:, at + i * j : at + (i + 1) * j].reshape(-1, 1, j)
        layers.append((W, b))
        at += (i + 1) * j
    return layers


def flatten(layers: list[tuple[Any, Any]]) -> np.ndarray:
    return np.concatenate([np.asarray(x).reshape(len(x), -1) for pair in layers for x in pair], axis=1)


def numpy_steps(
    start: np.ndarray, sizes: tuple[int, ...], X: np.ndarray, y: np.ndarray, orders: np.ndarray, dtype: Any = np.float64
) -> np.ndarray:
    """Parameters (n_nets, n_params) after a step for each batch of orders (n_batches, n_nets, batch)."""
    params = start.astype(dtype)
    m, v = np.zeros_like(params), np.zeros_like(params)
    for t, rows in enumerate(orders, start=1):
        layers, activations = layers_of(params, sizes), [X[rows].astype(dtype)]
        for k, (W, b) in enumerate(layers):
            z = activations[-1] @ W + b
            activations.append(np.maximum(z, 0) if k < len(layers) - 1 else z)
        delta = np.exp(activations[-1] - activations[-1].max(axis=2, keepdims=True))
        delta /= delta.sum(axis=2, keepdims=True)
        delta = (delta - np.eye(sizes[-1], dtype=dtype)[y[rows]]) / rows.shape[1]
        grads = []
        for k in range(len(layers) - 1, -1, -1):
            grads.append((activations[k].transpose(0, 2, 1) @ delta, delta.sum(axis=1, keepdims=True)))
            delta = (delta @ layers[k][0].transpose(0, 2, 1)) * (activations[k] > 0)
        g = flatten(grads[::-1])
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        params = params - RATE * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPSILON)
    return params


class Fastmlp:
    """fastmlp. Each net draws its order of samples by its seed, so the verified steps are made without shuffling."""

    def __init__(
        self, cupy: Any, sizes: tuple[int, ...], n_nets: int, X: np.ndarray, y: np.ndarray, batch: int, precision: str
    ):
        settings = {"loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}
        self.population = fastmlp.Population(sizes, n_nets, precision=precision, **settings)
        self.start, self.batch = self.population.params.copy(), batch
        self.X, self.y = cupy.asarray(X), cupy.asarray(y)
        choice = self.population.network, n_nets, batch, self.population.device, self.population.dtype
        family = fastmlp.execution.dispatch.choose_nets_family(*choice, precision=precision)
        assert family == "batched_gemm", "these nets are not trained in step"

    def run(self, epochs: int, shuffle: bool = True, n_samples: int | None = None) -> None:
        self.population.fit(
            self.X[:n_samples],
            self.y[:n_samples],
            epochs=epochs,
            batch_size=self.batch,
            shuffle=shuffle,
            verbose=0,
            optimizer=fastmlp.Adam(RATE, BETA1, BETA2, EPSILON),
        )

    def steps(self, n: int) -> np.ndarray:
        self.population.params = self.start
        self.run(1, shuffle=False, n_samples=n * self.batch)
        return self.population.params.copy()


class Torch:
    """PyTorch: baddbmm over all nets, autograd, one fused optimiser step for the stacked parameters; under autocast for
    bfloat16.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        start: np.ndarray,
        X: np.ndarray,
        y: np.ndarray,
        precision: str,
        device: str = "cuda",
    ):
        import torch

        torch.set_float32_matmul_precision("highest")
        self.torch, self.device = torch, device
        self.half = torch.bfloat16 if precision == "bfloat16" else None
        self.layers = [
            tuple(torch.tensor(np.ascontiguousarray(x), device=device).requires_grad_() for x in pair)
            for pair in layers_of(start, sizes)
        ]
        self.optimizer = torch.optim.Adam(
            [x for pair in self.layers for x in pair],
            RATE,
            (BETA1, BETA2),
            EPSILON,
            foreach=device == "cpu",
            fused=device != "cpu",
            capturable=device != "cpu",
        )
        self.X, self.y = torch.as_tensor(X, device=device), torch.as_tensor(y, device=device)
        self.step = self.plain_step

    def loss_of(self, rows: Any) -> Any:
        functional = self.torch.nn.functional
        h, t = self.X[rows], self.y[rows]
        with self.torch.autocast(self.device, self.half, enabled=self.half is not None):
            for k, (W, b) in enumerate(self.layers):
                h = self.torch.baddbmm(b, h, W)
                h = functional.relu(h) if k < len(self.layers) - 1 else h
            return functional.cross_entropy(h.flatten(0, 1), t.flatten(), reduction="sum") / rows.shape[1]

    def plain_step(self, rows: Any) -> None:
        loss = self.loss_of(rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def compile(self) -> None:
        """Compile forward and backward pass, each replayed as a CUDA graph; one launch of the optimiser follows."""
        fail_if_uncompiled(self.torch)
        self.step = self.torch.compile(self.plain_step, mode="reduce-overhead")

    def epoch(self, batch: int) -> None:
        n_nets = len(self.layers[0][0])
        orders = self.torch.rand((n_nets, len(self.X)), device=self.device).argsort(dim=1)
        for rows in orders.split(batch, dim=1):
            self.step(rows)

    def steps(self, orders: np.ndarray) -> np.ndarray:
        for rows in orders:
            self.step(self.torch.as_tensor(rows, device=self.device))
        return flatten([tuple(x.detach().cpu() for x in pair) for pair in self.layers])


def fail_if_uncompiled(torch: Any) -> None:
    """Make torch.compile raise after too many compilations, instead of silently running eagerly."""
    if hasattr(torch._dynamo.config, "fail_on_recompile_limit_hit"):
        torch._dynamo.config.fail_on_recompile_limit_hit = True


def jax_step(jax: Any, loss: Callable) -> Callable:
    """A step of Adam on loss(params, rows), for jax.lax.scan over rows; the carry is (params, m, v, steps so far)."""

    def step(carry, rows):
        p, m, v, t = carry
        t, g = t + 1, jax.grad(loss)(p, rows)
        m = jax.tree.map(lambda a, b: BETA1 * a + (1 - BETA1) * b, m, g)
        v = jax.tree.map(lambda a, b: BETA2 * a + (1 - BETA2) * b * b, v, g)
        c1, c2 = 1 - BETA1**t, 1 - BETA2**t
        p = jax.tree.map(lambda a, b, c: a - RATE * (b / c1) / (jax.numpy.sqrt(c / c2) + EPSILON), p, m, v)
        return (p, m, v, t), None

    return step


class Jax:
    """JAX: one net's epoch as a scan over its batches, vmap over nets, jit around both; Adam written out."""

    def __init__(self, sizes: tuple[int, ...], start: np.ndarray, X: np.ndarray, y: np.ndarray, precision: str):
        import jax
        import jax.numpy as jnp

        # The default on a GPU is TF32, too inexact for the check of exact nets.
        jax.config.update("jax_default_matmul_precision", "highest" if precision == "exact" else "default")
        kind = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
        Xd, yd = jnp.asarray(X), jnp.asarray(y)

        def loss(params, rows):
            h = Xd[rows]
            for k, (W, b) in enumerate(params):
                h = (h.astype(kind) @ W.astype(kind)).astype(jnp.float32) + b[0]
                h = jax.nn.relu(h) if k < len(params) - 1 else h
            return -jnp.take_along_axis(jax.nn.log_softmax(h), yd[rows][:, None], 1).mean()

        step = jax_step(jax, loss)
        nets = jax.vmap(lambda carry, rows: jax.lax.scan(step, carry, rows)[0])
        self.train = jax.jit(nets)

        @jax.jit
        def epoch(carry, keys, batch):
            draw_order = lambda key: jax.random.permutation(key, len(X)).reshape(-1, len(batch))
            return nets(carry, jax.vmap(draw_order)(keys))

        self.jax, self.jnp, self.epoch_of = jax, jnp, epoch
        params = [(jnp.asarray(W), jnp.asarray(b)) for W, b in layers_of(start, sizes)]
        zeros = jax.tree.map(jnp.zeros_like, params)
        self.start = self.carry = params, zeros, zeros, jnp.zeros(len(start))
        self.keys = jax.random.split(jax.random.key(0), len(start))

    def epoch(self, batch: int) -> None:
        self.carry = self.epoch_of(self.carry, self.keys, self.jnp.zeros(batch))

    def wait(self) -> None:
        self.jax.block_until_ready(self.carry)

    def steps(self, orders: np.ndarray) -> np.ndarray:
        return flatten(self.train(self.start, self.jnp.asarray(orders.transpose(1, 0, 2)))[0])


def check(
    name: str, reached: np.ndarray, expected: np.ndarray, start: np.ndarray, sizes: tuple[int, ...], precision: str
) -> None:
    """Raise if the parameters after two steps are too far from the expected ones.

    reached, expected, start : (n_nets, n_params)

    The error is a length over all nets, since single parameters may differ (TOLERANCES). Weights and biases are
    compared separately, because biases are too few to matter among weights.
    """
    deviation, travelled = (layers_of(x.astype(np.float64), sizes) for x in (reached - expected, expected - start))
    for index, kind in enumerate(("weights", "biases")):
        relative_error = _length(deviation, index) / _length(travelled, index)
        assert relative_error < TOLERANCES[precision], (
            f"{name}: two steps of {kind} end {relative_error:.2g} of their length off"
        )


def _length(layers: list[tuple[Any, Any]], index: int) -> float:
    return float(np.sqrt(sum((pair[index] ** 2).sum() for pair in layers)))


def make_competitors(
    cupy: Any, sizes: tuple[int, ...], n_nets: int, batch: int, n_batches: int, epochs: int, precision: str
) -> tuple[dict[str, Competitor], Builders, dict[str, str], Callable[[int], Any]]:
    """(fastmlp's forms, verified; builders of other competitors; notes; fastmlp's fit as a function of epochs)"""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(batch * n_batches, sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=len(X))
    ours = Fastmlp(cupy, sizes, n_nets, X, y, batch, precision)
    rows = np.arange(2 * batch).reshape(2, 1, batch)
    orders, start = np.broadcast_to(rows, (2, n_nets, batch)), ours.start
    expected = numpy_steps(start[:20], sizes, X, y, orders[:, :20])
    verify = lambda name, reached: check(name, reached[:20], expected, start[:20], sizes, precision)
    verify("fastmlp", ours.steps(2))
    launchers = launch_modes(ours.run, epochs, "batched_gemm")
    wait = cupy.cuda.get_current_stream().synchronize

    def torch(name: str) -> Competitor:
        import torch

        competitor = Torch(sizes, start, X, y, precision)
        if name.endswith("compiled"):
            competitor.compile()
        verify(name, competitor.steps(orders))
        return lambda: competitor.epoch(batch), torch.cuda.synchronize, 1, n_batches

    def jax() -> Competitor:
        import jax

        assert jax.default_backend() != "cpu", "it finds no GPU"
        net = Jax(sizes, start, X, y, precision)
        verify("JAX vmap + scan", net.steps(orders))
        return lambda: net.epoch(batch), net.wait, 1, n_batches

    builders: Builders = {
        "PyTorch baddbmm": lambda: torch("PyTorch baddbmm"),
        "JAX vmap + scan": jax,
        "PyTorch compiled": lambda: torch("PyTorch compiled"),
    }
    timed = {name: (run, wait, 1, n * n_batches) for name, (run, n) in launchers.items()}
    return timed, builders, graph_notes(launchers), ours.run
