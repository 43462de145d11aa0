"""The constants by which fastmlp chooses kernels and devices, measured on a GPU in parts, as lines to paste.

    python bench/gpu/constants.py

Prints what each part has found as soon as it is measured, the most useful part first, and the lines to paste so far.
Nothing is kept for this machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from fastmlp.commands import measure_costs, measure_gpu
from fastmlp.devices import devices
from fastmlp.execution import gpu_costs
from fastmlp.runtime import auto_device

GPU = "cuda"
TABLES = {  # file and name -> the constants that it has now
    "src/fastmlp/execution/gpu_costs.py: ESTIMATED_COSTS": gpu_costs.ESTIMATED_COSTS,
    "src/fastmlp/runtime/auto_device.py: ESTIMATED_WORK": auto_device.ESTIMATED_WORK,
}
Numbers = Mapping[str, float]  # name of a constant, or of what else was measured -> number


def of_products(known: Numbers) -> Numbers:
    return measure_costs.costs_of_products(GPU, known.get("node_seconds", gpu_costs.ESTIMATED_COSTS.node_seconds))


def of_sizes(name: str, make: str, sizes: str, known: Numbers) -> Numbers:
    """From which size on a GPU is faster.

    name : of the threshold
    make, sizes : names in measure_gpu, of the function that makes a Job, and of its sizes
    """
    rows = []
    for row in measure_gpu.rows_of(getattr(measure_gpu, make), getattr(measure_gpu, sizes), GPU):
        print(f"  {row}", flush=True)
        rows.append(row)
    return {name: measure_gpu.crossing(rows), f"rate of the CPU, {make}": measure_gpu.rate_of_processor(rows)}


def of_the_start(known: Numbers) -> Numbers:
    """From how much work on a GPU's start pays. Other processes can use an exclusive GPU before this one does only."""
    rate, seconds = known.get("rate of the CPU, one_net"), known.get("start_seconds")
    return {} if rate is None or seconds is None else {"total": seconds * rate}


def start_seconds(known: Numbers) -> Numbers:
    seconds = measure_gpu.seconds_before_first_step(GPU)
    return {} if seconds is None else {"start_seconds": seconds}


PARTS: dict[str, Callable[[Numbers], Numbers]] = {
    "start of the GPU": start_seconds,
    "constants of launches and blocks": lambda known: measure_costs.costs_of_launches(GPU),
    "constants of products": of_products,
    "threshold of a net": partial(of_sizes, "at_once", "one_net", "WIDTHS"),
    "threshold of a population": partial(of_sizes, "in_one_launch", "population", "NETS"),
    "threshold of a fit": of_the_start,
}


def to_paste(values: Numbers, gpu: str) -> str:
    """For each file of which a constant was measured: its new line, then the old and the new number of each constant.

    gpu : its description
    """
    lines = []
    for place, old in TABLES.items():
        found = {name: float(f"{values[name]:.3g}") for name in old._fields if name in values}
        if not found:
            continue
        new = dict(old._asdict(), **found)
        if "source" in new and found.keys() == new.keys() - {"source"}:
            new["source"] = f"measured on {gpu.partition(',')[0]}; fastmlp devices --measure measures them"
        lines.append(f"{place} = {type(old).__name__}({', '.join(map(_literal, new.values()))})")
        lines += [f"  {name:<14} {getattr(old, name):>9.3g} -> {value:.3g}" for name, value in found.items()]
    return "\n".join(lines)


def _literal(value: float | str) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:.3g}" if isfinite(value) else f'float("{value}")'


def main() -> None:
    values: dict[str, float] = {}
    for name, measure in PARTS.items():
        found = measure(values)
        values |= {key: float(value) for key, value in found.items()}
        print(f"{name}: {', '.join(f'{key} {value:.3g}' for key, value in found.items())}")
        gpu = next(row.description for row in devices() if row.name.startswith(GPU))
        print(to_paste(values, gpu), flush=True)


if __name__ == "__main__":
    main()
