"""Predictions of a population on the workers of an executor have the bits of those of one process."""

import numpy as np
import pytest
from executor_cases import OWN_X, InPlace, X, fit, process_pool

from fastmlp.population_training import executor_prediction


@pytest.fixture
def small_tasks(monkeypatch):
    monkeypatch.setattr(executor_prediction, "MOST_BYTES", 200)


@pytest.mark.parametrize("nets", [None, [3, 1]])
@pytest.mark.parametrize("inputs", [X, OWN_X], ids=["of all nets", "of each net"])
def test_rows_are_predicted_in_tasks(inputs, nets, small_tasks):
    pop, _ = fit("data of each net")
    executor = InPlace()
    expected = pop.predict(inputs, nets=nets)
    np.testing.assert_array_equal(pop.predict(inputs, nets=nets, executor=executor), expected)
    assert executor.n_submitted > 1


def test_processes_predict_the_same_bits(small_tasks):
    pop, _ = fit("one by one")
    with process_pool(2) as executor:
        np.testing.assert_array_equal(pop.predict(X, executor=executor), pop.predict(X))


def test_an_error_is_raised():
    pop, _ = fit("lanes")
    with pytest.raises(ValueError, match="must have a method submit"):
        pop.predict(X, executor=1)
