"""Predictions one after another, what they keep of each other, and what they must not."""

import threading
import weakref

import numpy as np
import pytest
from reference import ReferenceMLP

import fastmlp
from fastmlp.execution.buffer_cache import buffers

NETS = {
    "lanes of samples": ((3, 4, 2), "float32"),
    "by layers": ((40, 30, 5), "float32"),
    "float64": ((40, 30, 5), "float64"),
}


def make(name):
    layer_sizes, dtype = NETS[name]
    return fastmlp.MLP(layer_sizes, hidden_activation="tanh", dtype=dtype, device="cpu", random_state=0)


def check(net, X):
    expected = ReferenceMLP(net.network.layer_sizes, ["tanh", "identity"], "squared_error", net.params).predict(X)
    np.testing.assert_allclose(net.predict(X), expected, rtol=2e-5, atol=1e-5)


def rows(n, net, seed):
    return np.random.default_rng(seed).normal(size=(n, net.network.n_features)).astype(net.dtype)


@pytest.mark.parametrize("name", NETS)
def test_each_of_many_calls_predicts_its_own_inputs(name):
    net = make(name)
    for k in range(6):
        check(net, rows(1, net, k))
        net.params[:] *= 1.1  # in place: the net keeps its array
    net.fit(rows(4, net, 9), np.zeros((4, net.network.n_outputs)), epochs=3, verbose=0)
    for k in range(3):
        check(net, rows(1, net, k))


def test_nets_sizes_and_evaluations_in_turn():
    """Other calls between two that are alike, in every order."""
    nets = [make(name) for name in NETS]
    rng = np.random.default_rng(0)
    for _ in range(120):
        net, n = nets[rng.integers(3)], int(rng.choice([1, 3, 300]))
        X = rows(n, net, rng.integers(100))
        for _ in range(rng.integers(1, 5)):
            check(net, X)
        if rng.random() < 0.2:
            net.evaluate(X, np.zeros((n, net.network.n_outputs)))


def test_nothing_given_or_returned_is_kept_or_written_again():
    net = make("by layers")
    outputs = []
    for k in range(5):
        X = rows(1, net, k)
        outputs.append(net.predict(X))
        known = weakref.ref(X)
        del X
        assert known() is None, "inputs are kept alive"
    assert buffers.prediction[2] is not None, "calls that are alike keep what they need"
    assert len({output.tobytes() for output in outputs}) == 5
    known = weakref.ref(outputs.pop())
    assert known() is None, "outputs are kept alive"


def test_threads_have_their_own():
    net, wrong = make("by layers"), []
    X = [rows(1, net, k) for k in range(4)]
    expected, kept = [net.predict(x) for x in X], {}

    def ask(k):
        for _ in range(300):
            if not np.array_equal(net.predict(X[k]), expected[k]):
                wrong.append(k)
        kept[k] = buffers.prediction[2]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len({id(again) for again in kept.values()}) == 4


def test_a_net_that_two_threads_predict_with_is_not_kept_alive(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    net = fastmlp.MLP((300, 300, 2), device="cpu", random_state=0)
    for k in range(3):
        net.predict(rows(300, net, k))
    assert buffers.plan.n_threads == 2
    assert buffers.prediction[0] is not net.padded_params


def test_bad_inputs_after_good_ones_are_refused():
    net = make("by layers")
    for _ in range(4):
        net.predict(rows(1, net, 0))
    for bad, message in ((np.full((1, 40), np.nan), "NaN or infinite"), (np.zeros((1, 39)), "39 features")):
        with pytest.raises(ValueError, match=message):
            net.predict(bad)
