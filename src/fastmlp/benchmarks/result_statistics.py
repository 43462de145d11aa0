"""Benchmark results: the file format, and the statistics that all tables and plots show.

A file is JSON: {"schema", "machine", "options", "how", "missing", "results": [result, ...]}. `machine` is what
machine.py describes, in older files without "microarchitecture", and for device cuda the name of the "gpu"; `how` is a
text on the method of measurement; `missing` is {reason: names of competitors that were not measured}. A result is one
benchmark case:

    name, group, title, source    the benchmark case and its data
    unit                          unit of work that durations refer to: "step", "net and epoch", ...
    costs                         {name: amount} per unit: FLOP, bytes, ...
    curve                         None, or {"name", "axis", "x"} for a point of a scaling plot
    others_busy                   fraction of CPU time that other programs took while no benchmark ran
    slow_starts                   measurements that began before the CPUs were at full speed (cpu_wakeup.py)
    meetings                      seconds of a barrier of two threads, before and after the case, if measured
    rows                          one per measured program:
        name, kind                kind: "ours" (fastmlp), "peer" (a competitor), "limit" (a lower bound), or "part"
                                  (fastmlp with other settings, for comparison only)
        status, reason            status: "timed", or why there is no duration: "missing", "unsupported", "left out",
                                  "failed", "wrong" (the result is not the expected one)
        seconds                   one duration per round and unit; round k of all rows was measured side by side
        prepare_seconds           building and compiling before the first run; for fastmlp, with a filled object cache
        compile_seconds           for fastmlp, where measured: compiling these kernels with an empty object cache
        threads, tried            threads used (None: the program's own choice), and seconds of each setting tried
        peak_memory, products     bytes; the library that computes the matrix products
        verified, notes           {name: relative error}, {name: figure} to show beside the durations

Only raw durations are stored; medians, spreads and ratios are computed when they are shown.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..runtime.output_files import write_text

SCHEMA = "fastmlp benchmark 1"
ENDINGS = (".json", ".html", ".md")  # of the files of a benchmark: results, page and report
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
FAR_FROM_LIMIT = 1.3  # multiple of the roofline from which a case is listed as far from it
LEVEL = 0.03  # relative difference up to which two durations are called level
UNSTEADY = 1.5  # ratio of the slowest round to the fastest from which a case is marked

# Words of a processor's model name that do not tell it from others.
UNTELLING = re.compile(r"\((?:r|tm)\)|@\s*[\d.]+\s*[gm]hz|\b\d+-core\b|\b(?:cpu|processor)\b")

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
    ordered = sorted(values)
    low, _, high = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return Spread(statistics.median(ordered), low, high, ordered[0], ordered[-1])


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


def far_from_limit(results: dict[str, Any]) -> list[Result]:
    """Return the results that take more than FAR_FROM_LIMIT times the roofline, with points of scaling plots last."""
    far_results = [
        result for result in results["results"] if (over := to_limit(result)) and over.median > FAR_FROM_LIMIT
    ]
    return sorted(far_results, key=lambda result: result["group"] == "scaling")


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


def published_name(results: dict[str, Any]) -> str:
    """Return the name of the file in which results are published: one for a processor and a number of CPUs, or a GPU.

    >>> machine = {"processor": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz avx512f", "cpus": 2}
    >>> published_name({"machine": machine, "options": {"device": "cpu"}})
    'cpu-intel-xeon-platinum-8481c-avx512f-2-cpus.json'
    >>> published_name({"machine": machine | {"gpu": "NVIDIA H100 80GB HBM3"}, "options": {"device": "cuda"}})
    'cuda-nvidia-h100-80gb-hbm3.json'
    """
    machine, device = results["machine"], results["options"]["device"]
    processor = UNTELLING.sub(" ", f"{machine['processor']} {machine.get('microarchitecture', '')}".lower())
    text = f"{processor} {machine['cpus']} cpus" if device == "cpu" else machine.get("gpu", processor).lower()
    return "-".join([device, *re.findall(r"[a-z0-9]+", text)]) + ".json"


def save(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(_rounded(results), indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Return the results in a file.

    Raises
    ------
    ValueError
        If the file was not written by `save`.
    OSError
        If the file cannot be read.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a file of benchmark results: {error}") from None
    content = results if isinstance(results, dict) else {}
    if (schema := content.get("schema")) != SCHEMA:
        hint = " (`pytest --benchmark-json` writes another format; use --save)" if "machine_info" in content else ""
        raise ValueError(f"{path} is not a file of benchmark results: expected schema {SCHEMA!r}, got {schema!r}{hint}")
    return content


def check_files_beside(output: Path) -> None:
    """Check that what is written beside an output, under names that the user has not given, replaces nothing else.

    Raises
    ------
    FileExistsError
        If a file is there without the results of an earlier benchmark.
    """
    found = [path for ending in ENDINGS if (path := output.with_suffix(ending)) != output and path.exists()]
    if not found:
        return
    try:
        load(output.with_suffix(".json"))
    except (OSError, ValueError):
        raise FileExistsError(
            f"{str(found[0])!r} is there and is not of an earlier benchmark, so that it is left alone: choose another "
            "--output, or remove it first."
        ) from None


def _rounded(value: Any) -> Any:
    """Round durations to six digits: further digits are noise, and the file is kept in the repository."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
