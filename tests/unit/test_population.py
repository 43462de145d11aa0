"""`Population`: each net equals an `MLP` with its seed and settings, trained alone."""

import dataclasses
import pickle
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.execution.dispatch
from fastmlp import MLP, SGD, Adam, AdamW, Converged, EarlyStopping, Population
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.population import subset_of


@pytest.fixture(autouse=True)
def small_nets_train_in_lanes(monkeypatch):
    """Make dispatch choose lanes for any number of nets, so that the sizes below decide."""
    thresholds = fastmlp.execution.thresholds
    monkeypatch.setattr(thresholds, "LANES_FROM", ((4000, (1, 1, 1)),))
    monkeypatch.setattr(thresholds, "EVALUATION_LANES_FROM_NETS", 1)


N = 21
PLACES = {"unrolled": (4,), "lanes": (9, 6), "one by one": (80, 70)}  # sizes of hidden layers
SHARE = np.linspace(0.0, 1.0, N)  # by which settings of nets differ
RNG = np.random.default_rng(5)
HELD_OUT = RNG.normal(size=(30, 3))
OWN_X, OWN_Y = RNG.normal(size=(N, 23, 3)), RNG.normal(size=(N, 23))


class Case(NamedTuple):
    """Settings of nets and arguments of fit; arrays of N values, and what `own` names, have one for each net.

    loss : decides which targets there are
    optimizer : function that returns it, of the share of a net, or of those of all nets
    close : tolerance; the order of sums differs, and some steps multiply differences
    """

    loss: str = "squared_error"
    settings: dict | None = None
    fit: dict | None = None
    optimizer: Callable = lambda share: SGD(0.003)
    own: tuple = ()
    close: float = 1e-10


def of_optimizer(name, dtype):
    settings = {"hidden_activation": "tanh", "l2": 0.01, "dtype": dtype}
    make = lambda share: OPTIMIZERS[name](weight_decay=0.02, clip_norm=0.3)
    return Case(
        "binary_cross_entropy", settings, {"batch_size": None}, make, close=1e-10 if dtype == "float64" else 5e-4
    )


def stopped(monitor):
    given = {"epochs": 60, "early_stopping": EarlyStopping(patience=4, monitor=monitor)}
    given["validation_data"] = HELD_OUT, (HELD_OUT[:, 0] * HELD_OUT[:, 1] > 0).astype(int)
    return Case("binary_cross_entropy", {"hidden_activation": "tanh"}, given, lambda share: Adam(0.1), close=1e-8)


FIRST_ORDER = [name for name, kind in OPTIMIZERS.items() if not kind().rule.is_second_order]
CASES = {
    **{f"{name}, {dtype}": of_optimizer(name, dtype) for name in FIRST_ORDER for dtype in ("float64", "float32")},
    **{row.name: Case(settings={"hidden_activation": row.name}) for row in ACTIVATIONS if row.hidden},
    **{f"loss {row.name}": Case(row.name, {"hidden_activation": "tanh"}) for row in LOSSES},
    **{f"stopped by {name or 'default'}": stopped(name) for name in (None, "loss", "validation_accuracy", "accuracy")},
    "momentum of each net": Case(optimizer=lambda share: SGD(1e-3 + 2e-3 * share, momentum=0.5 * share)),
    "nesterov": Case(optimizer=lambda share: SGD(1e-3, momentum=0.5, nesterov=True)),
    "rate factors": Case(optimizer=lambda share: AdamW(0.02, learning_rate_factors={"biases": 0.1, 0: 3.0})),
    "decay": Case(
        fit={"schedule": "cosine"},
        optimizer=lambda share: AdamW(
            0.02, weight_decay=0.1 + 0.4 * share, learning_rate_factors={"weights": 0.5}, clip_norm=0.1
        ),
    ),
    "in order": Case(fit={"shuffle": False, "schedule": "cosine"}),
    "batches of one": Case(fit={"batch_size": 1}),
    "full batches": Case(fit={"batch_size": None}),
    "dropout": Case(settings={"dropout": 0.4, "hidden_activation": "silu"}),
    "settings of each net": Case(settings={"dropout": 0.5 * SHARE, "l2": 0.1 * SHARE, "init_scale": 0.3 + 0.5 * SHARE}),
    "weights of each net": Case(fit={"sample_weight": fastmlp.bootstrap(23, N)}, own=("sample_weight",)),
    "inputs of each net": Case(fit={"X": OWN_X}, own=("X",)),
    "samples of each net": Case(fit={"X": OWN_X, "y": OWN_Y}, own=("X", "y")),
}
UNROLLED = {"adam, float64", "stopped by accuracy", "weights of each net"}  # the others are compiled one by one, too


