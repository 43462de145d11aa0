"""Predictions of nets and populations on the workers of an executor have the bits of those of one process."""

import numpy as np
import pytest
from executor_cases import OWN_X, InPlace, X, fit, process_pool

from fastmlp import MLP, Population
from fastmlp.executors.workers import Workers
from fastmlp.nets import ensemble, workers_prediction


@pytest.fixture
def small_tasks(monkeypatch):
    monkeypatch.setattr(workers_prediction, "MOST_BYTES", 200)


@pytest.mark.parametrize("nets", [None, [3, 1]])
@pytest.mark.parametrize("inputs", [X, OWN_X], ids=["of all nets", "of each net"])
def test_rows_are_predicted_in_tasks(inputs, nets, small_tasks):
    pop, _ = fit("data of each net")
    executor = InPlace()
    expected = pop.predict(inputs, nets=nets)
    np.testing.assert_array_equal(pop.predict(inputs, nets=nets, executor=executor), expected)
    assert executor.n_submitted > 1
    classes = pop.predict_classes(inputs, nets=nets, executor=executor)
    np.testing.assert_array_equal(classes, pop.predict_classes(inputs, nets=nets))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(3, 1), (3, 5, 2), (3, 90, 70, 4)])
def test_rows_of_one_net_are_predicted_in_tasks(sizes, dtype, small_tasks):
    net, executor = MLP(sizes, dtype=dtype, random_state=0, device="cpu"), InPlace()
    found = net.predict(X, executor=executor)
    assert found.dtype == net.dtype
    np.testing.assert_array_equal(found, net.predict(X))
    n_tasks = executor.n_submitted
    assert n_tasks > 1
    np.testing.assert_array_equal(net.predict_classes(X, executor=executor), net.predict_classes(X))
    assert executor.n_submitted == 2 * n_tasks


def test_a_worker_of_another_version_is_refused(monkeypatch):
    pop, _ = fit("lanes")
    monkeypatch.setattr(workers_prediction, "version_here", lambda: "0.0.1")
    with pytest.raises(RuntimeError, match=r"the program that sends its tasks has 0\.0\.1\. Install the same version"):
        pop.predict(X, executor=InPlace())


def test_an_ensemble_is_predicted_in_tasks_that_get_the_parameters_once(small_tasks, monkeypatch):
    pop, _ = fit("lanes")
    weights = np.arange(40) % 3
    expected = pop.ensemble_predict(X, top=9, weights=weights), pop.ensemble_predict(X)
    monkeypatch.setattr(ensemble, "MAX_OUTPUTS_AT_A_TIME", 7 * len(X))  # seven nets at a time
    in_parts = pop.ensemble_predict(X)
    sent, executor = [], InPlace()
    monkeypatch.setattr(Workers, "_send", lambda self, array: sent.append(array.shape) or array)
    np.testing.assert_array_equal(pop.ensemble_predict(X, executor=executor), in_parts)
    assert sent == [pop.params.shape]
    assert executor.n_submitted > 6
    monkeypatch.undo()
    np.testing.assert_array_equal(pop.ensemble_predict(X, top=9, weights=weights, executor=executor), expected[0])
    np.testing.assert_array_equal(pop.ensemble_predict(X, executor=executor), expected[1])


def test_processes_predict_the_same_bits(small_tasks):
    pop, _ = fit("one by one")
    net = pop.net(1)
    with process_pool(2) as executor:
        np.testing.assert_array_equal(pop.predict(X, executor=executor), pop.predict(X))
        np.testing.assert_array_equal(net.predict(X, executor=executor), net.predict(X))


@pytest.mark.parametrize(
    "named, shown", [("cpu", "cpu (as requested)"), ("auto", "cpu (the workers of an executor compute on CPUs)")]
)
def test_a_device_that_was_named_stays(named, shown):
    for net in (MLP((3, 5, 1), device=named), Population((3, 5, 1), 2, device=named)):
        net.predict(X, executor=InPlace())
        assert str(net.device) == shown


def test_what_is_refused():
    pop, _ = fit("lanes")
    for net in (pop, pop.net(0)):
        for predict in (net.predict, net.predict_classes):
            with pytest.raises(ValueError, match="must have a method submit"):
                predict(X, executor=1)
        with pytest.raises(ValueError, match="but the net has 3 inputs"):
            net.predict(X[:, :2], executor=InPlace())
    with pytest.raises(ValueError, match="must have a method submit"):
        pop.ensemble_predict(X, executor=1)


def test_sources_are_predicted_piece_by_piece():
    pop, _ = fit("lanes")
    pieces = type("Pieces", (), {"__iter__": lambda self: iter([X[:25], X[25:]])})
    for predict in (pop.predict, pop.ensemble_predict, pop.net(0).predict, pop.net(0).predict_classes):
        np.testing.assert_allclose(predict(pieces(), executor=InPlace()), predict(X), rtol=1e-6)
