"""Validation of the diagnosis: `python tests/helpers/diagnosis_validation.py` prints the tables of docs/diagnosis.md.

With `--write`, it updates the tables in docs/diagnosis.md. It needs a checkout, and no packages besides those of the
tests.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]

import numpy as np  # noqa: E402
import other_nets  # noqa: E402
import stuck_nets  # noqa: E402
from stuck_by_steps import STEP_CASES  # noqa: E402
from stuck_nets import Case, Trained  # noqa: E402

from fastmlp import diagnose  # noqa: E402
from fastmlp.diagnosis.verdicts import NAMES, VERDICTS  # noqa: E402

CASES = [*stuck_nets.CASES, *STEP_CASES]
SEEDS = range(200, 204)  # not used when the verdict rules were tuned
DOCS = Path(__file__).parents[2] / "docs" / "diagnosis.md"
MARKS = "<!-- {0} -->\n", "<!-- end of {0} -->"


def verdict_of(found: Trained) -> Any:
    return diagnose(found.net, found.X, found.y, found.history, **found.options)


def results(cases: list[Case] = CASES) -> Iterator[tuple[Case, int, Any]]:
    """Yield (case, seed, Diagnosis) for every case and seed."""
    for case in cases:
        for seed in SEEDS:
            yield case, seed, verdict_of(case.make(seed))


def verdicts() -> str:
    lines = ["| verdict | title |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{verdict.name}` | {verdict.title} |" for verdict in VERDICTS)]) + "\n"


def confusion(found: list[tuple[Case, int, Any]]) -> Counter:
    """Return {(expected verdict, verdict): number of nets}."""
    return Counter((case.verdict, diagnosis.verdict) for case, _, diagnosis in found)


def matrix_table(counts: Counter) -> str:
    """Return a table with a line per verdict that some nets did not get: how many were made to, and what they got."""
    lines = ["| made to be | nets | taken for |", "|---|---|---|"]
    for name in NAMES:
        row = {got: n for (wanted, got), n in counts.items() if wanted == name}
        others = ", ".join(f"{got} {n}" for got, n in sorted(row.items()) if got != name)
        if others:
            lines.append(f"| {name} | {sum(row.values())} | {others} |")
    n_others = sum(n for (wanted, got), n in counts.items() if wanted != got)
    return "\n".join([*lines, f"| all | {sum(counts.values())} | another one: {n_others} |"]) + "\n"


def is_right(case: Case, diagnosis: Any) -> bool:
    return diagnosis.verdict in (case.verdict, *case.also)


def sureness(found: list[tuple[Case, int, Any]]) -> str:
    """Return sentences on whether the confidence tells right from wrong verdicts."""
    counts = Counter((is_right(case, diagnosis), diagnosis.is_sure) for case, _, diagnosis in found)
    right, wrong = ([d.confidence for case, _, d in found if is_right(case, d) is ok] for ok in (True, False))
    higher = np.subtract.outer(right, wrong)
    share = np.mean(higher > 0) + np.mean(higher == 0) / 2 if higher.size else np.nan
    return (
        f"Of {len(found)} verdicts {len(wrong)} are wrong; of {counts[True, False] + counts[False, False]} that say "
        f"that they are not sure, {counts[False, False]}. A right verdict has a higher confidence than a wrong one in "
        f"{100 * share:.0f} % of the pairs.\n"
    )


def cures() -> Iterator[tuple[Case, int, Any, Any]]:
    """Yield (case, seed, Diagnosis before, Diagnosis after the remedy) for every case with a cure and every seed."""
    for case in CASES:
        if case.cure is not None:
            for seed in SEEDS:
                yield case, seed, verdict_of(case.make(seed)), verdict_of(case.cure(seed))


def helped(case: Case, before: Any, after: Any) -> bool:
    """Return whether a remedy helped.

    It helped if the new verdict is healthy, or if the net explains much more than before. Against over-fitting, it
    helped if the validation loss is lower.
    """
    facts = [
        {name: float(d.evidence.get(name, "nan")) for name in ("explained", "validation loss")} for d in (before, after)
    ]
    if case.verdict == "over_fitting":
        return facts[1]["validation loss"] < facts[0]["validation loss"]
    healthy = {row.name for row in VERDICTS if row.is_healthy}
    return after.verdict in healthy or facts[1]["explained"] > facts[0]["explained"] + 0.2


def cured(found: list[tuple[Case, int, Any, Any]]) -> str:
    """Return a sentence on how many nets followed their remedy, and how many it helped."""
    failed = [f"{case.title} ({case.verdict})" for case, _, before, after in found if not helped(case, before, after)]
    failures = f"; the others are: {', '.join(failed)}" if failed else ""
    return f"The remedy helped {len(found) - len(failed)} of {len(found)} nets{failures}.\n"


def part(text: str, name: str) -> str:
    """Return the text between the marks with this name."""
    start, end = (mark.format(name) for mark in MARKS)
    return text.split(start)[1].split(end)[0]


def with_part(text: str, name: str, content: str) -> str:
    start, end = (mark.format(name) for mark in MARKS)
    return re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: start + content + end, text, flags=re.DOTALL)


def confused_in(table: str) -> Counter:
    """Return {(expected verdict, verdict): number of nets} of the nets that matrix_table shows as another one."""
    counts: Counter = Counter()
    for line in table.splitlines()[2:-1]:
        wanted, _, others = (cell.strip() for cell in line.strip("|").split("|"))
        for item in others.split(", "):
            got, n = item.split()
            counts[wanted, got] = int(n)
    return counts


def main() -> None:
    found, others = list(results()), list(results(other_nets.CASES))
    parts = {
        "verdicts": verdicts(),
        "confusion matrix": matrix_table(confusion(found)),
        "sureness": sureness(found),
        "other kinds": matrix_table(confusion(others)),
        "sureness of other kinds": sureness(others),
        "remedies followed": cured(list(cures())),
    }
    if "--write" not in sys.argv:
        print("\n".join(parts.values()))
        return
    text = DOCS.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = with_part(text, name, content)
    DOCS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
