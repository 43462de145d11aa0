"""`OptimizerState`: optimiser state that continues from one fit to the next."""

import pickle

import numpy as np
import pytest

from fastmlp import MLP, SGD, Adam, DivergenceWarning, OptimizerState, optimizer_from_name


@pytest.mark.parametrize("name", ("sgd", "adam", "rmsprop", "adagrad", "quickprop", "rprop"))
def test_two_fits_with_one_optimizer_state_equal_one_fit(name, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    optimizer = SGD(0.05, momentum=0.9) if name == "sgd" else optimizer_from_name(name)
    whole, parts = (MLP((3, 5, 1), random_state=0, l2=1e-3, dtype="float64") for _ in range(2))
    whole.fit(X, y, epochs=12, batch_size=10, shuffle=False, optimizer=optimizer)
    state = OptimizerState()
    parts.fit(X, y, epochs=5, batch_size=10, shuffle=False, optimizer=optimizer, optimizer_state=state)
    state = pickle.loads(pickle.dumps(state))
    parts.fit(X, y, epochs=7, batch_size=10, shuffle=False, optimizer=optimizer, optimizer_state=state)
    np.testing.assert_array_equal(parts.params, whole.params)


def test_optimizer_state_of_another_dtype_or_rule_raises():
    state, X, y = OptimizerState(), [[0.0], [1.0]], [0, 1]
    MLP((1, 1), random_state=0).fit(X, y, epochs=1, optimizer_state=state)
    for net, optimizer in ((MLP((1, 1), dtype="float64"), "adam"), (MLP((1, 1)), "rprop")):
        with pytest.raises(ValueError, match="optimizer_state belongs to the rule 'adam'"):
            net.fit(X, y, epochs=1, optimizer=optimizer, optimizer_state=state)


@pytest.mark.parametrize("sizes", ((1, 4, 1), (2, 2, 1)), ids=("as many parameters", "as many whole vectors"))
def test_optimizer_state_of_a_net_with_other_layers_raises(sizes, rng):
    """The vectors of both nets are equally long."""
    state, first = OptimizerState(), MLP((2, 3, 1), random_state=0)
    first.fit(rng.normal(size=(9, 2)), rng.normal(size=9), epochs=2, optimizer_state=state)
    kept, other = state.array.copy(), MLP(sizes, random_state=0)
    assert other.network.layout.n_padded == first.network.layout.n_padded
    with pytest.raises(
        ValueError, match=r"belongs to a net with the layers \(2, 3, 1\), but this one has .*Begin with"
    ):
        other.fit(rng.normal(size=(9, sizes[0])), rng.normal(size=9), epochs=2, optimizer_state=state)
    assert other.history is None
    np.testing.assert_array_equal(state.array, kept)
    first.fit(rng.normal(size=(9, 2)), rng.normal(size=9), epochs=2, optimizer_state=pickle.loads(pickle.dumps(state)))


def test_optimizer_state_of_another_type_raises():
    with pytest.raises(ValueError, match=r"optimizer_state must be a fastmlp.OptimizerState .* but it is 3"):
        MLP((1, 1)).fit([[0.0], [1.0]], [0, 1], epochs=2, optimizer_state=3, verbose=0)


@pytest.mark.parametrize("extreme", (1e200, 1e300))
def test_after_a_divergence_the_state_begins_anew(rng, extreme):
    """Its moments would make each later fit diverge."""
    X, y = rng.normal(size=(8, 2)), rng.normal(size=8)
    net, state = MLP((2, 3, 1), dtype="float64", random_state=0), OptimizerState()
    settings = {"optimizer": Adam(0.01), "optimizer_state": state, "verbose": 0}
    net.fit(X, y, epochs=2, **settings)
    with pytest.warns(DivergenceWarning):
        net.fit(extreme * X, extreme * y, epochs=3, **settings)
    assert (state.array, state.scalars) == (None, None)
    history = net.fit(X, y, epochs=40, **settings)
    assert history.stopped_by == "epochs"
    assert history.loss[-1] < history.loss[0]
