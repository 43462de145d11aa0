"""The workloads of bench/gpu.py: ours, the peers' and the card's limit, verified and then timed in turns.

A row of results: unit, times {name: a number per round}, left_out {name: why}, limit, target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpu_peers
import nets_in_step
import numpy as np
from gpu_limits import bare_products, bare_products_of_nets, median_time
from launches import ways
from nets_in_step import Contestant, left_out_if_broken, reason

import fastmlp
import fastmlp.plan

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)
CHECKED_EPOCHS = 20
OPERATIONS_221 = 293  # multiply-adds and their like of a net and epoch (bench/LOG.md)
LIMIT = "bare products"


def timed(contestants: dict[str, Contestant], left_out: dict[str, str], rounds: int) -> dict[str, Any]:
    """{"times": {name: microseconds a unit, a number per round}, "left_out": why others have none}. A peer that breaks
    while it warms up is left out; ours and the limit may not.
    """
    found: dict[str, list[float]] = {}
    for name, (run, wait, n, _) in contestants.items():
        try:
            median_time(run, wait, max(1, n // 4))  # compile, warm up
            found[name] = []
        except Exception as error:
            if name == LIMIT or name.startswith("fastmlp"):
                raise
            left_out[name] = reason(error)
    for _ in range(rounds):
        for name, times in found.items():
            run, wait, n, units = contestants[name]
            times.append(1e6 * median_time(run, wait, n) / units)
    return {"times": found, "left_out": left_out}


def with_limit(row: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The row whose limit is one of its contestants."""
    return {**row, "limit": float(np.median(row["times"].pop(LIMIT))), **others}


def population(cupy: Any, n_nets: int, epochs: int, rounds: int, multiply_adds: float) -> dict[str, Any]:
    """2-2-1 nets on XOR, plain descent on the squared error. multiply_adds : of the card, in a second"""
    pop = fastmlp.Population(
        (2, 2, 1), n_nets, hidden_activation="sigmoid", output_activation="sigmoid", loss="squared_error",
        device="cuda", random_state=0,
    )  # fmt: skip
    start = pop.params.copy()
    pop.fit(XOR_X, XOR_Y, epochs=CHECKED_EPOCHS, optimizer=fastmlp.SGD(1.0), verbose=0)
    check_population("fastmlp", pop.params[:50], start)
    pop.params = start
    wait = wait_of(cupy)
    fit = lambda: pop.fit(XOR_X, XOR_Y, epochs=epochs, optimizer=fastmlp.SGD(1.0), verbose=0)
    contestants: dict[str, Contestant] = {"fastmlp": (fit, wait, 1, n_nets * epochs)}
    left_out: dict[str, str] = {}
    with left_out_if_broken("JAX vmap + scan", left_out):
        if checked := jax_population(start[:50], CHECKED_EPOCHS):
            checked[0]()
            check_population("JAX", checked[2](), start)
            contestants["JAX vmap + scan"] = (*jax_population(start, epochs)[:2], 1, n_nets * epochs)
        else:
            left_out["JAX vmap + scan"] = "not installed, or it finds no card"
    limit = 1e6 * OPERATIONS_221 / multiply_adds
    return timed(contestants, left_out, rounds) | {
        "unit": "us per net and epoch", "limit": limit, "target": "10 times JAX, 30 % of the limit",
    }  # fmt: skip


def check_population(name: str, reached: np.ndarray, start: np.ndarray) -> None:
    """Raises where parameters after CHECKED_EPOCHS of the first nets are not those of float64 NumPy."""
    P = start[: len(reached)].astype(np.float64)
    for _ in range(CHECKED_EPOCHS):
        W1, b1, W2, b2 = P[:, :4].reshape(-1, 2, 2), P[:, None, 4:6], P[:, 6:8, None], P[:, None, 8:]
        h = 1 / (1 + np.exp(-(XOR_X @ W1 + b1)))
        a = 1 / (1 + np.exp(-(h @ W2 + b2)))
        d = 2 * (a - XOR_Y) * a * (1 - a) / 4
        dh = d @ W2.transpose(0, 2, 1) * h * (1 - h)
        parts = [XOR_X.T @ dh, dh.sum(1), h.transpose(0, 2, 1) @ d, d.sum(1)]
        P = P - np.concatenate([g.reshape(len(P), -1) for g in parts], axis=1)
    np.testing.assert_allclose(reached, P, rtol=1e-3, atol=1e-4, err_msg=name)


