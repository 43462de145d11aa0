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

from reporting import result_files  # noqa: E402
from reporting.result_statistics import median, noise, timed  # noqa: E402
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
    noise: float  # ERRORS standard errors

    @property
    def change(self) -> float:
        """The change without the machine's part."""
        return self.new / self.base / (1 + self.machine) - 1

    def moved(self, least: float) -> bool:
        return abs(self.change) > max(least, self.noise)

    def __str__(self) -> str:
        machine = f", the machine {self.machine:+.1%} taken out" if abs(self.machine) >= 0.005 else ""
        return (
            f"{f'{self.change:+.1%}':>8}  (noise {self.noise:.1%}{machine})  {self.title}: {label(self.name)}, "
            f"{duration(self.base)} -> {duration(self.new)}"
        )


def compare(base: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Changes of all competitors in the cases that both files have, the worst change first."""
    old = {result["name"]: {row["name"]: row for row in timed(result)} for result in base["results"]}
    changes = []
    for result in new["results"]:
        before = old.get(result["name"], {})
        pairs = [(before[row["name"]], row) for row in timed(result) if row["name"] in before]
        of_others = [median(b) / median(a) - 1 for a, b in pairs if b["kind"] not in FASTMLP_KINDS]
        drift = statistics.median(of_others) if of_others else 0.0
        for a, b in pairs:
            is_fastmlp = b["kind"] in FASTMLP_KINDS
            error = ERRORS * math.hypot(noise(a["seconds"]), noise(b["seconds"]))
            drift_of_row = drift if is_fastmlp else 0.0
            changes.append(Change(result["title"], b["name"], is_fastmlp, median(a), median(b), drift_of_row, error))
    return sorted(changes, key=lambda change: -change.change)


def lost(base: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Figures of fastmlp that are missing in the new file, in cases that both files have, as sentences."""
    now = {result["name"]: {row["name"]: row for row in result["rows"]} for result in new["results"]}
    messages = []
    for result in base["results"]:
        for row in timed(result) if result["name"] in now else ():
            row_now = now[result["name"]].get(row["name"], {"status": "not there", "reason": ""})
            if row["kind"] in FASTMLP_KINDS and row_now["status"] != "timed":
                reason = ", ".join(filter(None, (row_now["status"], row_now["reason"])))
                messages.append(f"{result['title']}: {label(row['name'])} has no figure any more: {reason}")
    return messages


def differences(base: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differences in the machines and options of the two files, which make them hard to compare."""
    facts: list[dict[str, Any]] = [
        {name: results["machine"][name] for name in ("processor", "cpus")}
        | {name: results["options"][name] for name in ("device", "quick")}
        | results["machine"]["versions"]
        for results in (base, new)
    ]
    found = [(name, value, facts[1].get(name, value)) for name, value in facts[0].items() if name != "fastmlp"]
    return [f"{name}: {value} and {other}" for name, value, other in found if value != other]


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
    of_fastmlp = [change for change in changes if change.is_fastmlp]
    moved = [change for change in of_fastmlp if change.moved(options.least)]
    print("\n".join(map(str, changes if options.all else moved)) or "Nothing of fastmlp moved.")
    slower = [change for change in moved if change.change > 0]
    print(f"{len(of_fastmlp)} figures of fastmlp compared, {len(slower)} slower by more than the noise")
    return 1 if slower or gone else 0


if __name__ == "__main__":
    sys.exit(main())