@pytest.mark.parametrize(
    "name, place",
    [
        pytest.param(name, place, marks=[pytest.mark.full] * (place == "unrolled" and name not in UNROLLED))
        for name in CASES
        for place in PLACES
    ],
)
def test_nets_equal_single_nets(name, place):
    """There are more nets than lanes: some begin when the block's clock is at a later epoch."""
    case, rng = CASES[name], np.random.default_rng(7)
    X, n_outputs = rng.normal(size=(23, 3)), 2 if case.loss == "softmax_cross_entropy" else 1
    y = rng.normal(size=23) if case.loss == "squared_error" else (X[:, 0] * X[:, 1] > 0).astype(int)
    sizes, settings = (3, *PLACES[place], n_outputs), {"loss": case.loss, "dtype": "float64"} | (case.settings or {})
    given = {"X": X, "y": y, "epochs": 5, "batch_size": 9, "verbose": 0} | (case.fit or {})
    pop = Population(sizes, N, **settings, random_state=5)
    result = pop.fit(**given, optimizer=case.optimizer(SHARE))
    data = {key: given[key] for key in ("X", "y", "sample_weight") if key in given}
    figures, outputs = pop.evaluate(**data), pop.predict(given["X"])
    for k in (0, 7, 18, N - 1):
        own = {key: values[k] if np.shape(values) == (N,) else values for key, values in settings.items()}
        mine = given | {key: given[key][k] for key in case.own}
        net = MLP(sizes, **own, random_state=int(pop.seeds[k]))
        history = net.fit(**mine, optimizer=case.optimizer(float(SHARE[k])))
        np.testing.assert_allclose(pop.params[k], net.params, rtol=case.close, atol=case.close, err_msg=f"net {k}")
        assert result.loss[k] == pytest.approx(history.loss[-1], rel=case.close, abs=case.close)
        assert result.epochs[k] == history.epochs
        if "early_stopping" in given:
            record = history.record(given["early_stopping"].monitor or "validation_loss")
            assert result.best_epoch[k] == history.best_epoch
            assert result.best_value[k] == pytest.approx(record[history.best_epoch])
        alone = net.evaluate(**{key: mine[key] for key in data})
        for figure, values in figures.items():
            assert values[k] == pytest.approx(alone[figure], rel=case.close, abs=case.close)
        np.testing.assert_allclose(outputs[k], net.predict(mine["X"]), rtol=100 * case.close, atol=case.close)
    if name.startswith("stopped") and name != "stopped by loss":
        assert len(set(result.epochs)) > 1, "nets should stop at different times"


