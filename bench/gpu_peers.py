"""The peers of bench/gpu.py's single nets: PyTorch eager and compiled, JAX.

torch_step, torch_compiled and jax_epoch answer (run, wait, runs a round, steps a run), or None where the library is
missing or finds no card.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np


def torch_parts(sizes, X, y, precision):
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.set_float32_matmul_precision("high" if precision != "exact" else "highest")
    layers: list[Any] = []
    for i, j in pairwise(sizes):
        layers += [torch.nn.Linear(i, j), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).cuda()
    optimizer = torch.optim.Adam(model.parameters(), fused=True, capturable=True)
    Xd, yd = torch.as_tensor(X).cuda(), torch.as_tensor(y).cuda()
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)

    def step(x, t):
        with torch.autocast("cuda", half, enabled=half is not None):
            loss = torch.nn.functional.cross_entropy(model(x), t)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return torch, step, Xd, yd


def _torch_epoch(torch: Any, step: Callable, Xd: Any, yd: Any, batch: int) -> tuple:
    def run() -> None:
        order = torch.randperm(len(Xd), device="cuda")
        for first in range(0, len(Xd), batch):
            rows = order[first : first + batch]
            step(Xd[rows], yd[rows])

    return run, torch.cuda.synchronize, 1, len(Xd) // batch


def torch_step(sizes, X, y, batch, precision):
    parts = torch_parts(sizes, X, y, precision)
    return None if parts is None else _torch_epoch(*parts, batch)


def torch_compiled(sizes, X, y, batch, precision):
    """The whole step compiled, with CUDA graphs."""
    parts = torch_parts(sizes, X, y, precision)
    if parts is None:
        return None
    torch, step, Xd, yd = parts
    try:
        compiled = torch.compile(step, mode="reduce-overhead")
        compiled(Xd[:batch], yd[:batch])
    except Exception as error:
        print(f"PyTorch compiled: {type(error).__name__}, left out")
        return None
    return _torch_epoch(torch, compiled, Xd, yd, batch)


def jax_epoch(sizes, X, y, batch, precision):
    """An epoch in one scan, Adam written out."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    if jax.default_backend() == "cpu":
        return None
    # On a card JAX's float32 products round as TF32 does, unless it is told not to.
    jax.config.update("jax_default_matmul_precision", "highest" if precision == "exact" else "default")
    kind = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}.get(precision, jnp.float32)
    rng = np.random.default_rng(0)
    params = [(jnp.array(rng.normal(size=(i, j)) / i**0.5, jnp.float32), jnp.zeros(j)) for i, j in pairwise(sizes)]
    Xd, yd = jnp.array(X), jnp.array(y)

    def loss(p, rows):
        h = Xd[rows]
        for k, (W, b) in enumerate(p):
            h = (h.astype(kind) @ W.astype(kind)).astype(jnp.float32) + b
            h = jax.nn.relu(h) if k < len(p) - 1 else h
        return -jnp.take_along_axis(jax.nn.log_softmax(h), yd[rows][:, None], 1).mean()

    def step(carry, rows):
        p, m, v, t = carry
        t, g = t + 1, jax.grad(loss)(p, rows)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        p = jax.tree.map(lambda a, b, c: a - scale * b / (jnp.sqrt(c) + 1e-8), p, m, v)
        return (p, m, v, t), None

    @jax.jit
    def epoch(carry, key):
        order = jax.random.permutation(key, len(Xd)).reshape(-1, batch)
        return jax.lax.scan(step, carry, order)[0]

    zeros = jax.tree.map(jnp.zeros_like, params)
    state, key = [(params, zeros, zeros, 0.0)], jax.random.key(0)
    run = lambda: state.__setitem__(0, epoch(state[0], key))
    return run, lambda: jax.block_until_ready(state[0]), 1, len(X) // batch
