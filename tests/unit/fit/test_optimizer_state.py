"""`OptimizerState`: optimiser state that continues from one fit to the next."""

import pickle

import numpy as np
import pytest
from executor_cases import InPlace, Pickled

from fastmlp import MLP, SGD, Adam, DivergenceWarning, OptimizerState, Population, optimizer_from_name
from fastmlp.fit import nets_per_task


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


# ---- of populations


def make(n_nets=3, **settings):
    return Population((3, 5, 1), n_nets, random_state=0, dtype="float64", device="cpu", **settings)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(size=40)


OPTIONS = {"batch_size": 10, "shuffle": False, "verbose": 0}


@pytest.mark.parametrize("executor", [None, InPlace, Pickled], ids=["here", "in place", "in processes"])
def test_nets_of_a_population_continue_as_single_nets_do(executor, data, monkeypatch):
    monkeypatch.setattr(nets_per_task, "FIRST_SECONDS", 1e-9)  # a net each
    pop, rates, state = make(), np.array([0.01, 0.03, 0.1]), OptimizerState()
    alone = [pop.net(k) for k in range(3)]
    for epochs in (5, 7):
        more = {"executor": executor and executor()}
        pop.fit(*data, epochs=epochs, optimizer=Adam(rates), optimizer_state=state, **more, **OPTIONS)
        state = pickle.loads(pickle.dumps(state))
    for k, net in enumerate(alone):
        net.fit(*data, epochs=12, optimizer=Adam(float(rates[k])), **OPTIONS)
        np.testing.assert_array_equal(pop.params[k], net.params)


def test_a_net_that_diverges_or_is_restarted_begins_anew(data):
    state, pop = OptimizerState(), make()
    with pytest.warns(DivergenceWarning):
        pop.fit(*data, epochs=3, optimizer=SGD(np.array([0.01, 1e200, 0.02])), optimizer_state=state, **OPTIONS)
    assert [net.rule for net in state.nets] == ["sgd", "", "sgd"]
    state, pop = OptimizerState(), make()
    pop.fit(*data, epochs=6, converged=1e-9, restart_after=3, optimizer_state=state, **OPTIONS)
    fresh = OptimizerState()
    make().fit(*data, epochs=3, converged=1e-9, restart_after=3, optimizer_state=fresh, **OPTIONS)
    assert [net.scalars[0] for net in state.nets] == [net.scalars[0] for net in fresh.nets]  # powers of 12 steps


@pytest.mark.parametrize("nets", [None, 2])
def test_state_of_another_number_of_nets_raises(nets, data):
    state = OptimizerState()
    make().fit(*data, epochs=1, optimizer_state=state, **OPTIONS)
    other = make().net(0) if nets is None else make(nets)
    with pytest.raises(ValueError, match=r"belongs to 3 nets of a population, but this fit is of (an MLP|2 nets)"):
        other.fit(*data, epochs=1, optimizer_state=state, **OPTIONS)


@pytest.mark.parametrize("executor", [None, InPlace], ids=["here", "on workers"])
def test_states_of_finished_nets_are_in_the_checkpoint(executor, data, tmp_path):
    """Early stopping and the last epoch have ended them, so that a fit that goes on from the file trains none."""
    held_out = data[0][:10], -data[1][:10]  # the validation loss rises, so that early stopping ends each net

    def fit(state, **more):
        pop = make()
        options = {"epochs": 30, "validation_data": held_out, "early_stopping": 2, **OPTIONS, **more}
        return pop, pop.fit(*data, optimizer_state=state, executor=executor and executor(), **options)

    whole, state, path = OptimizerState(), OptimizerState(), tmp_path / "run.ckpt"
    pop, result = fit(whole)
    assert set(result.stopped_by) == {"early_stopping", "epochs"}
    fit(OptimizerState(), checkpoint=path)
    found, _ = fit(state, checkpoint=path, resume=True)
    np.testing.assert_array_equal(found.params, pop.params)
    for net, other in zip(state.nets, whole.nets, strict=True):
        np.testing.assert_array_equal(net.array, other.array)
        np.testing.assert_array_equal(net.scalars, other.scalars)
