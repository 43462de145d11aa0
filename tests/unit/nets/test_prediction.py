"""Repeated predictions: buffers are reused between equal calls, inputs and outputs are not."""

import gc
import os
import weakref

import numpy as np
import pytest
from reference_net import ReferenceMLP

from fastmlp import MLP, Population
from fastmlp.execution.dispatch import choose_evaluation_threads

NETS = {
    "lanes of samples": ((3, 4, 2), "float32"),
    "layerwise": ((40, 30, 5), "float32"),
    "float64": ((40, 30, 5), "float64"),
}

FORKED = """
import os, warnings
import numpy as np, fastmlp
warnings.simplefilter("ignore")  # that a process with threads forks
net = fastmlp.MLP((40, 30, 5), random_state=0, device="cpu")
X = np.random.default_rng(0).random((2, 1, 40), np.float32)
expected = [net.predict(x) for x in X]
child = os.fork()
equal = all((net.predict(X[k % 2]) == expected[k % 2]).all() for k in range(6))
equal = equal and net.evaluate(X[0], expected[0])["loss"] == 0.0
if child == 0:
    os._exit(0 if equal else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert equal
"""


def make(name):
    layer_sizes, dtype = NETS[name]
    return MLP(layer_sizes, hidden_activation="tanh", dtype=dtype, device="cpu", random_state=0)


def assert_matches_reference(net, X):
    expected = ReferenceMLP(net.network.layer_sizes, ["tanh", "identity"], "squared_error", net.params).predict(X)
    np.testing.assert_allclose(net.predict(X), expected, rtol=2e-5, atol=1e-5)


def rows(n, net, seed):
    return np.random.default_rng(seed).normal(size=(n, net.network.n_features)).astype(net.dtype)


@pytest.mark.parametrize("name", NETS)
def test_repeated_predictions_match_the_reference_for_their_inputs(name):
    net = make(name)
    for k in range(6):
        assert_matches_reference(net, rows(1, net, k))
        net.params[:] *= 1.1  # in place: the net keeps its array
    net.fit(rows(4, net, 9), np.zeros((4, net.network.n_outputs)), epochs=3, verbose=0)
    for k in range(3):
        assert_matches_reference(net, rows(1, net, k))


def test_alternating_nets_sizes_and_evaluations_match_the_reference():
    """Predictions and evaluations of three nets and three sizes, in random order."""
    nets = [make(name) for name in NETS]
    rng = np.random.default_rng(0)
    for _ in range(120):
        net, n = nets[rng.integers(3)], int(rng.choice([1, 3, 300]))
        X = rows(n, net, rng.integers(100))
        for _ in range(rng.integers(1, 5)):
            assert_matches_reference(net, X)
        if rng.random() < 0.2:
            net.evaluate(X, np.zeros((n, net.network.n_outputs)))


@pytest.mark.parametrize("make", [MLP, lambda sizes, **given: Population(sizes, 2, **given)], ids=["net", "nets"])
def test_predictions_keep_no_inputs_reuse_no_outputs_and_check_each_input(make):
    nets, outputs = make((90, 80, 3), device="cpu", random_state=0), []
    for k in range(5):
        X = rows(1, nets, k)
        outputs.append(nets.predict(X))
        weak = weakref.ref(X)
        del X
        assert weak() is None, "inputs are kept alive"
    assert len({output.tobytes() for output in outputs}) == 5
    weak = weakref.ref(outputs.pop())
    assert weak() is None, "outputs are kept alive"
    for bad, message in ((np.full((1, 90), np.nan), "NaN or infinite"), (np.zeros((1, 89)), "89 features")):
        with pytest.raises(ValueError, match=message):
            nets.predict(bad)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_prepared_prediction_is_repeated_after_a_fork(fresh_python):
    done = fresh_python(FORKED)
    assert done.returncode == 0, done.stderr


def test_multithreaded_prediction_keeps_no_net_alive(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    net = MLP((300, 300, 2), device="cpu", random_state=0)
    for k in range(3):
        net.predict(rows(300, net, k))
    assert choose_evaluation_threads(net.network, 300) == 2
    weak = weakref.ref(net.padded_params)
    del net
    gc.collect()
    assert weak() is None


NETS_OF = {"lanes of samples": (3, 4, 2), "layerwise": (90, 80, 3), "float64": (90, 80, 3)}


@pytest.mark.parametrize("name", NETS_OF)
@pytest.mark.parametrize("n", [1, 5, 32, 33])
def test_repeated_predictions_of_several_nets_have_the_bits_of_each_net(name, n):
    pop = Population(NETS_OF[name], 3, dtype=NETS[name][1], device="cpu", random_state=0)
    for k in range(4):
        X = rows(n, pop, k)
        found = [pop.predict(X), pop.predict(X, nets=[2, 0])]
        expected = np.array([pop.net(net).predict(X) for net in range(3)])
        np.testing.assert_array_equal(found[0], expected)
        np.testing.assert_array_equal(found[1], expected[[2, 0]])
        np.testing.assert_array_equal(pop.predict(X, nets=np.array([True, False, True])), expected[[0, 2]])
        np.testing.assert_array_equal(pop.predict(X, nets=np.array([-1])), expected[[2]])
        pop.params[:] *= 1.1  # in place: the population keeps its array