def test_settings_may_be_scipy_distributions():
    def make(seed):
        pop = Population((2, 2, 1), 400, l2=scipy.stats.uniform(0, 0.1), random_state=seed)
        return pop, pop.fit(XOR_X, XOR_Y, epochs=1, optimizer=fastmlp.SGD(scipy.stats.loguniform(0.1, 10)), verbose=0)

    pop, result = make(0)
    rates = result.settings["learning_rate"]
    assert scipy.stats.kstest(np.log10(rates), "uniform", (-1, 2)).pvalue > 0.01
    assert scipy.stats.kstest(pop.l2, "uniform", (0, 0.1)).pvalue > 0.01
    np.testing.assert_array_equal(make(0)[1].settings["learning_rate"], rates)
    assert not np.array_equal(make(1)[1].settings["learning_rate"], rates)


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 9, 6, 1), (2, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("rule", [0.1, "accuracy", "40-20-40", Converged(accuracy=0.75)])
def test_each_net_stops_when_it_has_converged(rule, sizes):
    settings = {"loss": "binary_cross_entropy", "hidden_activation": "tanh"}
    pop = Population(sizes, 40, **settings, random_state=2)
    result = pop.fit(XOR_X, XOR_Y, epochs=300, optimizer=fastmlp.Rprop(), converged=rule, verbose=0)
    assert result.n_converged > 0
    done = result.converged
    assert (result.stopped_by[done] == "converged").all()
    assert (result.epochs[~done] == 300).all()
    outputs = pop.predict(XOR_X)[:, :, 0]
    if rule == 0.1:
        np.testing.assert_array_equal(done, pop.evaluate(XOR_X, XOR_Y)["loss"] <= 0.1)
    elif rule == "40-20-40":
        np.testing.assert_array_equal(done, (np.abs(outputs - XOR_Y) <= 0.4).all(axis=1))
    else:
        share = ((outputs > 0.5) == XOR_Y).mean(axis=1)
        np.testing.assert_array_equal(done, share >= (1.0 if rule == "accuracy" else 0.75))
    k = int(np.flatnonzero(done)[0])
    net = MLP(sizes, **settings, random_state=int(pop.seeds[k]))
    history = net.fit(XOR_X, XOR_Y, epochs=int(result.epochs[k]), optimizer=fastmlp.Rprop(), verbose=0)
    if rule == 0.1:
        assert history.loss[-1] <= 0.1
        assert (history.loss[:-1] > 0.1).all()


@pytest.mark.full
@pytest.mark.parametrize("sizes", [(2, 3, 3), (2, 9, 6, 3)], ids=["unrolled", "lanes"])
@pytest.mark.parametrize("output, loss", [("softmax", "softmax_cross_entropy"), ("sigmoid", "squared_error")])
@pytest.mark.parametrize("accuracy", [0.8, 1.0])
def test_converged_accuracy_takes_the_argmax_of_several_outputs(accuracy, output, loss, sizes, rng):
    X, y = rng.normal(size=(5, 2)), np.array([0, 1, 2, 1, 0])
    settings = {"hidden_activation": "tanh", "output_activation": output, "loss": loss}
    pop = Population(sizes, 40, **settings, random_state=2)
    targets = y if output == "softmax" else np.eye(3)[y]
    rule = Converged(accuracy=accuracy)
    result = pop.fit(X, targets, epochs=20, optimizer=fastmlp.Rprop(), converged=rule, verbose=0)
    correct = (pop.predict(X).argmax(axis=2) == y).mean(axis=1)
    assert len(set(result.epochs)) > 1, "nets should stop at different times"
    done = result.converged
    np.testing.assert_allclose(result.accuracy[done], correct[done], rtol=1e-6)
    np.testing.assert_array_equal(done, result.accuracy >= accuracy - 1e-6)


def test_net_is_a_copy_and_best_has_the_lowest_loss():
    pop = Population((2, 4, 1), 20, l2=0.001, random_state=1)
    result = pop.fit(XOR_X, XOR_Y, epochs=50, verbose=0)
    assert result.loss[result.best] == result.loss.min()
    np.testing.assert_array_equal(pop.best().params, pop.params[result.best])
    net = pop.net(-1)
    net.params[:] = 0.0
    assert pop.params[19].any()
    assert net.network.l2 == 0.001
    net.reset()
    np.testing.assert_array_equal(net.params, Population((2, 4, 1), 20, l2=0.001, random_state=1).params[19])
    with pytest.raises(IndexError, match="nets 0 to 19"):
        pop.net(20)


@pytest.mark.parametrize(
    "optimizer",
    [
        fastmlp.AdamW(0.02, weight_decay=np.array([0.0, 0.1])),
        fastmlp.SGD(0.1, momentum=np.array([0.0, 0.8]), nesterov=True),
    ],
    ids=["weight decay", "momentum"],
)
def test_a_setting_may_be_zero_for_some_nets(optimizer, rng):
    """Also where nets are trained one by one, as two are."""
    X, y = rng.normal(size=(11, 3)), rng.normal(size=(11, 1))
    pops = [Population((3, 4, 1), n_nets, dtype="float64", random_state=5) for n_nets in (2, 40)]
    start = pops[0].params.copy()
    for pop in pops:
        pop.params[:2] = start
        values = {f.name: getattr(optimizer, f.name) for f in dataclasses.fields(optimizer)}
        repeated = {k: np.resize(v, pop.n_nets) for k, v in values.items() if isinstance(v, np.ndarray)}
        pop.fit(X, y, epochs=6, optimizer=dataclasses.replace(optimizer, **repeated), verbose=0)
    np.testing.assert_allclose(pops[0].params, pops[1].params[:2], rtol=1e-9)


def test_a_net_of_a_population_has_its_number_of_fits(rng):
    """So that a further fit draws other orders of samples than the first."""
    X, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    pop, fit = Population((2, 3, 1), 3, dtype="float64", random_state=0), {"epochs": 3, "batch_size": 8, "verbose": 0}
    assert pop.net(1).fits == 0
    pop.fit(X, y, **fit)
    net = pop.net(1)
    assert net.fits == 1
    net.fit(X, y, **fit)
    pop.fit(X, y, **fit)
    np.testing.assert_allclose(net.params, pop.params[1], rtol=1e-9)


def test_folds_hold_out_each_sample_once():
    weights = fastmlp.folds(11, 3)
    assert weights.shape == (3, 11)
    assert ((weights == 0).sum(axis=0) == 1).all()
    assert sorted((weights == 0).sum(axis=1)) == [3, 4, 4]
    classes = np.array([0] * 6 + [1] * 3)
    left_out = fastmlp.folds(9, 3, stratify=classes) == 0
    assert (left_out[:, classes == 1].sum(axis=1) == 1).all()


def test_cross_validation_by_sample_weight_scores_held_out_samples(rng):
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    weights = fastmlp.folds(60, 5)
    pop = Population((2, 4, 1), 5, loss="binary_cross_entropy", random_state=0)
    pop.fit(X, y, sample_weight=weights, epochs=100, optimizer=fastmlp.Adam(0.05), verbose=0)
    scores = pop.evaluate(X, y, sample_weight=1 - weights)["accuracy"]
    for k in range(5):
        out = weights[k] == 0
        assert scores[k] == pytest.approx((pop.predict_classes(X[out], nets=[k])[0] == y[out]).mean())


@pytest.mark.parametrize("sizes", [(2, 4, 1), (2, 80, 70, 1)], ids=["lanes", "one by one"])
def test_population_round_trips_through_a_file(sizes, tmp_path):
    pop = Population(sizes, 9, l2=np.linspace(0, 0.1, 9), init=fastmlp.Uniform(-2, 2), random_state=1)
    pop.fit(XOR_X, XOR_Y, epochs=3, verbose=0)
    pop.save(tmp_path / "pop.safetensors")
    same = fastmlp.load(tmp_path / "pop.safetensors")
    np.testing.assert_array_equal(same.params, pop.params)
    np.testing.assert_array_equal(same.l2, pop.l2)
    np.testing.assert_array_equal(same.predict(XOR_X), pop.predict(XOR_X))
    np.testing.assert_array_equal(same.reset().params, pop.reset().params)


def test_pickled_population_is_independent():
    pop = Population((2, 3, 1), 20, hidden_activation="tanh", random_state=1)
    pop.fit(XOR_X, XOR_Y, epochs=5, verbose=0)
    twin = pickle.loads(pickle.dumps(pop))
    np.testing.assert_array_equal(twin.predict(XOR_X), pop.predict(XOR_X))
    again = [p.fit(XOR_X, XOR_Y, epochs=5, verbose=0).loss for p in (pop, twin)]
    np.testing.assert_array_equal(*again)
    twin.params = np.zeros_like(twin.params)
    assert pop.params.any()
    assert not twin.predict(XOR_X).any()


def test_subset_has_the_chosen_nets_and_their_part_of_the_result(tmp_path):
    settings = {"dropout": np.linspace(0.0, 0.3, 9), "init_scale": 0.5}
    pop = Population((2, 6, 1), 9, **settings, init=fastmlp.initialization.UniformByFanIn(), random_state=1)
    result = pop.fit(XOR_X, XOR_Y, epochs=5, optimizer=fastmlp.SGD(np.linspace(0.1, 0.9, 9)), verbose=0)
    members = np.array([2, 5])
    some = subset_of(pop, members)
    assert (some.n_nets, some.fits, some.init_scale, some.network.dropout) == (2, 1, 0.5, (pop.dropout[5],))
    np.testing.assert_array_equal(some.predict(XOR_X), pop.predict(XOR_X, nets=members))
    np.testing.assert_array_equal(some.result.loss, result.loss[members])
    np.testing.assert_array_equal(some.result.records, result.records[:, members])
    np.testing.assert_array_equal(some.result.record_epochs, result.record_epochs)
    np.testing.assert_array_equal(some.result.settings["learning_rate"], result.settings["learning_rate"][members])
    some.save(tmp_path / "nets")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "nets").predict(XOR_X), some.predict(XOR_X))
    again = [p.fit(XOR_X, XOR_Y, epochs=5, verbose=0).loss for p in (some, pop)]
    np.testing.assert_allclose(again[0], again[1][members], rtol=1e-5)  # its nets have kept their seeds


