"""Results of benchmarks: what a file of them holds, and the statistics that every table and picture is made of.

A file is JSON: {"schema", "machine", "options", "how", "missing", "results": [result, ...]}; `how` says how it was
measured, `missing` {reason: names} who was not. A result is one work:

    name, group, title, source    which work, and on which data
    unit                          what one duration is the time of: "step", "net and epoch", ...
    costs                         {what: how many} of one unit: FLOP, bytes, ...
    curve                         None, or {"name", "axis", "x"} for a point of a scaling picture
    others_busy                   share of the processors that other programs took while nothing of this ran
    slow_starts                   measurements that began before the processors were at full speed (cpu_wakeup.py)
    meetings                      seconds in which two threads met, before the work and after it, if that was measured
    rows                          one per contestant:
        name, kind                kind: "ours", "peer", "limit" or "part", ours with other settings, for comparison only
        status, reason            status: "timed", or why there are no figures: "missing", "unsupported", "left out",
                                  "failed", "wrong" (it computed something else)
        seconds                   one duration of a unit per round; round k of all rows was measured side by side
        prepare_seconds           building and compiling, before the first run; ours finds its kernels on the disk
        compile_seconds           of ours, where it was measured: compiling these kernels where none is on the disk
        threads, tried            threads used (None: its own choice), seconds of each setting that was tried
        peak_memory, products     bytes; who multiplies its matrices
        verified, notes           {what: share it is off by}, {what: figure} to show beside the durations

Only raw durations are stored; medians, spreads and ratios are computed here whenever they are shown.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files import write_text

SCHEMA = "fastmlp benchmark 1"
GROUPS = {
    "xor": "XOR, one net",
    "population": "Many nets at once",
    "minibatch": "Small nets in batches",
    "large": "Large nets",
    "estimators": "Estimators with their defaults",
    "predict": "Prediction",
    "cold_start": "Cold start",
    "kernels": "Kernels",
    "scaling": "Scaling",
}
FAR_FROM_LIMIT = 1.3  # times the limit from which there is something to gain
LEVEL = 0.03  # contestants this close are called level
UNSTEADY = 1.5  # times as long a round may take as another one before it is said

Result = dict[str, Any]
Row = dict[str, Any]


class Spread(NamedTuple):
    """Median, the quartiles beside it, and the extremes."""

    median: float
    low: float
    high: float
    smallest: float
    largest: float


def spread(values: Sequence[float]) -> Spread:
    """
    >>> spread([3.0, 1.0, 2.0, 10.0, 4.0])
    Spread(median=3.0, low=2.0, high=4.0, smallest=1.0, largest=10.0)
    """
    ordered = sorted(values)
    low, _, high = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return Spread(statistics.median(ordered), low, high, ordered[0], ordered[-1])


def ratio(row: Row, other: Row) -> Spread:
    """The rows' durations divided by one another round by round, so that what slowed a round down cancels. A long part
    was in the first rounds only.
    """
    return spread([a / b for a, b in zip(row["seconds"], other["seconds"], strict=False)])


def noise(values: Sequence[float]) -> float:
    """Standard error of the median as a share of it, from the median deviation: one disturbed round does not count.

    1.4826 makes a median deviation a standard deviation, and 1.2533 the error of a mean that of a median, both for
    normal noise.
    """
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    return 1.2533 * 1.4826 * deviation / middle / math.sqrt(len(values))


def timed(result: Result, kind: str | None = None) -> list[Row]:
    """The rows with figures, fastest first."""
    rows = [row for row in result["rows"] if row["status"] == "timed" and kind in (None, row["kind"])]
    return sorted(rows, key=median)


def median(row: Row) -> float:
    return statistics.median(row["seconds"])


def ours(result: Result) -> Row | None:
    return next(iter(timed(result, "ours")), None)


def best_peer(result: Result) -> Row | None:
    return next(iter(timed(result, "peer")), None)


def limit(result: Result) -> Row | None:
    """The highest floor that nobody beats: of several ways to multiply the bare matrices the fastest, or, where
    somebody takes less time than that, the arithmetic. The lowest there is, if all are beaten.
    """
    rows = timed(result, "limit")
    products = [row for row in rows if row["name"].startswith("products")]
    floors = [row for row in rows if row not in products[1:]]
    fastest = min(map(median, [*timed(result, "ours"), *timed(result, "peer")]), default=math.inf)
    unbeaten = [row for row in floors if median(row) <= (1 + LEVEL) * fastest]
    return unbeaten[-1] if unbeaten else floors[0] if floors else None


def is_unsteady(result: Result) -> bool:
    """Whether rounds of ours or of the best peer, or what it took when its threads were chosen, differ by so much that
    their ratio says little.
    """
    for row in (ours(result), best_peer(result)):
        if row:
            tried = row["tried"].get(str(row["threads"] or "own choice"), math.inf)
            if max(row["seconds"]) > UNSTEADY * min(tried, *row["seconds"]):
                return True
    return False


def to_best_peer(result: Result) -> Spread | None:
    """How many times as long as ours the best peer takes; below 1 the peer wins."""
    own, peer = ours(result), best_peer(result)
    return ratio(peer, own) if own and peer else None


def to_limit(result: Result, row: Row | None = None) -> Spread | None:
    """How many times the limit a row takes, ours if none is named."""
    row, floor = row or ours(result), limit(result)
    return ratio(row, floor) if row and floor else None


def verdict(result: Result) -> str:
    """ "ahead", "level" or "behind" the best peer, or "" where there is no peer."""
    times = to_best_peer(result)
    if times is None:
        return ""
    return "level" if abs(times.median - 1) <= LEVEL else "ahead" if times.median > 1 else "behind"


def outside_curves(results: dict[str, Any]) -> list[Result]:
    """The results that have a table of their own; the rest are points of pictures."""
    return [result for result in results["results"] if result["group"] != "scaling"]


def full_title(result: Result) -> str:
    """What tells a result from all others: points of a curve differ in what their titles do not say."""
    curve = result["curve"]
    return f"{curve['name']}, at {curve['x']:,}" if curve and result["group"] == "scaling" else result["title"]


def behind(results: dict[str, Any]) -> list[Result]:
    """Wherever a peer is faster, points of curves last."""
    lost = [result for result in results["results"] if verdict(result) == "behind"]
    return sorted(lost, key=lambda result: result["group"] == "scaling")


def far_from_limit(results: dict[str, Any]) -> list[Result]:
    """More than FAR_FROM_LIMIT times over it, points of curves last."""
    far = [result for result in results["results"] if (over := to_limit(result)) and over.median > FAR_FROM_LIMIT]
    return sorted(far, key=lambda result: result["group"] == "scaling")


def missing(found: Sequence[Result]) -> dict[str, list[str]]:
    """What is not installed, as a sentence -> the contestants that could not take part for it."""
    names: dict[str, list[str]] = {}
    for result in found:
        for row in result["rows"]:
            if row["status"] == "missing" and row["name"] not in names.setdefault(row["reason"], []):
                names[row["reason"]].append(row["name"])
    return names


def by_group(found: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """(group, its results) in the order of GROUPS; groups without results are left out."""
    for group in GROUPS:
        members = [result for result in found if result["group"] == group]
        if members:
            yield group, members


def curves(results: dict[str, Any]) -> dict[str, list[Result]]:
    """Name of each scaling picture -> its points in order of x; a curve of one point is none."""
    found: dict[str, list[Result]] = {}
    for result in results["results"]:
        if result["curve"]:
            found.setdefault(result["curve"]["name"], []).append(result)
    return {
        name: sorted(points, key=lambda result: result["curve"]["x"])
        for name, points in found.items()
        if len({result["curve"]["x"] for result in points}) > 1
    }


def save(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(_rounded(results), indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """
    Raises
    ------
    ValueError
        If the file is not one that `save` wrote.
    OSError
        If it cannot be read.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a file of benchmark results: {error}") from None
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        hint = " (`pytest --benchmark-json` writes another format; use --save)" if "machine_info" in results else ""
        raise ValueError(f"{path} is not a file of benchmark results: expected schema {SCHEMA!r}, got {found!r}{hint}")
    return results


def _rounded(value: Any) -> Any:
    """Durations to six digits: what follows is noise, and the file is kept in the repository."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
