"""`OptimizerState`: optimiser state that continues from one fit to the next."""

import pickle

import numpy as np
import pytest
from executor_cases import Pickled
from fit_kinds import KINDS, fit, make
from small_blocks import X, Y

from fastmlp import MLP, SGD, Adam, Converged, DivergenceWarning, OptimizerState, Population, optimizer_from_name

KINDS_WITH_STATES = [kind for kind in KINDS if not KINDS[kind].lanes]
pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("name", ("sgd", "adam", "rmsprop", "adagrad", "quickprop", "rprop"))
def test_two_fits_with_one_optimizer_state_equal_one_fit_with_every_optimizer(name, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    optimizer = SGD(0.05, momentum=0.9) if name == "sgd" else optimizer_from_name(name)
    whole, parts = (MLP((3, 5, 1), random_state=0, l2=1e-3, dtype="float64") for _ in range(2))
    given = {"batch_size": 10, "shuffle": False, "optimizer": optimizer}
    whole.fit(X, y, epochs=12, **given)
    state = OptimizerState()
    for epochs in (5, 7):
        parts.fit(X, y, epochs=epochs, optimizer_state=state, **given)
        state = pickle.loads(pickle.dumps(state))
    np.testing.assert_array_equal(parts.params, whole.params)


@pytest.mark.parametrize("kind", [*KINDS_WITH_STATES, "in processes"])
def test_two_fits_with_one_optimizer_state_equal_one_fit(kind):
    """With a learning rate of each net; a state may be saved in between."""
    more = {"executor": Pickled()} if kind == "in processes" else {}
    kind = "nets one by one" if more else kind
    nets, whole, state = make(kind), make(kind), OptimizerState()
    rates = np.array([0.01, 0.03, 0.1]) if KINDS[kind].n_nets else 0.03
    given = {"shuffle": False, "optimizer": Adam(rates), **more}
    for epochs in (5, 7):
        fit(kind, nets=nets, epochs=epochs, optimizer_state=state, **given)
        state = pickle.loads(pickle.dumps(state))
    fit(kind, nets=whole, epochs=12, **given)
    np.testing.assert_array_equal(nets.params, whole.params)


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


def test_a_net_that_diverges_or_is_restarted_begins_anew():
    state, fresh = OptimizerState(), OptimizerState()
    diverging = {"optimizer": SGD(np.array([0.01, 1e30, 0.02])), "optimizer_state": state}
    nets = make("nets one by one", loss="squared_error", hidden_activation="leaky_relu")
    with pytest.warns(DivergenceWarning):
        fit("nets one by one", nets=nets, **diverging)
    assert [net.rule for net in state.nets] == ["sgd", "", "sgd"]
    state = OptimizerState()
    for epochs, found in ((6, state), (3, fresh)):
        fit("nets one by one", epochs=epochs, converged=Converged(1e-9, restart_after=3), optimizer_state=found)
    assert [net.scalars[0] for net in state.nets] == [net.scalars[0] for net in fresh.nets]  # powers of as many steps


def of_layers(*sizes, **settings):
    """Return a function that fits a net of these layers with a state."""
    net = MLP(sizes, random_state=0, **settings)
    return lambda state, **more: net.fit(X[:, : sizes[0]], Y, epochs=1, optimizer_state=state, verbose=0, **more)


of_nets = lambda n: lambda state: Population((3, 4, 1), n).fit(X, Y, epochs=1, optimizer_state=state, verbose=0)


@pytest.mark.parametrize(
    "first, second, message",
    [
        (of_layers(1, 1), of_layers(1, 1, dtype="float64"), "optimizer_state belongs to the rule 'adam'"),
        (of_layers(1, 1), lambda state: of_layers(1, 1)(state, optimizer="rprop"), "belongs to the rule 'adam'"),
        (of_layers(2, 3, 1), of_layers(1, 4, 1), r"with the layers \(2, 3, 1\), but this one has .*Begin with"),
        (of_layers(2, 3, 1), of_layers(2, 2, 1), r"with the layers \(2, 3, 1\), but this one has .*Begin with"),
        (of_nets(3), of_layers(3, 4, 1), "belongs to 3 nets of a population, but this fit is of an MLP"),
        (of_nets(3), of_nets(2), "belongs to 3 nets of a population, but this fit is of 2 nets"),
        (lambda state: None, lambda state: of_layers(1, 1)(3), r"must be a fastmlp.OptimizerState .* but it is 3"),
    ],
    ids=["dtype", "rule", "as many parameters", "as many vectors", "one net", "fewer nets", "a number"],
)
def test_the_state_of_another_fit_is_refused_and_unchanged(first, second, message):
    state = OptimizerState()
    first(state)
    before = pickle.dumps(state)
    with pytest.raises(ValueError, match=message):
        second(state)
    assert pickle.dumps(state) == before
    first(state)