def test_ensemble_predict_averages_the_chosen_nets(rng):
    X = rng.normal(size=(50, 2))
    y = np.sin(X[:, 0])
    pop = Population((2, 5, 1), 12, dtype="float64", random_state=0)
    with pytest.raises(RuntimeError, match="needs a fit"):
        pop.ensemble_predict(X, top=3)
    result = pop.fit(X, y, epochs=30, verbose=0)
    outputs = pop.predict(X)
    np.testing.assert_allclose(pop.ensemble_predict(X), outputs.mean(axis=0))
    np.testing.assert_allclose(pop.ensemble_predict(X, top=3), outputs[result.order()[:3]].mean(axis=0))


BAD = [
    (lambda pop: Population((2, 1), 0), r"n_nets must be a whole number of at least 1, but it is 0"),
    (lambda pop: Population((2, 1), 3, l2=[0.1, 0.2]), "l2 has 2 numbers for 3 nets"),
    (lambda pop: Population((2, 1), 3, l2=[0.1, -0.2, 0.0]), r"l2 must be a number in \[0"),
    (lambda pop: pop.fit(XOR_X, XOR_Y, optimizer=fastmlp.SGD(np.ones(4))), "learning_rate has 4 numbers for"),
    (
        lambda pop: pop.fit(XOR_X, XOR_Y, optimizer=fastmlp.SGD([1.0, 0.0, 1.0])),
        r"learning_rate must be a number in \(0",
    ),
    (lambda pop: pop.fit(XOR_X, XOR_Y, converged="accurate"), "Did you mean 'accuracy'"),
    (
        lambda pop: pop.fit(XOR_X, XOR_Y, converged=fastmlp.Converged(0.1, restart_after=0)),
        "restart_after must be a whole number",
    ),
    (lambda pop: pop.fit(XOR_X, XOR_Y, converged="40-20-40"), "needs an output with a range"),
    (lambda pop: pop.fit(XOR_X, XOR_Y * 1.5, converged="accuracy"), "Accuracy needs classes"),
    (lambda pop: pop.fit(np.zeros((2, 4, 2)), XOR_Y), r"X with three axes must have shape \(3, n_samples, 2\)"),
    (lambda pop: pop.fit(XOR_X, XOR_Y, sample_weight=np.ones((2, 4))), r"must have shape \(4,\) or \(3, 4\)"),
    (lambda pop: pop.fit(XOR_X, XOR_Y, sample_weight=np.eye(4)[:3] * [[1], [0], [1]]), "sample of net 1 has weight 0"),
    (lambda pop: pop.predict(XOR_X, nets=[3]), "nets must hold numbers from 0 to 2"),
    (lambda pop: pop.best(), "There is no best net before fit"),
    (lambda pop: pop.net(3), "There is no net 3: the population has nets 0 to 2"),
    (lambda pop: pop.net("best"), "There is no net 'best'"),
    (lambda pop: Population((2, 1), 3, l2=scipy.stats.expon), "l2 must be a frozen distribution"),
    (lambda pop: Population((2, 1), 3, dropout=scipy.stats.uniform(-2.0, 0.5)), "dropout must be a number in"),
    (lambda pop: fastmlp.folds(10, 3, random_state=-1), "random_state must be a whole number of at least 0"),
    (lambda pop: fastmlp.bootstrap(10, 3, random_state="a"), "random_state must be a whole number"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_invalid_arguments_raise(call, message):
    with pytest.raises((ValueError, RuntimeError, IndexError), match=message):
        call(Population((2, 3, 1), 3, random_state=0))


def test_single_net_refuses_settings_per_net():
    with pytest.raises(ValueError, match="is for a Population"):
        MLP((2, 1)).fit(XOR_X, XOR_Y, optimizer=fastmlp.SGD([0.1, 0.2]))
