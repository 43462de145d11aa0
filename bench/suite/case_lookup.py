"""Lookup of benchmark cases by name; the files of suite/cases/ have the rows.

`cd bench && python -m suite.case_lookup` prints all cases.
"""

from __future__ import annotations

from typing import Any

from suite.case import CaseEntry
from suite.cases import estimators, populations, prediction, processes, training

ENTRIES = (*training.ENTRIES, *populations.ENTRIES, *estimators.ENTRIES, *prediction.ENTRIES, *processes.ENTRIES)
CASES: dict[str, CaseEntry] = {entry.name: entry for entry in ENTRIES}
assert len(CASES) == len(ENTRIES), "two cases have one name"


def build(name: str, quick: bool = False) -> Any:
    case = CASES[name].build()
    return case.quick() if quick else case


def main() -> None:
    for entry in ENTRIES:
        case = entry.build()
        costs = ", ".join(f"{value:.4g} {quantity}" for quantity, value in case.costs().items())
        print(f"{entry.group:11} {case.name:22} {case.title}; per {case.unit}: {costs or '-'}; data: {case.source}")


if __name__ == "__main__":
    main()
