"""Validation of the diagnosis: verdicts on nets stuck on purpose and on healthy nets, and the effect of remedies.

tests/helpers/diagnosis_validation.py makes the confusion matrix of docs/diagnosis.md from the same nets.
"""

import warnings
from collections import Counter

import numpy as np
import pytest
from diagnosis_validation import (
    CASES,
    DOCS,
    SEEDS,
    confused_in,
    confusion,
    helped,
    is_right,
    other_nets,
    part,
    results,
    verdict_of,
    verdicts,
)
from stuck_by_steps import STEP_CASES

from fastmlp.diagnosis.verdicts import VERDICTS

HEALTHY = {row.name for row in VERDICTS if row.is_healthy}
NAMED = 0.9  # share of the nets of a verdict that must get it, or an equivalent verdict
HELPED = 0.85  # share of the remedies that must help
MOVED = 5  # nets whose verdict may differ from the page on another processor, where floating point rounds otherwise


@pytest.fixture(scope="module")
def found():
    return list(results())


@pytest.mark.full
@pytest.mark.parametrize("verdict", dict.fromkeys(case.verdict for case in CASES))
def test_verdicts_of_stuck_nets_are_correct(found, verdict):
    mine = [(case, diagnosis) for case, _, diagnosis in found if case.verdict == verdict]
    is_correct = [diagnosis.verdict in (case.verdict, *case.also) for case, diagnosis in mine]
    assert len(is_correct) >= 4
    assert np.mean(is_correct) >= NAMED, [
        (case.title, d.verdict) for (case, d), ok in zip(mine, is_correct, strict=True) if not ok
    ]


@pytest.mark.full
def test_healthy_nets_get_healthy_verdicts(found):
    verdicts = [diagnosis.verdict for case, _, diagnosis in found if case.verdict in HEALTHY]
    assert len(verdicts) > 50
    assert np.mean([verdict in HEALTHY for verdict in verdicts]) >= 0.98


@pytest.mark.full
def test_stuck_nets_get_no_healthy_verdicts(found):
    verdicts = [diagnosis.verdict for case, _, diagnosis in found if case.verdict not in HEALTHY]
    assert np.mean([verdict in HEALTHY for verdict in verdicts]) <= 0.02


def test_the_page_lists_the_verdicts():
    assert part(DOCS.read_text(encoding="utf-8"), "verdicts") == verdicts()


@pytest.mark.full
@pytest.mark.parametrize("name, cases", [("confusion matrix", CASES), ("other kinds", other_nets.CASES)])
def test_documented_confusion_matrix_is_current(name, cases):
    """`python tests/helpers/diagnosis_validation.py --write` brings the page up to date."""
    shown = confused_in(part(DOCS.read_text(encoding="utf-8"), name))
    now = Counter({pair: n for pair, n in confusion(list(results(cases))).items() if pair[0] != pair[1]})
    assert sum((shown - now).values()) + sum((now - shown).values()) <= MOVED * len(cases) / len(CASES)


@pytest.mark.full
def test_nets_of_other_kinds_get_their_verdicts():
    """Kinds of nets and data that had no part in writing the rules."""
    right = [is_right(case, diagnosis) for case, _, diagnosis in results(other_nets.CASES)]
    assert np.mean(right) >= 0.88


def test_every_verdict_has_cases():
    assert {row.name for row in VERDICTS} - {"unclear"} == {case.verdict for case in CASES}


@pytest.mark.full
def test_remedies_help(capsys):
    """One seed per case; tests/helpers/diagnosis_validation.py counts all seeds."""
    outcomes = {}
    for case in CASES:
        if case.cure is not None:
            outcomes[case.title] = helped(case, verdict_of(case.make(200)), verdict_of(case.cure(200)))
    with capsys.disabled():
        print(f"\nremedies that helped: {sum(outcomes.values())} of {len(outcomes)}")
    assert len(outcomes) > 40
    assert np.mean(list(outcomes.values())) >= HELPED, [title for title, ok in outcomes.items() if not ok]


@pytest.mark.thinned(4)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.verdict == "plateau" and case.cure is not None], ids=lambda case: case.title
)
def test_first_remedy_for_a_plateau_solves_most_seeds(case, capsys):
    """Each case's cure applies the first sentence of the remedy: another start, or at a saddle another optimiser."""
    solved = []
    for seed in (200, 201, 202):
        before, after = verdict_of(case.make(seed)), verdict_of(case.cure(seed))
        start = "Leave the saddle: use 'rprop'" if "saddle" in case.title else "Begin again with another random_state"
        assert before.remedy.startswith(start) or before.verdict in case.also, (seed, before)
        solved.append(after.evidence["explained"] > 0.9)
    with capsys.disabled():
        print(f"\n{case.title}: the first remedy solved {sum(solved)} of {len(solved)}")
    assert sum(solved) >= 2


@pytest.mark.full
def test_remedies_do_not_repeat_present_settings(found):
    """No remedy advises an optimiser, early stopping, activation or clipping that the net has already."""
    for case, seed, diagnosis in found:
        if seed != SEEDS[0]:
            continue
        advice = f"{diagnosis.remedy} {diagnosis.experiment}"
        made = case.make(seed)
        history = made.history
        rule = getattr(getattr(getattr(history, "optimizer", None), "rule", None), "name", "")
        assert "net.reset() and" not in advice, "it draws the same weights again"
        if rule in ("adam", "rprop", "rmsprop"):
            assert "use 'rprop'" not in advice, (case.title, advice)
            assert "with 'rprop'" not in advice, (case.title, advice)
        if getattr(history, "best_epoch", None) is not None:
            assert "early_stopping" not in advice, (case.title, advice)
        if getattr(getattr(history, "optimizer", None), "clip_norm", 0) == 1:
            assert "clip_norm=1" not in advice, (case.title, advice)
        activations = set(getattr(made.net, "get_settings", dict)().get("hidden_activation", ()) or ())
        if "relu" in activations or activations == set("relu"):
            assert "Use relu" not in advice, (case.title, advice)


def test_learning_rate_of_the_remedy_lowers_the_loss():
    """Gradient descent at the learning rate of the remedy reaches a lower loss in as many epochs."""
    from toy_data import friedman

    from fastmlp import MLP, SGD, DivergenceWarning, diagnose

    X, y = friedman(3)
    for rate in (1e-5, 1.2):
        net = MLP((5, 16, 1), hidden_activation="tanh", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            history = net.fit(X, y, epochs=150, optimizer=SGD(rate), verbose=0)
        diagnosis = diagnose(net, X, y, history)
        named = float(diagnosis.remedy.split(" to ")[1].split(",")[0].split(":")[0])
        cured = MLP((5, 16, 1), hidden_activation="tanh", random_state=0)
        assert cured.fit(X, y, epochs=150, optimizer=SGD(named), verbose=0).loss[-1] < 0.8 * history.loss.min()


@pytest.mark.thinned(3)
@pytest.mark.parametrize("case", STEP_CASES, ids=lambda case: case.title)
def test_verdict_on_wrong_steps_names_them_and_not_their_effects(case):
    """One seed per case; the confusion matrix counts all seeds."""
    assert verdict_of(case.make(SEEDS[0])).verdict == case.verdict
