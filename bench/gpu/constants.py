"""The constants by which fastmlp chooses kernels and devices, measured on a GPU in parts, as lines to paste.

Each part has a process of its own, and is saved and printed before the next one begins. Nothing is kept for this
machine: the cases are timed with the constants that the sources have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any

from fastmlp.commands import measure_costs, measure_gpu
from fastmlp.execution import gpu_costs
from fastmlp.runtime import auto_device

GPU = "cuda"
TABLES = {  # file and name -> the constants that it has now
    "src/fastmlp/execution/gpu_costs.py: ESTIMATED_COSTS": gpu_costs.ESTIMATED_COSTS,
    "src/fastmlp/runtime/auto_device.py: ESTIMATED_WORK": auto_device.ESTIMATED_WORK,
}
Row = dict[str, Any]  # values {name of a constant: number}, and what else was found
# Of a part: from what has been measured before, and a function that saves a row that is not complete.
Part = Callable[[Mapping[str, float], Callable[[Row], object]], Row]


def of_launches(known: Mapping[str, float], save_row: Callable[[Row], object]) -> Row:
    return {"values": measure_costs.costs_of_launches(GPU)}


def of_products(known: Mapping[str, float], save_row: Callable[[Row], object]) -> Row:
    node_seconds = known.get("node_seconds", gpu_costs.ESTIMATED_COSTS.node_seconds)
    return {"values": measure_costs.costs_of_products(GPU, node_seconds)}


def of_sizes(name: str, make: str, sizes: str, known: Mapping[str, float], save_row: Callable[[Row], object]) -> Row:
    """From which size on a GPU is faster, with the row of each size.

    name : of the threshold
    make, sizes : names in measure_gpu, of the function that makes a Job, and of its sizes
    """
    found: list[measure_gpu.Row] = []

    def keep(row: measure_gpu.Row) -> None:
        found.append(row)
        save_row({"values": {}, "sizes": found})

    rows = measure_gpu.rows_of(getattr(measure_gpu, make), getattr(measure_gpu, sizes), GPU, keep)
    values = {name: measure_gpu.crossing(rows), f"rate of the CPU, {make}": measure_gpu.rate_of_processor(rows)}
    return {"values": values, "sizes": found}


def of_the_start(known: Mapping[str, float], save_row: Callable[[Row], object]) -> Row:
    """From how much work on a GPU's start pays."""
    seconds, rate = measure_gpu.seconds_before_first_step(GPU), known.get("rate of the CPU, one_net")
    if seconds is None:
        return {"values": {}}
    return {"values": {"start_seconds": seconds, **({} if rate is None else {"total": seconds * rate})}}


PARTS: dict[str, Part] = {  # the most useful first
    "constants of launches and blocks": of_launches,
    "constants of products": of_products,
    "threshold of a net": partial(of_sizes, "at_once", "one_net", "WIDTHS"),
    "threshold of a population": partial(of_sizes, "in_one_launch", "population", "NETS"),
    "threshold of a fit": of_the_start,
}


def measure(part: str, known: Mapping[str, float], save_row: Callable[[Row], object]) -> Row:
    """The row of a part, with warnings of what could not be measured."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        row = PARTS[part](known, save_row)
    row["values"] = {name: float(value) for name, value in row["values"].items()}
    return row | {"warnings": [str(warning.message) for warning in caught]}


def values_of(rows: Mapping[str, Row]) -> dict[str, float]:
    """Every number that the parts have found."""
    return {name: value for row in rows.values() for name, value in row.get("values", {}).items()}


def to_paste(values: Mapping[str, float], gpu: str) -> str:
    """For each file of which a constant was measured: its new line, then the old and the new number of each constant.

    values : result of values_of
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
