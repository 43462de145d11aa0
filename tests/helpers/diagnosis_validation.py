"""Validation of the diagnosis: `python tests/helpers/diagnosis_validation.py [FIRST_SEED]` measures it in some minutes.

It needs a checkout, and no packages besides those of the tests, which look at one seed. The figures are in
bench/log/estimators.md#diagnosis-accuracy.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]

import numpy as np  # noqa: E402
import other_nets  # noqa: E402
import stuck_nets  # noqa: E402
from stuck_by_steps import STEP_CASES  # noqa: E402
from stuck_nets import Case, Trained  # noqa: E402

from fastmlp import diagnose  # noqa: E402
from fastmlp.diagnosis.verdicts import VERDICTS  # noqa: E402

CASES = [*stuck_nets.CASES, *STEP_CASES]
OTHER_CASES = other_nets.CASES
N_SEEDS = 4
HEALTHY = {verdict.name for verdict in VERDICTS if verdict.is_healthy}


class Outcome(NamedTuple):
    """A net that was made to get a verdict, and its diagnosis."""

    case: Case
    made: Trained
    diagnosis: Any

    @property
    def is_right(self) -> bool:
        return self.diagnosis.verdict in (self.case.verdict, *self.case.also)


def verdict_of(found: Trained) -> Any:
    return diagnose(found.net, found.X, found.y, found.history, **found.options)


def outcomes(cases: Iterable[Case], seeds: Iterable[int]) -> list[Outcome]:
    made = [(case, case.make(seed)) for case in cases for seed in seeds]
    return [Outcome(case, net, verdict_of(net)) for case, net in made]


def helped(case: Case, before: Any, after: Any) -> bool:
    """Return whether a remedy helped.

    It helped if the new verdict is healthy, or if the net explains much more than before. Against over-fitting, it
    helped if the validation loss is lower.
    """
    fact = lambda found, name: float(found.evidence.get(name, "nan"))
    if case.verdict == "over_fitting":
        return fact(after, "validation loss") < fact(before, "validation loss")
    return after.verdict in HEALTHY or fact(after, "explained") > fact(before, "explained") + 0.2


def report(found: list[Outcome]) -> str:
    """Return how many verdicts are wrong, of those that are sure and of the others, and which were taken for which."""
    wrong = [outcome for outcome in found if not outcome.is_right]
    unsure = [outcome for outcome in found if not outcome.diagnosis.is_sure]
    n_wrong_unsure = sum(not outcome.is_right for outcome in unsure)
    confused = Counter((outcome.case.verdict, outcome.diagnosis.verdict) for outcome in wrong)
    alarms = np.mean([o.diagnosis.verdict not in HEALTHY for o in found if o.case.verdict in HEALTHY])
    missed = np.mean([o.diagnosis.verdict in HEALTHY for o in found if o.case.verdict not in HEALTHY])
    return "\n".join(
        [
            f"{len(found)} nets, {len(wrong)} verdicts wrong; of the {len(unsure)} that are not sure {n_wrong_unsure}.",
            f"Healthy nets with an alarm: {alarms:.1%}; stuck nets without one: {missed:.1%}.",
            *(f"  {n:3}  {wanted} taken for {got}" for (wanted, got), n in confused.most_common()),
        ]
    )


def main() -> None:
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seeds = range(first, first + N_SEEDS)
    for title, cases in (("Nets made to be stuck", CASES), ("Other kinds of nets and data", OTHER_CASES)):
        print(f"{title}, seeds from {first}: {report(outcomes(cases, seeds))}\n")
    cured = [
        (case, verdict_of(case.make(seed)), verdict_of(case.cure(seed)))
        for case in CASES
        if case.cure
        for seed in seeds
    ]
    failed = [case.title for case, before, after in cured if not helped(case, before, after)]
    print(f"The remedy helped {len(cured) - len(failed)} of {len(cured)} nets; the others: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
