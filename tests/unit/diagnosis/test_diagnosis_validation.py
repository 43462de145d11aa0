"""Validation of the diagnosis: verdicts on nets stuck on purpose and on healthy nets, and the effect of remedies.

One seed of each case; tests/helpers/diagnosis_validation.py measures more.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from diagnosis_validation import CASES, HEALTHY, OTHER_CASES, helped, outcomes, verdict_of

from fastmlp.diagnosis.verdicts import VERDICTS

SEED = 200  # not used when the verdict rules were written
PAGE = Path(__file__).parents[3] / "docs" / "diagnosis.md"


@pytest.fixture(scope="module")
def found():
    return outcomes(CASES, [SEED])


def shown(wrong):
    return [(outcome.case.title, outcome.case.verdict, outcome.diagnosis.verdict) for outcome in wrong]


def test_the_page_lists_the_verdicts():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == [(verdict.name, verdict.title) for verdict in VERDICTS]


def test_every_verdict_has_cases():
    assert {verdict.name for verdict in VERDICTS} - {"unclear"} == {case.verdict for case in CASES}


def test_nets_made_to_be_stuck_get_their_verdicts(found):
    wrong = [outcome for outcome in found if not outcome.is_right]
    assert len(wrong) <= 0.03 * len(found), shown(wrong)
    confused = [
        outcome for outcome in found if (outcome.diagnosis.verdict in HEALTHY) != (outcome.case.verdict in HEALTHY)
    ]
    assert len(confused) <= 0.02 * len(found), shown(confused)


def test_nets_of_other_kinds_get_their_verdicts():
    """Kinds of nets and data that had no part in writing the rules."""
    others = outcomes(OTHER_CASES, [SEED])
    wrong = [outcome for outcome in others if not outcome.is_right]
    assert len(wrong) <= 0.12 * len(others), shown(wrong)


def test_remedies_help(found):
    """Cures of plateaus apply the first sentence of the remedy: another start, or at a saddle another optimiser."""
    cured = [(o.case, o.diagnosis, verdict_of(o.case.cure(SEED))) for o in found if o.case.cure is not None]
    assert len(cured) > 40
    failed = [case.title for case, before, after in cured if not helped(case, before, after)]
    assert len(failed) <= 0.05 * len(cured), failed
    for case, before, after in cured:
        if before.verdict == case.verdict == "plateau":
            start = "Leave the saddle: use 'rprop'" if "saddle" in case.title else "Begin again with another random_s"
            assert before.remedy.startswith(start), case.title
            assert after.evidence["explained"] > 0.9, case.title


def test_remedies_do_not_repeat_present_settings(found):
    """No remedy advises an optimiser, early stopping, activation or clipping that the net has already."""
    for case, made, diagnosis in found:
        advice, history = f"{diagnosis.remedy} {diagnosis.experiment}", made.history
        optimizer = getattr(history, "optimizer", None)
        assert "net.reset() and" not in advice, "it draws the same weights again"
        if getattr(getattr(optimizer, "rule", None), "name", "") in ("adam", "rprop", "rmsprop"):
            assert "use 'rprop'" not in advice, (case.title, advice)
            assert "with 'rprop'" not in advice, (case.title, advice)
        if getattr(history, "best_epoch", None) is not None:
            assert "early_stopping" not in advice, (case.title, advice)
        if getattr(optimizer, "clip_norm", 0) == 1:
            assert "clip_norm=1" not in advice, (case.title, advice)
        if "relu" in np.ravel(getattr(made.net, "get_settings", dict)().get("hidden_activation", "")):
            assert "Use relu" not in advice, (case.title, advice)
