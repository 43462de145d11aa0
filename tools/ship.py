"""Compile the prebuilt kernels of a wheel, for each CPU level that this CPU supports.

    python tools/ship.py && python -m build --wheel      (five minutes on two cores; Linux on x86-64)
    python tools/ship.py --quick                         (two minutes: for this CPU's own level, float32 only)

The kernels are those that new installations need first. One process per level, dtype and kind trains and uses nets of
every kind, and as many processes run at a time as there are logical CPUs. Their kernels are saved to kernels/shipped
(prebuilt.py) instead of the user's object cache. A level that this CPU does not support is left out, with a message.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from fastmlp import MLP, Population
from fastmlp.kernels.jit import call, cpu_features, object_cache, prebuilt
from fastmlp.kernels.jit.linker import attribute

TASK = "FASTMLP_SHIPPED"  # environment variable: the level and the jobs of a child process
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])


def main() -> None:
    if task := os.environ.get(TASK):
        level, jobs = task.split(maxsplit=1)
        return compile_for(level, JOBS[jobs])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="this processor's own level and float32 only")
    quick = parser.parse_args().quick
    shutil.rmtree(prebuilt.FOLDER, ignore_errors=True)
    tasks = [(level, jobs) for level in levels_here() for jobs in JOBS]
    if quick:
        tasks = [(level, jobs) for level, jobs in tasks if level == cpu_features.level() and jobs.endswith("float32")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [task for task, code in zip(tasks, pool.map(start, tasks), strict=True) if code]
    for level in dict(tasks):
        files = list(prebuilt.FOLDER.rglob(f"{level}/*.o"))
        print(f"{level}: {len(files)} kernels, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    if not tasks:
        print("Nothing to compile: this processor is of no level, and a wheel brings it no machine code.")
    if failed:
        sys.exit(f"Not compiled: {failed}.")


def levels_here() -> list[str]:
    """Return the levels whose features this CPU has, and print the missing features of the other levels."""
    levels = []
    for level, features in cpu_features.LEVELS.items():
        if missing := [name for name in features if not cpu_features.FEATURES.get(name)]:
            print(f"{level}: left out, since this processor has no {', '.join(missing)}")
        else:
            levels.append(level)
    return levels


def start(task: tuple[str, str]) -> int:
    """Do jobs for a level in a child process, and return its exit status.

    "-prefer-256-bit" makes LLVM use the full vector width of the level: for the sake of older CPUs, it would split
    512-bit vectors.
    """
    level, _ = task
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    features = ",".join([*(f"+{name}" for name in cpu_features.LEVELS[level]), "-prefer-256-bit"])
    environment = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": features, TASK: " ".join(task)}
    return subprocess.run([sys.executable, __file__], env=inherited | environment, check=False).returncode


def compile_for(level: str, jobs: Iterable[Callable[[], object]]) -> None:
    """Run the jobs, with all kernels they need compiled and saved as prebuilt kernels of this level, for every
    activation, loss and update rule.
    """
    path_of = lambda name: prebuilt.path_of(name, object_cache.sources_tag(), level)
    object_cache._path, object_cache._prebuilt_path = path_of, lambda name: None
    for job in jobs:
        job()
    for table in call.tables():
        for code in range(len(attribute(table.link.helper).functions)):
            call.load_row(table, code)


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


def use_population(dtype: str, sizes: tuple[int, ...], n_nets: int, activation: str, loss: str, optimizer: str) -> None:
    X, y = XOR if sizes[0] == 2 else samples(sizes[0], sizes[-1], 64)
    output = "softmax" if loss == "softmax_cross_entropy" else "sigmoid"
    nets = Population(
        sizes,
        n_nets,
        hidden_activation=activation,
        output_activation=output,
        loss=loss,
        dtype=dtype,
        device="cpu",
        random_state=0,
    )
    for batch_size in (len(X), len(X) // 4):
        nets.fit(X, y, epochs=2, batch_size=batch_size, optimizer=optimizer, verbose=0)
    nets.predict(X)
    nets.evaluate(X, y)


# A net for each kernel family (dispatch.py): layer sizes, number of samples, batch size.
NETS = (
    ((2, 2, 1), 4, 4),  # batch_simd_4
    ((8, 16, 3), 96, 32),  # batch_simd_16
    ((20, 60, 3), 2000, 1000),  # batch_simd_data_parallel
    ((64, 64, 32, 10), 400, 200),  # layerwise_data_parallel
    ((300, 300, 300, 10), 400, 200),  # layerwise
)
POPULATIONS = (
    ((8, 16, 4), 64, "tanh", "softmax_cross_entropy", "adam"),
    ((2, 2, 1), 64, "tanh", "binary_cross_entropy", "adam"),
)
# Unrolled code is compiled for one architecture: here, for the populations that XOR is usually tried with.
PROGRAMS = product(
    [(2, 2, 1)],
    [4096],
    ["sigmoid", "tanh"],
    ["squared_error", "binary_cross_entropy"],
    ["sgd", "adam", "quickprop", "rprop"],
)
JOBS = {
    f"{kind} {dtype}": [partial(use, dtype, *sizes) for sizes in cases]
    for dtype in ("float32", "float64")
    for kind, use, cases in (("nets", use_net, NETS), ("populations", use_population, POPULATIONS))
}
JOBS["populations float32"] += [partial(use_population, "float32", *nets) for nets in PROGRAMS]

if __name__ == "__main__":
    main()
