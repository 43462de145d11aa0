"""The measurement behind `fastmlp devices --measure`: from which amount of work a GPU is faster than the CPU.

The thresholds of device="auto" are computed from its results. The same fit runs on both devices, with compiled and
loaded kernels, for a series of sizes: first single nets of growing width, whose steps are launched one by one on a GPU,
then populations of a growing number of nets, which train in one launch. Between the two sizes where the GPU overtakes
the CPU, the logarithm of the ratio of their times is interpolated linearly in the logarithm of the work. The start-up
time of the GPU is the wall time of a new process that fits a net for three steps on the GPU, minus the wall time of the
same process on the CPU.
"""

from __future__ import annotations

import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from math import exp, inf, log
from typing import Any, NamedTuple

import numpy as np

from ..data import xor
from ..devices import devices
from ..fit.interruption import require_complete
from ..mlp import MLP
from ..population import Population
from ..runtime.auto_device import ESTIMATED_WORK, storage_folder, store
from ..runtime.python_process import python_command

WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)  # units in each hidden layer of a single net
INPUTS, OUTPUTS, BATCH, BATCHES = 64, 10, 128, 20
NETS = (64, 256, 1024, 4096, 16384, 65536)  # sizes of a population that learns XOR
SECONDS = 0.1  # shortest fit that is timed
START = """
import sys, numpy as np, fastmlp
fastmlp.MLP((4, 100, 100, 2), device=sys.argv[1], random_state=0).fit(np.ones((3, 4)), np.ones((3, 2)), epochs=3)
"""


class Job(NamedTuple):
    """A fit on one device, to be timed."""

    name: str
    work: float  # multiply-adds per step
    steps: int  # steps per epoch
    fit: Callable[..., Any]  # called as fit(epochs=...)


class Row(NamedTuple):
    """The result for one size: multiply-adds per step, and seconds per step on the CPU and on the GPU."""

    name: str
    work: float
    processor: float
    gpu: float


def measure(gpu: str) -> Iterator[Row]:
    """Yield the times of each size, then save the thresholds from which device="auto" takes a GPU instead of this CPU.

    It takes about a minute. If the start-up time cannot be measured, as in exclusive mode, in which a GPU takes one
    process at a time, the function warns, and the threshold for the total work stays an estimate.

    gpu : name of the device, such as "cuda:0"
    """
    storage_folder()  # raises before a minute is spent if the result could not be kept
    start = seconds_before_first_step(gpu)
    described = {row.name: row.description for row in devices()}
    of_nets: list[Row] = []
    of_populations: list[Row] = []
    for rows, make, sizes in ((of_nets, one_net, WIDTHS), (of_populations, population, NETS)):
        for row in rows_of(make, sizes, gpu):
            rows.append(row)
            yield row
    total = ESTIMATED_WORK.total if start is None else start * rate_of_processor(of_nets)
    store(described[gpu], described["cpu"], total, crossing(of_nets), crossing(of_populations))


def rows_of(make: Callable[[str, int], Job], sizes: tuple[int, ...], gpu: str) -> Iterator[Row]:
    """Yield a row for each size, measured on the CPU and on the GPU; make : one_net or population"""
    for size in sizes:
        job = make("cpu", size)
        yield Row(job.name, job.work, seconds_of_step(job), seconds_of_step(make(gpu, size)))


def rate_of_processor(rows: list[Row]) -> float:
    """Return the multiply-adds per second of the CPU, at the size where it has most."""
    return max(row.work / row.processor for row in rows)


def crossing(rows: list[Row]) -> float:
    """Return the multiply-adds per step from which the GPU is faster at all larger sizes.

    The result is inf if the GPU is not faster at the largest size.
    """
    behind = [k for k, row in enumerate(rows) if row.gpu >= row.processor]
    if not behind:
        return rows[0].work
    last = behind[-1]
    if last == len(rows) - 1:
        return inf
    (work0, ratio0), (work1, ratio1) = [(log(row.work), log(row.gpu / row.processor)) for row in rows[last : last + 2]]
    return exp(work0 + (work1 - work0) * ratio0 / (ratio0 - ratio1))


def whole_fit(nets: MLP | Population, *data: np.ndarray, **settings: Any) -> Any:
    """Fit the nets, and raise KeyboardInterrupt after Ctrl-C: the time of an incomplete fit is no measurement."""
    return require_complete(nets.fit(*data, **settings))


def one_net(device: str, width: int) -> Job:
    sizes, rng = (INPUTS, width, width, OUTPUTS), np.random.default_rng(0)
    net = MLP(sizes, loss="softmax_cross_entropy", device=device, random_state=0)
    X = rng.normal(size=(BATCH * BATCHES, INPUTS)).astype(np.float32)
    y = rng.integers(OUTPUTS, size=len(X))
    fit = partial(whole_fit, net, X, y, batch_size=BATCH, optimizer="adam", verbose=0)
    return Job("-".join(map(str, sizes)), BATCH * net.network.layout.products, BATCHES, fit)


def population(device: str, n_nets: int) -> Job:
    pop = Population(
        (2, 2, 1), n_nets, hidden_activation="sigmoid", loss="binary_cross_entropy", device=device, random_state=0
    )
    fit = partial(whole_fit, pop, xor.X, xor.Y, optimizer="adam", verbose=0)
    return Job(f"{n_nets:,} of 2-2-1", n_nets * len(xor.X) * pop.network.layout.products, 1, fit)


def seconds_of_step(job: Job) -> float:
    def seconds(epochs: int) -> float:
        began = time.perf_counter()
        job.fit(epochs=epochs)
        return time.perf_counter() - began

    job.fit(epochs=1)  # compiles
    epochs = 1
    while (found := seconds(epochs)) < SECONDS:
        epochs *= 2
    return min(found, seconds(epochs)) / (epochs * job.steps)


def seconds_before_first_step(gpu: str) -> float | None:
    """Return how many seconds longer a GPU takes to start than the CPU.

    If a child process cannot use the GPU, the function warns and returns None.
    """
    try:
        return max(0.0, seconds_to_start(gpu) - seconds_to_start("cpu"))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {error.returncode}"]
        warnings.warn(
            f"How long {gpu} takes to start was not measured, so the multiply-adds in all stay an estimate: a process "
            f"of its own could not use {gpu}, perhaps since this one does ({said[-1]}).",
            stacklevel=3,
        )
        return None


def seconds_to_start(device: str) -> float:
    """Return the seconds from the start of a Python process to the end of a small fit in it.

    The process runs three times, and the first, which may compile kernels, is not counted.
    """
    command, times = python_command(START, device), []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])
