"""Competitors for single nets on a GPU: PyTorch eager, compiled, with its whole step as one CUDA graph, and JAX.

Each starts from given parameters and can train on given batches, so that two of its steps can be compared with float64
NumPy before it is timed.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from gpu.batched_population import (
    BETA1,
    BETA2,
    EPSILON,
    RATE,
    Builders,
    Competitor,
    check,
    fail_if_uncompiled,
    flatten,
    jax_step,
    layers_of,
    numpy_steps,
)


class Torch:
    """PyTorch: linear layers, cross_entropy, fused Adam; under autocast for bfloat16."""

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

        torch.set_float32_matmul_precision("high" if precision != "exact" else "highest")
        self.torch, self.device = torch, device
        self.half = torch.bfloat16 if precision == "bfloat16" else None
        layers: list[Any] = []
        for (i, j), (W, b) in zip(pairwise(sizes), layers_of(start[None], sizes), strict=True):
            linear = torch.nn.Linear(i, j)
            linear.weight.data[:], linear.bias.data[:] = torch.as_tensor(W[0].T.copy()), torch.as_tensor(b[0, 0].copy())
            layers += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1]).to(device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            RATE,
            (BETA1, BETA2),
            EPSILON,
            foreach=device == "cpu",
            fused=device != "cpu",
            capturable=device != "cpu",
        )
        self.X, self.y = torch.as_tensor(X, device=device), torch.as_tensor(y, device=device)
        self.loss_of, self.step = self.plain_loss, self.plain_step

    def plain_loss(self, x: Any, t: Any) -> Any:
        with self.torch.autocast(self.device, self.half, enabled=self.half is not None):
            return self.torch.nn.functional.cross_entropy(self.model(x), t)

    def plain_step(self, x: Any, t: Any) -> None:
        loss = self.loss_of(x, t)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def compile(self) -> None:
        """Forward and backward pass, each replayed as a CUDA graph; the optimiser's one launch follows them."""
        fail_if_uncompiled(self.torch)
        self.step = self.torch.compile(self.plain_step, mode="reduce-overhead")

    def capture(self, batch: int, compiled: bool) -> None:
        """The whole step, the optimiser's part included, as one CUDA graph on inputs that stay in one place.

        compiled : whether forward and backward pass are compiled first
        """
        torch = self.torch
        if compiled:
            fail_if_uncompiled(torch)
            self.loss_of = torch.compile(self.plain_loss)
        start = [x.detach().clone() for x in self.model.parameters()]
        x, t = self.X[:batch].clone(), self.y[:batch].clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # allocations and compilations are done before, as PyTorch's notes ask for
            for _ in range(3):
                self.plain_step(x, t)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.plain_step(x, t)
        with torch.no_grad():  # as if nothing had been trained yet
            for parameter, initial in zip(self.model.parameters(), start, strict=True):
                parameter.copy_(initial)
            for state in self.optimizer.state.values():
                for number in state.values():
                    number.zero_()

        def step(rows: Any, labels: Any) -> None:
            x.copy_(rows)
            t.copy_(labels)
            graph.replay()

        self.step = step

    def epoch(self, batch: int) -> None:
        order = self.torch.randperm(len(self.X), device=self.device)
        for rows in order.split(batch):
            self.step(self.X[rows], self.y[rows])

    def steps(self, batches: np.ndarray) -> np.ndarray:
        for rows in batches:
            self.step(self.X[rows], self.y[rows])
        parts = [x.detach().float().cpu().numpy() for x in self.model.parameters()]
        return flatten([(W.T[None], b[None]) for W, b in zip(parts[::2], parts[1::2], strict=True)])[0]

    def wait(self) -> None:
        self.torch.cuda.synchronize()


class Jax:
    """An epoch in one scan under jit, Adam written out."""

    def __init__(self, sizes: tuple[int, ...], start: np.ndarray, X: np.ndarray, y: np.ndarray, precision: str):
        import jax
        import jax.numpy as jnp

        # On a GPU JAX's float32 products round as TF32 does, unless it is told not to.
        jax.config.update("jax_default_matmul_precision", "highest" if precision == "exact" else "default")
        kind = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
        Xd, yd = jnp.asarray(X), jnp.asarray(y)

        def loss(params, rows):
            h = Xd[rows]
            for k, (W, b) in enumerate(params):
                h = (h.astype(kind) @ W.astype(kind)).astype(jnp.float32) + b
                h = jax.nn.relu(h) if k < len(params) - 1 else h
            return -jnp.take_along_axis(jax.nn.log_softmax(h), yd[rows][:, None], 1).mean()

        step = jax_step(jax, loss)
        train = lambda carry, batches: jax.lax.scan(step, carry, batches)[0]
        self.train = jax.jit(train)

        @jax.jit
        def epoch(carry, key, batch):
            return train(carry, jax.random.permutation(key, len(X)).reshape(-1, len(batch)))

        self.jax, self.jnp, self.epoch_of, self.key = jax, jnp, epoch, jax.random.key(0)
        params = [(jnp.asarray(W[0]), jnp.asarray(b[0, 0])) for W, b in layers_of(start[None], sizes)]
        zeros = jax.tree.map(jnp.zeros_like, params)
        self.start = self.carry = params, zeros, zeros, 0.0

    def epoch(self, batch: int) -> None:
        self.carry = self.epoch_of(self.carry, self.key, self.jnp.zeros(batch))

    def steps(self, batches: np.ndarray) -> np.ndarray:
        params = self.train(self.start, self.jnp.asarray(batches))[0]
        return flatten([(W[None], b[None]) for W, b in params])[0]

    def wait(self) -> None:
        self.jax.block_until_ready(self.carry)


def builders(
    sizes: tuple[int, ...], start: np.ndarray, X: np.ndarray, y: np.ndarray, batch: int, precision: str
) -> Builders:
    """{name: function that builds and verifies the competitor}; a run is an epoch; the slowest to compile are last."""
    batches = np.arange(2 * batch).reshape(2, batch)
    expected = numpy_steps(start[None], sizes, X, y, batches[:, None])

    def build(name: str) -> Competitor:
        competitor = Jax(sizes, start, X, y, precision) if name == "JAX" else Torch(sizes, start, X, y, precision)
        if name == "JAX":
            assert competitor.jax.default_backend() != "cpu", "it finds no GPU"
        elif name.endswith("captured"):
            competitor.capture(batch, "compiled" in name)
        elif name.endswith("compiled"):
            competitor.compile()
        check(name, competitor.steps(batches)[None], expected, start[None], sizes, precision)
        return lambda: competitor.epoch(batch), competitor.wait, 1, len(X) // batch

    names = "PyTorch eager", "PyTorch captured", "JAX", "PyTorch compiled", "PyTorch compiled and captured"
    return {name: partial(build, name) for name in names}