def jax_population(
    start: np.ndarray, epochs: int, anywhere: bool = False
) -> tuple[Callable, Callable, Callable] | None:
    """(run, wait, parameters after the last run) on a card, or anywhere; None where JAX is missing."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    if jax.default_backend() == "cpu" and not anywhere:
        return None
    jax.config.update("jax_default_matmul_precision", "highest")  # TF32 would not train the same nets
    X, Y = jnp.array(XOR_X), jnp.array(XOR_Y)

    def loss(p):
        h = jax.nn.sigmoid(X @ p[:4].reshape(2, 2) + p[4:6])
        return ((jax.nn.sigmoid(h @ p[6:8].reshape(2, 1) + p[8]) - Y) ** 2).mean()

    def train(p):
        return jax.lax.scan(lambda q, _: (q - jax.grad(loss)(q), None), p, None, length=epochs)[0]

    run, params, last = jax.jit(jax.vmap(train)), jnp.array(start), []
    last.append(run(params))
    return lambda: last.__setitem__(0, run(params)), lambda: last[0].block_until_ready(), lambda: np.asarray(last[0])


def nets_in_steps(
    cupy: Any, sizes: tuple[int, ...], n_nets: int, batch: int, n_batches: int, rounds: int, epochs: int = 8
) -> dict[str, Any]:
    """Mid-sized nets that take each step together; the limit is the bare products of such a step."""
    left_out: dict[str, str] = {}
    contestants = nets_in_step.contestants(cupy, sizes, n_nets, batch, n_batches, epochs, left_out)
    contestants[LIMIT] = bare_products_of_nets(cupy, sizes, n_nets, batch), wait_of(cupy), 10, 1
    row = timed(contestants, left_out, rounds)
    return with_limit(row, unit="us per step of all nets", target="ahead of PyTorch and JAX")


def wait_of(cupy: Any) -> Callable[[], None]:
    return cupy.cuda.get_current_stream().synchronize


def single(cupy: Any, sizes: tuple[int, ...], batch: int, n_batches: int, rounds: int, precision: str, target: str,
           epochs: int = 8) -> dict[str, Any]:  # fmt: skip
    """A relu net with softmax cross-entropy and Adam; ours, the peers' and the bare products of its step.

    epochs : of one fit of ours, so that what it does once, such as recording its graphs, is a small part of it
    """
    rng = np.random.default_rng(0)
    n = batch * n_batches
    X = rng.normal(size=(n, sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=n)
    make = lambda device, kind: fastmlp.MLP(
        sizes, loss="softmax_cross_entropy", device=device, precision=kind, random_state=0
    )
    net, exact = make("cuda", precision), make("cpu", "exact")
    ours, reference = net.loss_and_gradient(X[:256], y[:256]), exact.loss_and_gradient(X[:256], y[:256])
    tolerance = {"exact": 1e-4, "tf32": 1e-2}.get(precision, 5e-2)
    off = np.linalg.norm(ours[1] - reference[1]) / np.linalg.norm(reference[1])
    assert off < tolerance, f"the gradient is off by {off:.2g}"
    wait = wait_of(cupy)
    Xd = cupy.asarray(X)
    fit = lambda: net.fit(Xd, y, epochs=epochs, batch_size=batch, optimizer="adam", verbose=0)
    family = fastmlp.plan.choose_device_family(net.network, batch, precision, net.dtype)
    contestants: dict[str, Contestant] = {
        name: (run, wait, 1, epochs * n_batches) for name, run in ways(fit, family).items()
    }  # fmt: skip
    contestants[LIMIT] = bare_products(cupy, sizes, batch, precision), wait, 10, 1
    left_out: dict[str, str] = {}
    contestants |= gpu_peers.contestants(sizes, exact.params, X, y, batch, precision, left_out)
    return with_limit(timed(contestants, left_out, rounds), unit="us per step", target=target)


def workloads(cupy: Any, quick: bool, multiply_adds: float) -> dict[str, Callable[[], dict[str, Any]]]:
    """By name, the most important first."""
    rounds = 3 if quick else 7
    large, narrow = (784, 512, 512, 10), (64, 64, 64, 64, 64, 16)
    return {
        "population 2-2-1, XOR": lambda: population(cupy, 10**5 if quick else 10**6, 500, rounds, multiply_adds),
        "784-512-512-10, batch 1024": lambda: single(
            cupy, large, 1024, 50, rounds, "exact", "products are 85 % of a step"
        ),
        "64-64-32-10, batch 32": lambda: single(cupy, (64, 64, 32, 10), 32, 45, rounds, "exact", "20 us"),
        "64-64-64-64-64-16, batch 65536, bfloat16": lambda: single(
            cupy, narrow, 65536, 4, rounds, "bfloat16", "5 times PyTorch eager"
        ),
        "784-512-512-10, batch 1024, tf32": lambda: single(
            cupy, large, 1024, 50, rounds, "tf32", "ahead of PyTorch compiled and JAX"
        ),
        "population 64-128-64-10, batch 32": lambda: nets_in_steps(
            cupy, (64, 128, 64, 10), 200 if quick else 1000, 32, 45, rounds
        ),
    }
