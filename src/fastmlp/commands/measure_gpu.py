"""Where a GPU overtakes this machine's processor, measured: what the thresholds of "auto" are made from.

A row for each size of work: the same fit on both, kernels compiled and loaded. Between the two sizes where the GPU
becomes the faster one, the ratio is taken as a straight line in logarithms. First come nets of growing width, of which
a GPU launches each step; then populations of growing numbers of nets, of which it takes all steps in one launch. What
the GPU needs before its first step is a process of its own that fits a net of three steps, less the same process on the
processor.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from math import exp, inf, log
from typing import Any, NamedTuple

import numpy as np

from ..devices import devices
from ..execution.dispatch import products
from ..gpu_thresholds import ESTIMATES, Thresholds, remember
from ..mlp import MLP
from ..population import Population
from ..training.interruption import uninterrupted

WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)  # of one net's hidden layers
INPUTS, OUTPUTS, BATCH, BATCHES = 64, 10, 128, 20
NETS = (64, 256, 1024, 4096, 16384, 65536)  # of a population that learns XOR
XOR, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
SECONDS = 0.1  # that a fit takes at least, to be measured
START = """
import sys, numpy as np, fastmlp
fastmlp.MLP((4, 100, 100, 2), device=sys.argv[1], random_state=0).fit(np.ones((3, 4)), np.ones((3, 2)), epochs=3)
"""
NAMES = "import fastmlp; print(*(row.name for row in fastmlp.devices()[1:] if row.available))"


class Job(NamedTuple):
    """What is trained on a device, to be timed."""

    name: str
    work: float  # multiply-adds of a step
    steps: int  # of an epoch
    fit: Callable[..., Any]  # given epochs


class Row(NamedTuple):
    """One size of work: multiply-adds of a step, and the seconds that it takes."""

    name: str
    work: float
    processor: float
    gpu: float


def measure(
    gpu: str, show: Callable[[Row], object] = lambda row: None, starts: Mapping[str, float | None] | None = None
) -> Thresholds:
    """Thresholds for this processor and the GPU of this name, kept for every later "auto"; about a minute.

    show : called with each row as it is measured
    starts : from starts_of_gpus, where this process has looked for GPUs since

    Where the start cannot be measured, it warns, and the threshold of work in all stays an estimate.
    """
    # First, before this process looks for GPUs and holds one: in exclusive-process mode that takes no second process.
    start = seconds_before_first_step(gpu) if starts is None else starts.get(gpu)
    described = {row.name: row.description for row in devices()}
    of_nets = rows_of(one_net, WIDTHS, gpu, show)
    of_populations = rows_of(population, NETS, gpu, show)
    rate = max(row.work / row.processor for row in of_nets)
    total = ESTIMATES.total if start is None else start * rate
    return remember(described[gpu], described["cpu"], total, crossing(of_nets), crossing(of_populations))


def rows_of(
    make: Callable[[str, int], Job], sizes: tuple[int, ...], gpu: str, show: Callable[[Row], object]
) -> list[Row]:
    """make : of a device and a size"""
    rows = []
    for size in sizes:
        job = make("cpu", size)
        rows.append(Row(job.name, job.work, seconds_of_step(job), seconds_of_step(make(gpu, size))))
        show(rows[-1])
    return rows


def crossing(rows: list[Row]) -> float:
    """Multiply-adds of a step from which the GPU is the faster one for good; inf if it is not at the largest size."""
    behind = [k for k, row in enumerate(rows) if row.gpu >= row.processor]
    if not behind:
        return rows[0].work
    last = behind[-1]
    if last == len(rows) - 1:
        return inf
    (work0, ratio0), (work1, ratio1) = [(log(row.work), log(row.gpu / row.processor)) for row in rows[last : last + 2]]
    return exp(work0 + (work1 - work0) * ratio0 / (ratio0 - ratio1))


def whole_fit(nets: MLP | Population, *data: np.ndarray, **settings: Any) -> Any:
    """A fit that ends with a KeyboardInterrupt after Ctrl-C: the time of half a fit measures nothing."""
    return uninterrupted(nets.fit(*data, **settings))


def one_net(device: str, width: int) -> Job:
    sizes, rng = (INPUTS, width, width, OUTPUTS), np.random.default_rng(0)
    net = MLP(sizes, loss="softmax_cross_entropy", device=device, random_state=0)
    X = rng.normal(size=(BATCH * BATCHES, INPUTS)).astype(np.float32)
    y = rng.integers(OUTPUTS, size=len(X))
    fit = partial(whole_fit, net, X, y, batch_size=BATCH, optimizer="adam", verbose=0)
    return Job("-".join(map(str, sizes)), products(net.network, BATCH), BATCHES, fit)


def population(device: str, n_nets: int) -> Job:
    pop = Population(
        (2, 2, 1), n_nets, hidden_activation="sigmoid", loss="binary_cross_entropy", device=device, random_state=0
    )
    fit = partial(whole_fit, pop, XOR, XOR_Y, optimizer="adam", verbose=0)
    return Job(f"{n_nets:,} of 2-2-1", n_nets * products(pop.network, len(XOR)), 1, fit)


def seconds_of_step(job: Job) -> float:
    job.fit(epochs=1)  # compiles
    epochs = 1
    while (seconds := seconds_of_fit(job, epochs)) < SECONDS:
        epochs *= 2
    return min(seconds, seconds_of_fit(job, epochs)) / (epochs * job.steps)


def seconds_of_fit(job: Job, epochs: int) -> float:
    began = time.perf_counter()
    job.fit(epochs=epochs)
    return time.perf_counter() - began


def starts_of_gpus() -> dict[str, float | None]:
    """seconds_before_first_step of every GPU that can be used here; other processes look for them."""
    found = subprocess.run([sys.executable, "-c", NAMES], check=True, capture_output=True, text=True)
    return {gpu: seconds_before_first_step(gpu) for gpu in found.stdout.split()}


def seconds_before_first_step(gpu: str) -> float | None:
    """How much longer the GPU takes to start; None, with a warning, where another process cannot use it."""
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
    """Of a process until a small fit is done, kernels compiled by another one before."""
    command, times = [sys.executable, "-c", START, device], []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])
