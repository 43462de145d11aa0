"""Regression gate: which medians moved by more than the noise.

    python bench/tools/compare.py BASE.json NEW.json [--least 0.05] [--all]

BASE and NEW are files of `pytest bench --save`, measured on one machine. A median has moved if it changed by more than
--least and by more than three standard errors of both medians together. What changes all other competitors and the
limits of a case alike is the machine: the median of their changes is divided out first, and printed.

Exit status: 0 if nothing of fastmlp became slower, 1 if something did, 2 if the files cannot be compared. --all lists
competitors that are not fastmlp, and what did not move, too.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "src")]  # it also runs without an installed fastmlp

from reporting import result_files, result_statistics  # noqa: E402
from reporting.result_texts import label  # noqa: E402

from fastmlp.console.durations import duration  # noqa: E402

ERRORS = 3.0  # standard errors
SMALLEST_CHANGE = 0.05
FASTMLP_KINDS = ("ours", "part")


class Change(NamedTuple):
    """How the median of one competitor changed in one case; changes are relative to the old median."""

    title: str
    name: str
    is_fastmlp: bool
    base: float
    new: float
    machine: float  # how much slower the machine became
    change: float  # without the machine's part
    noise: float  # ERRORS standard errors

    def moved(self, least: float) -> bool:
        return abs(self.change) > max(least, self.noise)


def machine_drift(base: dict, new: dict) -> float:
    """The median relative change of competitors that are not fastmlp; 0 if there are none."""
    changes = [
        result_statistics.median(row) / result_statistics.median(before) - 1
        for before, row in pairs(base, new)
        if row["kind"] not in FASTMLP_KINDS
    ]
    return statistics.median(changes) if changes else 0.0


def pairs(base: dict, new: dict) -> list[tuple[dict, dict]]:
    """(old, new) rows of the competitors that were timed in both."""
    old = {row["name"]: row for row in result_statistics.timed(base)}
    return [(old[row["name"]], row) for row in result_statistics.timed(new) if row["name"] in old]


def compare(base: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Changes of all competitors in the cases that both files have, the worst change first."""
    old = {result["name"]: result for result in base["results"]}
    changes = []
    for result in new["results"]:
        if result["name"] not in old:
            continue
        before = old[result["name"]]
        drift = machine_drift(before, result)
        for base_row, new_row in pairs(before, result):
            base_median, new_median, is_fastmlp = (
                result_statistics.median(base_row),
                result_statistics.median(new_row),
                new_row["kind"] in FASTMLP_KINDS,
            )
            machine_change = drift if is_fastmlp else 0.0
            change = new_median / base_median / (1 + machine_change) - 1
            noise = ERRORS * math.hypot(
                result_statistics.noise(base_row["seconds"]), result_statistics.noise(new_row["seconds"])
            )
            changes.append(
                Change(
                    result["title"], new_row["name"], is_fastmlp, base_median, new_median, machine_change, change, noise
                )
            )
    return sorted(changes, key=lambda change: -change.change)


def lost(base: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Figures of fastmlp that are missing in the new file, in cases that both files have, as sentences."""
    old = {result["name"]: result for result in base["results"]}
    messages = []
    for result in new["results"]:
        names = {row["name"] for row in result_statistics.timed(result)}
        for row in result_statistics.timed(old[result["name"]]) if result["name"] in old else ():
            if row["kind"] in FASTMLP_KINDS and row["name"] not in names:
                row_now = next((r for r in result["rows"] if r["name"] == row["name"]), None)
                reason = f"{row_now['status']}, {row_now['reason']}" if row_now else "not there"
                messages.append(f"{result['title']}: {label(row['name'])} has no figure any more: {reason}")
    return messages


def differences(base: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differences in the machines and options of the two files, which make them hard to compare."""
    keys = ("processor", "cpus")
    messages = [
        f"{key}: {base['machine'][key]} and {new['machine'][key]}"
        for key in keys
        if base["machine"][key] != new["machine"][key]
    ]
    base_versions, new_versions = base["machine"]["versions"], new["machine"]["versions"]
    messages += [
        f"{name} {base_versions[name]} and {new_versions[name]}"
        for name in base_versions
        if name != "fastmlp" and new_versions.get(name, base_versions[name]) != base_versions[name]
    ]
    if base["options"]["device"] != new["options"]["device"]:
        messages.append("different devices")
    if base["options"]["quick"] != new["options"]["quick"]:
        messages.append("one of them is a quick run")
    return messages


def line(change: Change) -> str:
    percent = f"{change.change:+.1%}"
    machine = f", the machine {change.machine:+.1%} taken out" if abs(change.machine) >= 0.005 else ""
    return (
        f"{percent:>8}  (noise {change.noise:.1%}{machine})  {change.title}: {label(change.name)}, "
        f"{duration(change.base)} -> {duration(change.new)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--least", type=float, default=SMALLEST_CHANGE, help="smallest relative change that counts")
    parser.add_argument("--all", action="store_true", help="list all competitors, and changes within the noise")
    options = parser.parse_args()
    try:
        base, new = result_files.load(options.base), result_files.load(options.new)
    except (ValueError, OSError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    for text in differences(base, new):
        print(f"WARNING: {text}")
    changes, gone = compare(base, new), lost(base, new)
    for text in gone:
        print(f"LOST: {text}")
    if not changes and not gone:
        print("compare.py: the files have no case with figures in common", file=sys.stderr)
        return 2
    shown = [change for change in changes if options.all or (change.is_fastmlp and change.moved(options.least))]
    print("\n".join(map(line, shown)) or "Nothing of fastmlp moved.")
    slower = [change for change in changes if change.is_fastmlp and change.change > 0 and change.moved(options.least)]
    n_figures = sum(change.is_fastmlp for change in changes)
    print(f"{n_figures} figures of fastmlp compared, {len(slower)} slower by more than the noise")
    return 1 if slower or gone else 0


if __name__ == "__main__":
    sys.exit(main())
