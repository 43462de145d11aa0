"""Machine code for a wheel: what new installations need first, for each level of processors that this one is of.

Run: python tools/ship.py && python -m build --wheel      (two minutes on two cores; Linux on x86-64)

A process per level trains and uses nets of every kind, and what it compiles goes to kernels/shipped (shipped.py)
instead of the user's folder. A level that this processor lacks is left out, and said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from fastmlp import MLP, Population
from fastmlp.kernels import cache, shipped, target

LEVEL = "FASTMLP_SHIPPED_LEVEL"  # that this process is to compile for
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])


def main() -> None:
    if os.environ.get(LEVEL):
        return compile_for(os.environ[LEVEL], JOBS)
    shutil.rmtree(shipped.FOLDER, ignore_errors=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    processes = {}
    for level, features in target.LEVELS.items():
        if missing := [name for name in features if not target.FEATURES.get(name)]:
            print(f"{level}: left out, since this processor has no {', '.join(missing)}")
            continue
        # Vectors as wide as the level has: LLVM would split the widest for the sake of old processors.
        text = ",".join([*(f"+{name}" for name in features), "-prefer-256-bit"])
        environment = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": text, LEVEL: level}
        processes[level] = subprocess.Popen([sys.executable, __file__], env=own | environment)
    failed = [level for level, process in processes.items() if process.wait()]
    for level in processes:
        files = list(shipped.FOLDER.rglob(f"{level}/*.o"))
        print(f"{level}: {len(files)} kernels, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    if failed:
        sys.exit(f"Not compiled: {', '.join(failed)}.")


def compile_for(level: str, jobs: Iterable[Callable[[], object]]) -> None:
    """Do these jobs; what they need is compiled and saved."""
    place = lambda name: shipped.path_of(name, cache.sources_tag(), level)
    cache._path, cache._shipped_path = place, lambda name: None
    for job in jobs:
        job()


def samples(n_features: int, n_outputs: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, n_features)).astype(np.float32), rng.integers(max(2, n_outputs), size=rows)


def use_net(dtype: str, sizes: tuple[int, ...], rows: int, batch: int) -> None:
    X, y = samples(sizes[0], sizes[-1], rows)
    loss = "binary_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    for dropout in (0.0, 0.2):
        net = MLP(sizes, loss=loss, dropout=dropout, dtype=dtype, device="cpu", random_state=0)
        net.fit(X, y, epochs=2, batch_size=batch, validation_data=(X, y), verbose=0)
        net.predict(X)
        net.predict(X[:1])
        net.predict_classes(X[:5])
        net.evaluate(X, y)
        net.loss_and_gradient(X, y)


def use_population(
    dtype: str, sizes: tuple[int, ...], n_nets: int, activation: str, loss: str, optimizer: str
) -> None:  # fmt: skip
    X, y = XOR if sizes[0] == 2 else samples(sizes[0], sizes[-1], 64)
    output = "softmax" if loss == "softmax_cross_entropy" else "sigmoid"
    nets = Population(
        sizes, n_nets, hidden_activation=activation, output_activation=output, loss=loss, dtype=dtype, device="cpu",
        random_state=0,
    )  # fmt: skip
    for batch_size in (len(X), len(X) // 4):
        nets.fit(X, y, epochs=2, batch_size=batch_size, optimizer=optimizer, verbose=0)
    nets.predict(X)
    nets.evaluate(X, y)


# A net for each family of kernels (heuristics.py): widths, rows, batch.
NETS = (
    ((2, 2, 1), 4, 4),  # per_sample_narrow
    ((8, 16, 3), 96, 32),  # per_sample_wide
    ((20, 60, 3), 2000, 1000),  # per_sample_replicas
    ((64, 64, 32, 10), 400, 200),  # replicas
    ((300, 300, 300, 10), 400, 200),  # per_layer
)
POPULATIONS = (
    ((8, 16, 4), 64, "tanh", "softmax_cross_entropy", "adam"),
    ((2, 2, 1), 64, "tanh", "binary_cross_entropy", "adam"),
)
# Of the programs of single architectures those that XOR is usually tried with.
PROGRAMS = product(
    [(2, 2, 1)], [4096], ["sigmoid", "tanh"], ["squared_error", "binary_cross_entropy"],
    ["sgd", "adam", "quickprop", "rprop"],
)  # fmt: skip
DTYPES = ("float32", "float64")
JOBS = (
    *(partial(use_net, dtype, *net) for dtype in DTYPES for net in NETS),
    *(partial(use_population, dtype, *nets) for dtype in DTYPES for nets in POPULATIONS),
    *(partial(use_population, "float32", *nets) for nets in PROGRAMS),
)

if __name__ == "__main__":
    main()
