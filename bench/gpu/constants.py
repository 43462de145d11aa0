"""The constants by which fastmlp chooses kernels and devices, measured on a GPU in parts, as lines to paste.

    python bench/gpu/constants.py

Prints what each part has found as soon as it is measured, the most useful part first, and the lines to paste so far.
Each constant of the cost model comes from the time of a step that it dominates. A threshold is the amount of work at
which the GPU overtakes the CPU, from the same fits on both, of nets of growing width and of populations of more nets.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from math import exp, inf, isfinite, log
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np

from fastmlp import MLP, Population
from fastmlp.data import xor
from fastmlp.execution import gpu_costs
from fastmlp.execution.gpu_costs import BY_LAYERS, IN_BLOCKS, GpuCosts, bytes_moved, n_nodes
from fastmlp.runtime import auto_device
from fastmlp.runtime.python_process import python_command

GPU = "cuda"
TABLES = {  # file and name -> the constants that it has now
    "src/fastmlp/execution/gpu_costs.py: ESTIMATED_COSTS": gpu_costs.ESTIMATED_COSTS,
    "src/fastmlp/runtime/auto_device.py: WORK_FOR_GPU": auto_device.WORK_FOR_GPU,
}
TINY, SMALL = (4, 4, 1), (64, 64, 32, 10)  # nets for one block
DEEP, LARGE = (8, 8, 8, 8, 8, 2), (1024, 2048, 2048, 10)  # whose steps are launches alone, and products alone
MIDDLE = (64, 128, 64, 10)  # of a batched population
MANY, SEVERAL = 1024, 512  # nets of a population in blocks, and of a batched one
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)  # units in each hidden layer of a single net
NETS = (64, 256, 1024, 4096, 16384, 65536)  # sizes of a population that learns XOR
SECONDS = 0.1  # shortest fit that is timed
START = """
import sys, numpy as np, fastmlp
fastmlp.MLP((4, 100, 100, 2), device=sys.argv[1], random_state=0).fit(np.ones((3, 4)), np.ones((3, 2)), epochs=3)
"""
Numbers = Mapping[str, float]  # name of a constant, or of what else was measured -> number


class Step(NamedTuple):
    """A step of a net, or of all nets of a population."""

    network: Any
    rows: int
    work: float  # multiply-adds
    seconds: float


def step(
    device: str,
    sizes: tuple[int, ...],
    rows: int,
    n_nets: int = 0,
    costs: GpuCosts | None = None,
    precision: str = "exact",
) -> Step:
    """Measure a step on `rows` samples of one net or, with n_nets, of a population; of 2-2-1 on the samples of XOR.

    costs : the cost model by which the GPU chooses a kernel family, or None for that of the package
    """
    make = partial(Population, n_nets=n_nets) if n_nets else MLP
    nets = make(sizes, device=device, random_state=0, precision=precision)
    n_steps, rng = 8, np.random.default_rng(0)
    if sizes == (2, 2, 1):
        n_steps, X, y = 1, xor.X, xor.Y
    else:
        X, y = (rng.normal(size=(rows * n_steps, width)).astype(np.float32) for width in (sizes[0], sizes[-1]))

    def seconds(epochs: int) -> float:
        began = time.perf_counter()
        nets.fit(X, y, batch_size=rows, optimizer="adam", epochs=epochs, verbose=0)
        return time.perf_counter() - began

    with mock.patch.object(gpu_costs, "ESTIMATED_COSTS", costs) if costs is not None else nullcontext():
        seconds(1)  # compiles
        epochs = 1
        while (found := seconds(epochs)) < SECONDS:
            epochs *= 2
        found = min(found, seconds(epochs)) / (epochs * n_steps)
    return Step(nets.network, rows, float(max(n_nets, 1) * nets.network.layout.products * rows), found)


def rate(amount: float, seconds: float) -> float:
    """Return amount per second; inf where rounding or noise has made the time 0 or negative."""
    return amount / seconds if seconds > 0.0 else inf


def of_launches(known: Numbers) -> Numbers:
    """Measure the constants of nets that are small: of launches, and of nets that a block trains."""
    deep = step(GPU, DEEP, 8, costs=BY_LAYERS)
    tiny, small = step(GPU, TINY, 4, costs=IN_BLOCKS), step(GPU, SMALL, 256, costs=IN_BLOCKS)
    many = step(GPU, SMALL, 32, MANY, IN_BLOCKS)
    block_rate = rate(small.work - tiny.work, small.seconds - tiny.seconds)
    return {
        "node_seconds": deep.seconds / n_nodes(deep.network),
        "block_seconds": max(0.0, tiny.seconds - tiny.work / block_rate),
        "block_rate": block_rate,
        "n_blocks": max(1.0, many.work / (block_rate * many.seconds)),
    }


def of_products(known: Numbers) -> Numbers:
    """Measure the constants of products and of memory, from steps without the time of their launches."""
    node_seconds = known.get("node_seconds", gpu_costs.ESTIMATED_COSTS.node_seconds)
    large, several = step(GPU, LARGE, 4096, costs=BY_LAYERS), step(GPU, MIDDLE, 32, SEVERAL, BY_LAYERS)
    rounded = step(GPU, LARGE, 4096, costs=BY_LAYERS, precision="bfloat16")
    moved = lambda found, precision="exact": bytes_moved(found.network, found.rows, 4, precision)
    besides_launches = lambda found: found.seconds - n_nodes(found.network) * node_seconds
    per_byte, per_product = np.linalg.solve(
        [[SEVERAL * moved(several), several.work], [moved(large), large.work]],
        [besides_launches(several), besides_launches(large)],
    )
    return {
        "product_rate": rate(1.0, per_product),
        "bandwidth": rate(1.0, per_byte),
        "bfloat16_rate": rate(rounded.work, besides_launches(rounded) - moved(rounded, "bfloat16") * per_byte),
    }


def crossing(work: list[float], ratios: list[float]) -> float:
    """Return the multiply-adds per step from which the GPU is faster at all larger sizes, inf if at none.

    It is interpolated on a logarithmic scale.

    ratios : of the GPU's seconds to those of the CPU
    """
    behind = [k for k, ratio in enumerate(ratios) if ratio >= 1.0]
    if not behind:
        return work[0]
    last = behind[-1]
    if last == len(work) - 1:
        return inf
    (x0, y0), (x1, y1) = [(log(work[k]), log(ratios[k])) for k in (last, last + 1)]
    return exp(x0 + (x1 - x0) * y0 / (y0 - y1))


def of_sizes(name: str, known: Numbers) -> Numbers:
    """Measure from which size on a GPU is faster; name : of the threshold"""
    work, ratios, rate_of_cpu = [], [], 0.0
    for size in WIDTHS if name == "at_once" else NETS:
        given = ((64, size, size, 10), 128) if name == "at_once" else ((2, 2, 1), 4, size)
        cpu, gpu = step("cpu", *given), step(GPU, *given)
        print(f"  {size}: {cpu.work:.1e} multiply-adds, {cpu.seconds:.1e} and {gpu.seconds:.1e} s", flush=True)
        work.append(cpu.work)
        ratios.append(gpu.seconds / cpu.seconds)
        rate_of_cpu = max(rate_of_cpu, cpu.work / cpu.seconds)
    return {name: crossing(work, ratios)} | ({"rate of the CPU": rate_of_cpu} if name == "at_once" else {})


def seconds_to_start(device: str) -> float:
    """Return the seconds of a process that fits a small net. The first of three, which may compile, is not counted."""
    command, times = python_command(START, device), []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def of_the_start(known: Numbers) -> Numbers:
    """Measure how long a GPU takes to start; nothing where it takes one process at a time, and this one is that."""
    try:
        return {"start_seconds": max(0.0, seconds_to_start(GPU) - seconds_to_start("cpu"))}
    except subprocess.CalledProcessError as error:
        print(error.stderr.decode(errors="replace")[-500:])
        return {}


def of_a_fit(known: Numbers) -> Numbers:
    """From how much work on a GPU's start pays."""
    rate_of_cpu, seconds = known.get("rate of the CPU"), known.get("start_seconds")
    return {} if rate_of_cpu is None or seconds is None else {"total": seconds * rate_of_cpu}


