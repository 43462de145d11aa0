"""Where a GPU overtakes this machine's processor, measured: what the thresholds of "auto" are made from.

A row for each size of step: the same fit on both, kernels compiled and loaded. Between the two sizes where the GPU
becomes the faster one, the ratio is taken as a straight line in logarithms. What the GPU needs before its first step is
a process of its own that fits a net of three steps, less the same process on the processor.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from .devices import devices
from .heuristics import products
from .mlp import MLP
from .thresholds import Thresholds, remember

WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
INPUTS, OUTPUTS, BATCH, BATCHES = 64, 10, 128, 20
SECONDS = 0.1  # that a fit takes at least, to be measured
START = """
import sys, numpy as np, fastmlp
fastmlp.MLP((4, 100, 100, 2), device=sys.argv[1], random_state=0).fit(np.ones((3, 4)), np.ones((3, 2)), epochs=3)
"""


class Row(NamedTuple):
    """One size of step: multiply-adds, and the seconds that it takes."""

    width: int
    work: float
    processor: float
    gpu: float


def measure(gpu: str, show: Callable[[Row], object] = lambda row: None) -> Thresholds:
    """Thresholds for this processor and the GPU of this name, kept for every later "auto"; about a minute.

    show : called with each row as it is measured
    """
    described = {row.name: row.description for row in devices()}
    rows = []
    for width in WIDTHS:
        work = float(products(_net("cpu", width).network, BATCH))
        rows.append(Row(width, work, seconds_of_step("cpu", width), seconds_of_step(gpu, width)))
        show(rows[-1])
    start = max(0.0, seconds_to_start(gpu) - seconds_to_start("cpu"))
    rate = max(row.work / row.processor for row in rows)
    return remember(described[gpu], described["cpu"], start * rate, crossing(rows))


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


def _net(device: str, width: int) -> MLP:
    sizes = (INPUTS, width, width, OUTPUTS)
    return MLP(sizes, loss="softmax_cross_entropy", device=device, random_state=0)


def seconds_of_step(device: str, width: int) -> float:
    rng, net = np.random.default_rng(0), _net(device, width)
    X = rng.normal(size=(BATCH * BATCHES, INPUTS)).astype(np.float32)
    y = rng.integers(OUTPUTS, size=len(X))
    net.fit(X, y, epochs=1, batch_size=BATCH, optimizer="adam", verbose=0)  # compiles
    epochs = 1
    while True:
        began = time.perf_counter()
        net.fit(X, y, epochs=epochs, batch_size=BATCH, optimizer="adam", verbose=0)
        seconds = time.perf_counter() - began
        if seconds >= SECONDS:
            return seconds / (epochs * BATCHES)
        epochs *= 2


def seconds_to_start(device: str) -> float:
    """Of a process until a small fit is done, kernels compiled by another one before."""
    command, times = [sys.executable, "-c", START, device], []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])
