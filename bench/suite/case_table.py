"""The table of all works, by name. Run `python bench/works.py` to print it."""

from __future__ import annotations

from typing import Any

import fits
import kernel_loops
import populations
import predictions
import starts
import training_works
from work import Entry

ENTRIES = (
    *training_works.ENTRIES,
    *populations.ENTRIES,
    *fits.ENTRIES,
    *predictions.ENTRIES,
    *starts.ENTRIES,
    *kernel_loops.ENTRIES,
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
