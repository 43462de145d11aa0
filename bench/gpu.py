"""What the CUDA backend does on a real card: its tests, then ours against the peers and against the card's own limits.

    python bench/gpu.py [--quick] [--no-tests] [--output FOLDER]

One command of at most eight minutes that needs this repository, NumPy, Numba and CuPy, and takes PyTorch and JAX where
they are there; `PYTHONPATH=src` is enough, nothing has to be installed. Prints a table, and writes it and a JSON file
under bench/results/, named after the card.

What is timed is verified first, ours and the peers: against float64 NumPy, and of single nets our gradient against the
CPU's. A workload that breaks, or for which no time is left, has a row that says so.
Times are medians of interleaved rounds, in microseconds a step (an epoch for populations), synchronised at the
end of each round of many steps. Ours is measured as it is and with every step launched kernel by kernel instead of
replayed as a graph, a small net also layer by layer, so that the overhead of launches shows. The limits: copies for
bandwidth, bare cuBLAS products for a step, and for populations the card's arithmetic: multiply-adds and what takes
their place (an exponential and a division counted as 16 of them), at the rate of a kernel of nothing but multiply-adds.
"""

from __future__ import annotations

import argparse
import json
import os
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
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the card's memory
MINUTES, TEST_MINUTES = 8.0, 4.0  # for everything, and for the tests among it
# The tests that a card has a say in. They need pytest and SciPy, and nothing else that this script does not.
DEVICE_TESTS = ("tests/kernels/cuda", *sorted(path.relative_to(ROOT) for path in ROOT.glob("tests/test_cuda*.py")))

import gpu_peers  # noqa: E402
import nets_in_step  # noqa: E402
from launches import ways  # noqa: E402

import fastmlp  # noqa: E402
import fastmlp.plan  # noqa: E402
from fastmlp import crossover  # noqa: E402

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)
CHECKED_EPOCHS = 20
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
    pop.fit(XOR_X, XOR_Y, epochs=CHECKED_EPOCHS, optimizer=fastmlp.SGD(1.0), verbose=0)
    check_population("fastmlp", pop.params[:50], start)
    pop.params = start
    if checked := jax_population(start[:50], CHECKED_EPOCHS):
        checked[0]()
        check_population("JAX", checked[2](), start)
    wait = cupy.cuda.get_current_stream().synchronize
    fit = lambda: pop.fit(XOR_X, XOR_Y, epochs=epochs, optimizer=fastmlp.SGD(1.0), verbose=0)
    contestants = {"fastmlp": (fit, wait, 1, n_nets * epochs)}
    if jax_run := jax_population(start, epochs):
        contestants["JAX vmap + scan"] = (*jax_run[:2], 1, n_nets * epochs)
    times = interleaved(contestants, rounds)
    return {"unit": "us per net and epoch", "times": times, "limit": 1e6 * OPERATIONS_221 / rate,
            "target": "10 times JAX, 30 % of the limit"}  # fmt: skip


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
    contestants |= gpu_peers.contestants(sizes, exact.params, X, y, batch, precision)
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


# ---- the report


def table(results: dict[str, Any]) -> str:
    lines = ["| work | unit | contestant | median | spread | to the limit | ours is faster by | target |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for work, row in results["workloads"].items():
        if "error" in row:
            lines.append(f"| {work} | {row['error']} | | | | | | |")
            continue
        medians = {name: float(np.median(times)) for name, times in row["times"].items()}
        for name, value in medians.items():
            low, high = min(row["times"][name]), max(row["times"][name])
            lines.append(
                f"| {work} | {row['unit']} | {name} | {value:.4g} | {low:.3g} to {high:.3g} | "
                f"{value / row['limit']:.2f} | {value / medians['fastmlp']:.2f} | {row['target']} |"
            )
    return "\n".join(lines)


def run_tests(seconds: float) -> str:
    """Their last line, or why there is none."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "emulator", "--device", "cuda", "--require-device", "cuda",
               "-p", "no:cacheprovider", *map(str, DEVICE_TESTS)]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as stopped:
        output = stopped.stdout or b""
        print((output if isinstance(output, str) else output.decode(errors="replace"))[-4000:])
        return f"stopped after {seconds:.0f} s, before they had ended"
    print(done.stdout[-4000:], done.stderr[-1000:])
    return (done.stdout.strip().splitlines() or ["no output"])[-1]


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Its row; one that breaks leaves a row that says how, and the others go on."""
    try:
        return work()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def save(results: dict[str, Any], folder: Path) -> None:
    """After each workload: what was measured is there whatever happens next."""
    folder.mkdir(parents=True, exist_ok=True)
    card = results["card"].partition(",")[0].lower().replace(" ", "-")
    (folder / f"gpu-{card}.json").write_text(json.dumps(results, indent=1) + "\n")
    auto = results["thresholds of auto"]
    (folder / f"gpu-{card}.md").write_text(
        f'{results["card"]}; {results["tests"]}; "auto" takes it from {auto} on\n\n{table(results)}\n'
    )


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

    deadline = time.monotonic() + 60 * MINUTES
    quick, rounds = options.quick, 3 if options.quick else 7
    results: dict[str, Any] = {
        "card": rows[0].description, "python": platform.python_version(), "fastmlp": fastmlp.__version__,
        "tests": "not run" if options.no_tests else run_tests(60 * TEST_MINUTES), "limits": limits(cupy, quick),
        "thresholds of auto": str(crossover.measure(rows[0].name)),
        "workloads": {},
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
        late = {"error": f"not measured: {MINUTES:g} minutes were over"}
        row = measured(work) if time.monotonic() < deadline else late
        results["workloads"][name] = row
        save(results, options.output)
        print(table({"workloads": {name: row}}), flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
