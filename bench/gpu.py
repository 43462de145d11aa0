"""What the CUDA backend does on a real card: its tests, then ours against the peers and against the card's own limits.

    python bench/gpu.py [--quick] [--no-tests] [--output FOLDER]

One command of at most eight minutes that needs this repository, NumPy, Numba and CuPy, and takes PyTorch and JAX where
they are there; `PYTHONPATH=src` is enough, nothing has to be installed. Prints a table, and writes it and a JSON file
under bench/results/, named after the card.

Everything is verified before it is timed: losses of all contestants from the same start are compared with float64
NumPy. Times are medians of interleaved rounds, in microseconds a step (an epoch for populations), synchronised at the
end of each round of many steps. Ours is measured as it is and with every step launched kernel by kernel instead of
replayed as a graph, a small net also layer by layer, so that the overhead of launches shows. The limits: copies for
bandwidth, bare cuBLAS products for a step, and for populations the card's arithmetic: multiply-adds and what takes
their place (an exponential and a division counted as 16 of them), at the rate of a kernel of nothing but multiply-adds.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import nets_in_step  # noqa: E402
from launches import ways  # noqa: E402

import fastmlp  # noqa: E402
import fastmlp.plan  # noqa: E402

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)
OPERATIONS_221 = 293  # multiply-adds and their like of a net and epoch (bench/LOG.md)


def median_time(run: Callable[[], Any], wait: Callable[[], Any], n: int) -> float:
    """Seconds of one run() out of n in a row."""
    wait()
    start = time.perf_counter()
    for _ in range(n):
        run()
    wait()
    return (time.perf_counter() - start) / n


def interleaved(contestants: dict[str, tuple[Callable, Callable, int, float]], rounds: int) -> dict[str, list[float]]:
    """{name: microseconds a unit, a number per round} for {name: (run, wait, runs a round, units a run)}."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for run, wait, n, _ in contestants.values():
        median_time(run, wait, max(1, n // 4))  # compile, warm up
    for _ in range(rounds):
        for name, (run, wait, n, units) in contestants.items():
            found[name].append(1e6 * median_time(run, wait, n) / units)
    return found


# ---- the card's limits


def limits(cupy: Any, quick: bool) -> dict[str, float]:
    size = 2**24 if quick else 2**28
    source, target = cupy.ones(size, cupy.float32), cupy.empty(size, cupy.float32)
    wait = cupy.cuda.get_current_stream().synchronize
    cupy.copyto(target, source)
    copy = min(median_time(lambda: cupy.copyto(target, source), wait, 5) for _ in range(5))
    n = 1024 if quick else 8192
    a = cupy.ones((n, n), cupy.float32)
    a @ a
    product = min(median_time(lambda: a @ a, wait, 3) for _ in range(3))
    return {
        "copy GB/s": 8e-9 * size / copy,
        "sgemm GFLOP/s": 2e-9 * n**3 / product,
        "multiply-adds/s": multiply_add_rate(cupy, 1000 if quick else 100_000),
    }


def multiply_add_rate(cupy: Any, repeats: int) -> float:
    """float32 multiply-adds a second of a kernel of nothing else."""
    code = """extern "C" __global__ void run(float* x, int repeats) {
      float v[8];
      for (int q = 0; q < 8; ++q) v[q] = x[q];
      for (int r = 0; r < repeats; ++r)
        for (int q = 0; q < 8; ++q) v[q] = v[q] * 1.0000001f + 0.5f;
      float sum = 0.0f;
      for (int q = 0; q < 8; ++q) sum += v[q];
      if (sum == 0.0f) x[0] = sum;
    }"""
    kernel = cupy.RawModule(code=code, backend="nvrtc").get_function("run")
    x, blocks = cupy.ones(8, cupy.float32), 16 * cupy.cuda.Device().attributes["MultiProcessorCount"]
    run = lambda: kernel((blocks,), (256,), (x, np.int32(repeats)))
    wait = cupy.cuda.get_current_stream().synchronize
    run()
    return 8.0 * repeats * 256 * blocks / min(median_time(run, wait, 3) for _ in range(3))


# ---- populations


def population(cupy: Any, n_nets: int, epochs: int, rounds: int, rate: float) -> dict[str, Any]:
    """2-2-1 nets on XOR, plain descent on the squared error."""
    pop = fastmlp.Population(
        (2, 2, 1), n_nets, hidden_activation="sigmoid", output_activation="sigmoid", loss="squared_error",
        device="cuda", random_state=0,
    )  # fmt: skip
    start = pop.params.copy()
    verify_population(pop, start)
    wait = cupy.cuda.get_current_stream().synchronize
    fit = lambda: pop.fit(XOR_X, XOR_Y, epochs=epochs, optimizer=fastmlp.SGD(1.0), verbose=0)
    contestants = {"fastmlp": (fit, wait, 1, n_nets * epochs)}
    if jax_run := jax_population(start, epochs):
        contestants["JAX vmap + scan"] = (*jax_run, 1, n_nets * epochs)
    times = interleaved(contestants, rounds)
    return {"unit": "us per net and epoch", "times": times, "limit": 1e6 * OPERATIONS_221 / rate,
            "target": "10 times JAX, 30 % of the limit"}  # fmt: skip


def verify_population(pop: fastmlp.Population, start: np.ndarray) -> None:
    pop.params = start
    pop.fit(XOR_X, XOR_Y, epochs=20, optimizer=fastmlp.SGD(1.0), verbose=0)
    reached = pop.params[:50].astype(np.float64)
    P = start[:50].astype(np.float64)
    for _ in range(20):
        W1, b1, W2, b2 = P[:, :4].reshape(-1, 2, 2), P[:, None, 4:6], P[:, 6:8, None], P[:, None, 8:]
        h = 1 / (1 + np.exp(-(XOR_X @ W1 + b1)))
        a = 1 / (1 + np.exp(-(h @ W2 + b2)))
        d = 2 * (a - XOR_Y) * a * (1 - a) / 4
        dh = d @ W2.transpose(0, 2, 1) * h * (1 - h)
        parts = [XOR_X.T @ dh, dh.sum(1), h.transpose(0, 2, 1) @ d, d.sum(1)]
        P = P - np.concatenate([g.reshape(len(P), -1) for g in parts], axis=1)
    np.testing.assert_allclose(reached, P, rtol=1e-3, atol=1e-4)
    pop.params = start


def jax_population(start: np.ndarray, epochs: int) -> tuple[Callable, Callable] | None:
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    if jax.default_backend() == "cpu":
        return None
    X, Y = jnp.array(XOR_X), jnp.array(XOR_Y)

    def loss(p):
        h = jax.nn.sigmoid(X @ p[:4].reshape(2, 2) + p[4:6])
        return ((jax.nn.sigmoid(h @ p[6:8].reshape(2, 1) + p[8]) - Y) ** 2).mean()

    def train(p):
        return jax.lax.scan(lambda q, _: (q - jax.grad(loss)(q), None), p, None, length=epochs)[0]

    run, params, last = jax.jit(jax.vmap(train)), jnp.array(start), []
    last.append(run(params))
    return lambda: last.__setitem__(0, run(params)), lambda: last[0].block_until_ready()


def nets_in_steps(
    cupy: Any, sizes: tuple[int, ...], n_nets: int, batch: int, n_batches: int, rounds: int, epochs: int = 8
) -> dict[str, Any]:
    """Mid-sized nets that take each step together; the limit is the bare products of such a step."""
    times = interleaved(nets_in_step.contestants(cupy, sizes, n_nets, batch, n_batches, epochs), rounds)
    limit = float(np.median(times.pop("bare products")))
    return {"unit": "us per step of all nets", "times": times, "limit": limit, "target": "ahead of PyTorch and JAX"}


# ---- one net, step by step


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
    wait = cupy.cuda.get_current_stream().synchronize
    Xd = cupy.asarray(X)
    fit = lambda: net.fit(Xd, y, epochs=epochs, batch_size=batch, optimizer="adam", verbose=0)
    family = fastmlp.plan.choose_device_family(net.network, batch, precision, net.dtype)
    contestants: dict[str, tuple] = {
        name: (run, wait, 1, epochs * n_batches) for name, run in ways(fit, family).items()
    }  # fmt: skip
    contestants["bare products"] = bare_products(cupy, sizes, batch), wait, 10, 1
    for name, peer in (("PyTorch eager", torch_step), ("PyTorch compiled", torch_compiled), ("JAX", jax_epoch)):
        found = peer(sizes, X, y, batch, precision)
        if found is not None:
            contestants[name] = found
    times = interleaved(contestants, rounds)
    limit = float(np.median(times.pop("bare products")))
    return {"unit": "us per step", "times": times, "limit": limit, "target": target}


def bare_products(cupy: Any, sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    """The products of a step in float32, by cuBLAS."""
    a = [cupy.ones((batch, size), cupy.float32) for size in sizes]
    W = [cupy.ones((i, j), cupy.float32) for i, j in pairwise(sizes)]

    def run() -> None:
        for k, w in enumerate(W):
            cupy.matmul(a[k], w, out=a[k + 1])
        for k in range(len(W) - 1, -1, -1):
            a[k].T @ a[k + 1]
            if k:
                a[k + 1] @ W[k].T

    return run


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


# ---- the report


def table(results: dict[str, Any]) -> str:
    lines = ["| work | unit | contestant | median | spread | to the limit | ours is faster by | target |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for work, row in results["workloads"].items():
        medians = {name: float(np.median(times)) for name, times in row["times"].items()}
        for name, value in medians.items():
            low, high = min(row["times"][name]), max(row["times"][name])
            lines.append(
                f"| {work} | {row['unit']} | {name} | {value:.4g} | {low:.3g} to {high:.3g} | "
                f"{value / row['limit']:.2f} | {value / medians['fastmlp']:.2f} | {row['target']} |"
            )
    return "\n".join(lines)


def run_tests() -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "emulator", "--device", "cuda", "--require-device", "cuda",
               "-p", "no:cacheprovider", str(ROOT / "tests")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    print(done.stdout[-4000:], done.stderr[-1000:])
    return (done.stdout.strip().splitlines() or ["no output"])[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    rows = [row for row in fastmlp.devices() if row.name.startswith("cuda")]
    if not rows[0].available:
        sys.exit(f"There is no GPU to measure: {rows[0].reason}.")
    import cupy

    quick, rounds = options.quick, 3 if options.quick else 7
    results: dict[str, Any] = {
        "card": rows[0].description, "python": platform.python_version(), "fastmlp": fastmlp.__version__,
        "tests": "not run" if options.no_tests else run_tests(), "limits": limits(cupy, quick), "workloads": {},
    }  # fmt: skip
    print(json.dumps({**results, "workloads": "..."}, indent=1))
    rate = results["limits"]["multiply-adds/s"]
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "population 2-2-1, XOR": lambda: population(cupy, 10**5 if quick else 10**6, 500, rounds, rate),
        "population 64-128-64-10, batch 32": lambda: nets_in_steps(
            cupy, (64, 128, 64, 10), 200 if quick else 1000, 32, 45, rounds
        ),
        "784-512-512-10, batch 1024": lambda: single(
            cupy, (784, 512, 512, 10), 1024, 50, rounds, "exact", "products are 85 % of a step"
        ),
        "784-512-512-10, batch 1024, tf32": lambda: single(
            cupy, (784, 512, 512, 10), 1024, 50, rounds, "tf32", "ahead of PyTorch compiled and JAX"
        ),
        "64-64-32-10, batch 32": lambda: single(cupy, (64, 64, 32, 10), 32, 45, rounds, "exact", "20 us"),
        "64-64-64-64-64-16, batch 65536, bfloat16": lambda: single(
            cupy, (64, 64, 64, 64, 64, 16), 65536, 4, rounds, "bfloat16", "5 times PyTorch eager"
        ),
    }
    for name, work in works.items():
        results["workloads"][name] = work()
        print(table({"workloads": {name: results["workloads"][name]}}), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    card = rows[0].description.partition(",")[0].lower().replace(" ", "-")
    (options.output / f"gpu-{card}.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.output / f"gpu-{card}.md").write_text(f"{results['card']}; {results['tests']}\n\n{table(results)}\n")
    print(table(results))


if __name__ == "__main__":
    main()
