"""Warm-up: compiles the kernels that a machine will need, before they are needed.

Small fits and predictions of every kind of net compile them. `fastmlp warmup` does that for this processor's cache, and
tools/ship.py for the machine code of a wheel.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import numpy as np

from .data import xor
from .execution.unrolled_code import unrolled_at_once
from .kernels.jit import call
from .kernels.jit.linker import attribute
from .mlp import MLP
from .population import Population
from .runtime.python_process import python_command
from .runtime.thread_count import n_threads_available

PROGRAM = "import sys; from fastmlp import warmup; warmup.run_job(*sys.argv[1:])"


def samples(n_features: int, n_outputs: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, n_features)).astype(np.float32), rng.integers(max(2, n_outputs), size=rows)


def use_net(dtype: str, sizes: tuple[int, ...], rows: int, batch: int) -> None:
    """Train and use a net with kernels of one family."""
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
    """Train and use a population."""
    X, y = (xor.X, xor.Y) if sizes[0] == 2 else samples(sizes[0], sizes[-1], 64)
    nets = Population(
        sizes,
        n_nets,
        hidden_activation=activation,
        output_activation="softmax" if loss == "softmax_cross_entropy" else "sigmoid",
        loss=loss,
        dtype=dtype,
        device="cpu",
        random_state=0,
    )
    with unrolled_at_once():
        for batch_size in (len(X), len(X) // 4):
            nets.fit(X, y, epochs=2, batch_size=batch_size, optimizer=optimizer, verbose=0)
    nets.predict(X)
    nets.evaluate(X, y)


def use_tiny_populations() -> None:
    """Train populations as XOR is usually tried with. Unrolled code is compiled for each architecture."""
    for settings in product(
        ["sigmoid", "tanh"], ["squared_error", "binary_cross_entropy"], ["sgd", "adam", "quickprop", "rprop"]
    ):
        use_population("float32", (2, 2, 1), 4096, *settings)


# A net for each kernel family (dispatch.py): layer sizes, number of samples, batch size.
NETS = (
    ((2, 2, 1), 4, 4),  # batch_simd_4
    ((8, 16, 3), 96, 32),  # batch_simd_16
    ((20, 60, 3), 2000, 1000),  # batch_simd_data_parallel
    ((64, 64, 32, 10), 400, 200),  # layerwise_data_parallel
    ((784, 512, 512, 10), 512, 256),  # layerwise
    ((64, 64, 32, 10), 20, 1),  # layerwise_batch1
)
POPULATIONS = (
    ((8, 16, 4), 64, "tanh", "softmax_cross_entropy", "adam"),
    ((2, 2, 1), 64, "tanh", "binary_cross_entropy", "adam"),
)
JOBS: dict[str, list[Callable[[], None]]] = {
    f"{kind} {dtype}": [partial(use, dtype, *sizes) for sizes in cases]
    for dtype in ("float32", "float64")
    for kind, use, cases in (("nets", use_net, NETS), ("populations", use_population, POPULATIONS))
}
JOBS["populations float32"].append(use_tiny_populations)


def compile_kernels(jobs: list[Callable[[], None]]) -> None:
    """Do jobs, and compile the kernels that they need for every activation, loss and update rule."""
    for job in jobs:
        job()
    for table in call.tables():
        for code in range(len(attribute(table.link.helper).rows)):
            call.load_row(table, code)


def run_job(name: str, number: str) -> None:
    """Do one job of a name in JOBS."""
    compile_kernels(JOBS[name][int(number) : int(number) + 1])


def warm_up(dtypes: tuple[str, ...] = ("float32",)) -> Iterator[tuple[int, int]]:
    """Compile what fits and predictions need, in a process per processor; yield (jobs done, jobs) after each job.

    dtypes : of the nets

    Raises
    ------
    RuntimeError
        If a process fails.
    """
    jobs = [(name, str(i)) for name, jobs in JOBS.items() if name.endswith(dtypes) for i in range(len(jobs))]
    environment = os.environ | {"FASTMLP_COMPILE_PROCESSES": "1"}

    def run(job: tuple[str, str]) -> subprocess.CompletedProcess:
        command = python_command(PROGRAM, *job)
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    yield 0, len(jobs)
    with ThreadPoolExecutor(n_threads_available()) as pool:
        try:
            for n_done, process in enumerate(pool.map(run, jobs), start=1):
                if process.returncode:
                    lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
                    raise RuntimeError(f"A process that compiles has failed: {lines[-1]}")
                yield n_done, len(jobs)
        except BaseException:  # Ctrl-C, too, which ends the processes of a terminal by itself
            pool.shutdown(wait=False, cancel_futures=True)
            raise
