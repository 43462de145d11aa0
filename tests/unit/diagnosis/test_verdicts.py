"""The table of verdicts: every row has a score, evidence and sentences for any net."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, Population
from fastmlp.diagnosis.argument_checks import as_inputs, as_samples
from fastmlp.diagnosis.evidence import EVIDENCE, evidence, number
from fastmlp.diagnosis.measurements import measure
from fastmlp.diagnosis.model_under_test import from_function, model_of_fastmlp
from fastmlp.diagnosis.verdicts import NAMES, VERDICTS, score_verdicts


def measured(subject, X, y):
    samples = as_samples(*as_inputs(X), y, subject, None)
    return measure(subject, samples.X, samples.Y, None)


def subjects():
    X, y = data.moons(0)
    net = MLP((2, 3, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    pop = Population((2, 3, 3, 1), 4, loss="binary_cross_entropy", random_state=0)
    linear = MLP((2, 1), random_state=0)
    yield "net", measured(model_of_fastmlp(net.network, net.params[None], 0.0), X, y)
    yield "population", measured(model_of_fastmlp(pop.network, pop.params, 0.0), X, y)
    yield "no hidden layer", measured(model_of_fastmlp(linear.network, linear.params[None], 0.0), X, y)
    yield "function", measured(from_function(lambda x: x[:, 0], X), X, y)


SUBJECTS = dict(subjects())


def test_verdict_names_are_unique_and_snake_case():
    assert len(set(NAMES)) == len(NAMES)
    assert all(name == name.lower() and name.isidentifier() for name in NAMES)
    assert {row.name for row in VERDICTS if row.is_healthy} == {"converged", "still_learning", "over_fitting"}


def test_documented_verdicts_exist():
    assert {
        "converged",
        "still_learning",
        "base_rate",
        "saturated_units",
        "dead_units",
        "symmetric_units",
        "vanishing_gradient",
        "exploding_gradient",
        "learning_rate_too_high",
        "learning_rate_too_low",
        "plateau",
        "unscaled_inputs",
        "constant_inputs",
        "shuffled_labels",
        "constant_labels",
        "mis_encoded_labels",
        "unreachable_targets",
        "positive_weights",
        "too_small",
        "over_fitting",
        "not_finite",
    } <= set(NAMES)


@pytest.mark.parametrize("row", VERDICTS, ids=NAMES)
@pytest.mark.parametrize("kind", SUBJECTS)
def test_every_verdict_has_a_score_evidence_and_sentences(row, kind):
    m = SUBJECTS[kind]
    scores = np.broadcast_to(row.score(m), (m.model.n_nets,))
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    for k in np.flatnonzero(scores > 0):
        assert all(isinstance(value, (float, str)) for value in evidence(m, k, row.evidence_names).values())
        for text in (row.remedy(m, k), row.experiment(m, k)):
            assert text[0].isupper()
            assert text.endswith((".", "!"))


@pytest.mark.slow
def test_verdicts_of_a_population_equal_those_of_single_nets():
    m = SUBJECTS["population"]
    X, y = data.moons(0)
    together = score_verdicts(m)
    for k in range(4):
        alone = score_verdicts(measured(m.model.of_nets(slice(k, k + 1)), X, y))[:, 0]
        assert NAMES[alone.argmax()] == NAMES[together[:, k].argmax()]


def test_every_fact_is_used():
    assert {name for row in VERDICTS for name in row.evidence_names} == set(EVIDENCE)


@pytest.mark.parametrize(
    "value, text",
    [(0.5, "0.5"), (1234.5, "1,230"), (2e-7, "2e-07"), (0.0, "0"), (3e8, "3e+08"), (float("nan"), "nan"), (12.0, "12")],
)
def test_numbers_are_formatted_with_three_digits(value, text):
    assert number(value) == text
