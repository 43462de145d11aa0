"""Statistics of benchmark results that all tables and plots show: medians, spreads, ratios to competitors and limits.

result_files.py describes a result and its rows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

GROUPS = {
    "xor": "XOR, one net",
    "population": "Many nets at once",
    "minibatch": "Small nets in batches",
    "large": "Large nets",
    "estimators": "Estimators with their defaults",
    "predict": "Prediction",
    "cold_start": "Cold start",
    "first_fit": "First fit, empty caches",
    "kernels": "Kernels",
    "scaling": "Scaling",
}
LEVEL = 0.03  # relative difference up to which two durations are called level
UNSTEADY = 1.5  # ratio of the slowest round to the fastest from which a case is marked

Result = dict[str, Any]
Row = dict[str, Any]


class Spread(NamedTuple):
    """Median, lower and upper quartile, minimum and maximum."""

    median: float
    low: float
    high: float
    smallest: float
    largest: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median, quartiles and extremes of some values.

    >>> spread([3.0, 1.0, 2.0, 10.0, 4.0])
    Spread(median=3.0, low=2.0, high=4.0, smallest=1.0, largest=10.0)
    """
    return Spread(*map(float, np.quantile(values, [0.5, 0.25, 0.75, 0.0, 1.0])))


def ratio(row: Row, base: Row) -> Spread:
    """Return the spread of the ratio of two rows' durations, taken round by round.

    A disturbance that slows down a whole round cancels in the ratio. If one row has fewer rounds, the ratio is over the
    rounds that both have: long parts are measured in the first round only.
    """
    return spread([a / b for a, b in zip(row["seconds"], base["seconds"], strict=False)])


def noise(values: Sequence[float]) -> float:
    """Return the relative standard error of the median, from the median absolute deviation.

    The median absolute deviation is robust against a single disturbed round. For normal noise, the factor 1.4826
    converts it to a standard deviation, and the factor 1.2533 the standard error of a mean to that of a median.
    """
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    return 1.2533 * 1.4826 * deviation / middle / math.sqrt(len(values))


def timed(result: Result, kind: str | None = None) -> list[Row]:
    """Return the rows with durations, fastest first.

    kind : only rows of this kind; None for all
    """
    rows = [row for row in result["rows"] if row["status"] == "timed" and kind in (None, row["kind"])]
    return sorted(rows, key=median)


def median(row: Row) -> float:
    return statistics.median(row["seconds"])


def ours(result: Result) -> Row | None:
    return next(iter(timed(result, "ours")), None)


def best_peer(result: Result) -> Row | None:
    return next(iter(timed(result, "peer")), None)


def limit(result: Result) -> Row | None:
    """Return the row of the roofline: the highest lower bound that no program beats; None if there is none.

    The fastest of several implementations of the bare matrix products is taken, or, if a program takes less time than
    that, the bound by arithmetic. If every bound is beaten, it is the lowest one.
    """
    rows = timed(result, "limit")
    products = [row for row in rows if row["name"].startswith("products")]
    floors = [row for row in rows if row not in products[1:]]
    fastest = min(map(median, [*timed(result, "ours"), *timed(result, "peer")]), default=math.inf)
    unbeaten = [row for row in floors if median(row) <= (1 + LEVEL) * fastest]
    return unbeaten[-1] if unbeaten else floors[0] if floors else None


def is_unsteady(result: Result) -> bool:
    """Return whether the durations of fastmlp or of the best competitor vary too much for a meaningful ratio.

    The durations are those of its rounds, and the one measured when its number of threads was chosen.
    """
    for row in (ours(result), best_peer(result)):
        if row:
            trial_seconds = row["tried"].get(str(row["threads"] or "own choice"), math.inf)
            if max(row["seconds"]) > UNSTEADY * min(trial_seconds, *row["seconds"]):
                return True
    return False


def to_best_peer(result: Result) -> Spread | None:
    """Return the ratio of the best competitor's duration to fastmlp's; below 1, the competitor is faster."""
    fastmlp_row, peer = ours(result), best_peer(result)
    return ratio(peer, fastmlp_row) if fastmlp_row and peer else None


def to_limit(result: Result, row: Row | None = None) -> Spread | None:
    """Return the ratio of a row's duration to the roofline.

    row : row of the result; None for that of fastmlp
    """
    row, floor = row or ours(result), limit(result)
    return ratio(row, floor) if row and floor else None


def verdict(result: Result) -> str:
    """Return whether fastmlp is "ahead", "level" or "behind" the best competitor; "" if there is no competitor."""
    times = to_best_peer(result)
    if times is None:
        return ""
    return "level" if abs(times.median - 1) <= LEVEL else "ahead" if times.median > 1 else "behind"


def outside_curves(results: dict[str, Any]) -> list[Result]:
    """Return the results that have a table of their own. The others are only points of scaling plots."""
    return [result for result in results["results"] if result["group"] != "scaling"]


def full_title(result: Result) -> str:
    """Return a unique title of a result; for a point of a scaling plot, it includes the position on the axis."""
    curve = result["curve"]
    return f"{curve['name']}, at {curve['x']:,}" if curve and result["group"] == "scaling" else result["title"]


def behind(results: dict[str, Any]) -> list[Result]:
    """Return the results where a competitor is faster, with points of scaling plots last."""
    lost = [result for result in results["results"] if verdict(result) == "behind"]
    return sorted(lost, key=lambda result: result["group"] == "scaling")


def missing(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return {reason, as a sentence: names of the competitors that could not be measured for it}."""
    names: dict[str, list[str]] = {}
    for result in results:
        for row in result["rows"]:
            if row["status"] == "missing" and row["name"] not in names.setdefault(row["reason"], []):
                names[row["reason"]].append(row["name"])
    return names


def by_group(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Yield (group, results of the group) in the order of GROUPS, without empty groups."""
    for group in GROUPS:
        members = [result for result in results if result["group"] == group]
        if members:
            yield group, members


def curves(results: dict[str, Any]) -> dict[str, list[Result]]:
    """Return {name of the scaling plot: points in order of x}, without plots of a single point."""
    points_by_name: dict[str, list[Result]] = {}
    for result in results["results"]:
        if result["curve"]:
            points_by_name.setdefault(result["curve"]["name"], []).append(result)
    return {
        name: sorted(points, key=lambda result: result["curve"]["x"])
        for name, points in points_by_name.items()
        if len({result["curve"]["x"] for result in points}) > 1
    }