PARTS: dict[str, Callable[[Numbers], Numbers]] = {
    "start of the GPU": of_the_start,  # first: this process has not used the GPU yet
    "constants of launches and blocks": of_launches,
    "constants of products": of_products,
    "threshold of a net": partial(of_sizes, "at_once"),
    "threshold of a population": partial(of_sizes, "in_one_launch"),
    "threshold of a fit": of_a_fit,
}


def to_paste(values: Numbers) -> str:
    """For each file of which a constant was measured: its new line, then the old and the new numbers."""
    lines = []
    for place, old in TABLES.items():
        found = {name: float(f"{values[name]:.3g}") for name in old._fields if name in values}
        if found:
            numbers = [f"{x:.3g}" if isfinite(x) else f'float("{x}")' for x in old._replace(**found)]
            lines.append(f"{place} = {type(old).__name__}({', '.join(numbers)})")
            lines += [f"  {name:<14} {getattr(old, name):>9.3g} -> {value:.3g}" for name, value in found.items()]
    return "\n".join(lines)


def main() -> None:
    values: dict[str, float] = {}
    for name, measure in PARTS.items():
        found = measure(values)
        values |= {key: float(value) for key, value in found.items()}
        print(f"{name}: {', '.join(f'{key} {value:.3g}' for key, value in found.items())}")
        print(to_paste(values), flush=True)


if __name__ == "__main__":
    main()
