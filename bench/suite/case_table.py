"""The table of all works, by name. `cd bench && python -m suite.case_table` prints it."""

from __future__ import annotations

from typing import Any

from suite.case import Entry
from suite.cases import cold_start, estimators, kernels, populations, prediction, training

ENTRIES = (
    *training.ENTRIES,
    *populations.ENTRIES,
    *estimators.ENTRIES,
    *prediction.ENTRIES,
    *cold_start.ENTRIES,
    *kernels.ENTRIES,
)
WORKS: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
assert len(WORKS) == len(ENTRIES), "two works have one name"


def build(name: str, quick: bool = False) -> Any:
    work = WORKS[name].build()
    return work.quick() if quick else work


def main() -> None:
    for entry in ENTRIES:
        work = entry.build()
        costs = ", ".join(f"{value:.4g} {what}" for what, value in work.costs().items())
        print(f"{entry.group:11} {work.name:22} {work.title}; per {work.unit}: {costs or '-'}; data: {work.source}")


if __name__ == "__main__":
    main()
