"""`Population`: each net equals an `MLP` with its seed and settings, trained alone."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
import scipy.stats
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.execution.dispatch
from fastmlp import MLP, Converged, EarlyStopping, Population
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.persistence import KEY
from fastmlp.population import subset_of

CLOSE = {"float64": 1e-11, "float32": 2e-4}  # the order of sums differs, and some steps multiply differences


def train_alone(pop, k, X, y, settings, **fit):
    """(net k trained alone as an `MLP`, its history)"""
    net = MLP(pop.network.layer_sizes, **settings, dtype=pop.dtype, random_state=int(pop.seeds[k]))
    return net, net.fit(X, y, verbose=0, **fit)


def assert_equals_single_nets(pop, result, X, y, settings, nets=(0, 3, 16, 20), **fit):
    tolerance = CLOSE[pop.dtype.name]
    for k in nets:
        net, history = train_alone(pop, k, X, y, settings, **fit)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=tolerance, atol=tolerance, err_msg=f"net {k}")
        assert result.loss[k] == pytest.approx(history.loss[-1], rel=tolerance, abs=tolerance)
        assert result.epochs[k] == history.epochs


@pytest.fixture(autouse=True)
def small_nets_train_in_lanes(monkeypatch):
    """Make dispatch choose lanes for any number of nets, so that the sizes below decide."""
    thresholds = fastmlp.execution.thresholds
    monkeypatch.setattr(thresholds, "LANES_FROM", (thresholds.LaneThreshold(4000, 1, 1, 1),))
    monkeypatch.setattr(thresholds, "EVALUATION_LANES_FROM_NETS", 1)


# a net for unrolled code, one for the loops over units, one that trains one by one
SIZES = {"unrolled": (2, 3, 1), "lanes": (2, 7, 5, 1), "one by one": (2, 80, 70, 1)}


@pytest.mark.thinned(28)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_equals_single_nets(name, sizes, dtype):
    settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "l2": 0.01}
    optimizer = OPTIMIZERS[name](weight_decay=0.02, clip_norm=0.3)
    fit = {"epochs": 7, "optimizer": optimizer}
    pop = Population(sizes, 21, **settings, dtype=dtype, random_state=5)
    result = pop.fit(XOR_X, XOR_Y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, XOR_X, XOR_Y, settings, **fit)


@pytest.mark.full
@pytest.mark.thinned(4)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("options", [{"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}])
def test_momentum_equals_single_nets(options, sizes):
    fit = {"epochs": 7, "optimizer": fastmlp.SGD(0.5, **options)}
    settings = {"hidden_activation": "sigmoid", "loss": "binary_cross_entropy"}
    pop = Population(sizes, 21, **settings, dtype="float64", random_state=5)
    result = pop.fit(XOR_X, XOR_Y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, XOR_X, XOR_Y, settings, **fit)


@pytest.mark.thinned(12)
@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 9, 6, 1), (3, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate_factors": {"biases": 0.1, 0: 3.0}},
        {"weight_decay_schedule": fastmlp.schedules.FlatCosine(0.2)},
        {"learning_rate_factors": {"weights": 0.5}, "weight_decay_schedule": "coslog4", "clip_norm": 0.1},
    ],
    ids=["rate factors", "decay schedule", "both"],
)
@pytest.mark.parametrize("schedule", [None, "cosine"])
@pytest.mark.slow
def test_rate_factors_and_decay_schedules_equal_single_nets(options, schedule, sizes, rng):
    """There are more nets than lanes: some begin when the block's clock is at a later epoch."""
    X, y, settings = rng.normal(size=(11, 3)), rng.normal(size=(11, 1)), {"hidden_activation": "tanh"}
    optimizer = fastmlp.AdamW(0.02, weight_decay=0.5, **options)
    fit = {"epochs": 9, "batch_size": 4, "shuffle": False, "optimizer": optimizer, "schedule": schedule}
    pop = Population(sizes, 37, **settings, dtype="float64", random_state=5)
    result = pop.fit(X, y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, X, y, settings, nets=(0, 18, 36), **fit)


@pytest.mark.thinned(12)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 9, 6, 2)], ids=["unrolled", "lanes"])
@pytest.mark.parametrize("row", [row for row in ACTIVATIONS if row.hidden], ids=lambda row: row.name)
@pytest.mark.slow
def test_every_activation_equals_single_nets(row, sizes, rng):
    X, y = rng.normal(size=(11, 3)), rng.normal(size=(11, 2))
    settings = {"hidden_activation": row.name}
    fit = {"epochs": 4, "optimizer": fastmlp.SGD(0.05)}
    pop = Population(sizes, 17, **settings, dtype="float64", random_state=1)
    result = pop.fit(X, y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, X, y, settings, nets=(0, 16), **fit)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 9, 6, 2)], ids=["unrolled", "lanes"])
@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
def test_every_loss_equals_single_nets(row, sizes, rng):
    X, y = rng.normal(size=(11, 3)), rng.integers(0, 2, size=(11, 2)).astype(float)
    if row.name == "softmax_cross_entropy":
        y[:, 1] = 1 - y[:, 0]
    settings = {"loss": row.name, "hidden_activation": "tanh"}
    fit = {"epochs": 4, "optimizer": fastmlp.SGD(0.05)}
    pop = Population(sizes, 17, **settings, dtype="float64", random_state=1)
    result = pop.fit(X, y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, X, y, settings, nets=(0, 16), **fit)
    figures = pop.net(16).evaluate(X, y)
    for name, values in pop.evaluate(X, y).items():
        assert values[16] == pytest.approx(figures[name], rel=1e-9)
    np.testing.assert_allclose(pop.predict(X)[16], pop.net(16).predict(X), rtol=1e-9, atol=1e-12)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 9, 6, 1), (3, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("batch_size", [1, 5, 16])
@pytest.mark.slow
def test_each_net_shuffles_its_batches_by_its_own_seed(batch_size, sizes, rng):
    X, y = rng.normal(size=(33, 3)), rng.normal(size=(33, 1))
    fit = {"epochs": 3, "batch_size": batch_size, "optimizer": fastmlp.Adam(0.01), "schedule": "cosine"}
    pop = Population(sizes, 18, dtype="float64", random_state=2)
    result = pop.fit(X, y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, X, y, {}, nets=(0, 17), **fit)


@pytest.mark.parametrize("sizes", [(3, 9, 6, 1), (3, 80, 70, 1)], ids=["lanes", "one by one"])
@pytest.mark.parametrize("activation, schedule", [("tanh", None), ("silu", None), ("tanh", "flat_cosine")])
def test_each_net_draws_its_own_dropout_masks(activation, schedule, sizes, rng):
    X, y = rng.normal(size=(23, 3)), rng.normal(size=(23, 1))
    fit = {"epochs": 3, "batch_size": 9, "optimizer": fastmlp.SGD(0.01), "dropout_schedule": schedule}
    settings = {"dropout": 0.4, "hidden_activation": activation}
    pop = Population(sizes, 18, **settings, dtype="float64", random_state=2)
    result = pop.fit(X, y, verbose=0, **fit)
    assert_equals_single_nets(pop, result, X, y, settings, nets=(0, 17), **fit)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.slow
def test_settings_per_net_equal_single_nets(sizes):
    n = 19
    rates, l2, scale = np.linspace(0.01, 1.0, n), np.linspace(0.0, 0.1, n), np.linspace(0.5, 2.0, n)
    pop = Population(sizes, n, hidden_activation="tanh", l2=l2, init_scale=scale, dtype="float64", random_state=3)
    result = pop.fit(XOR_X, XOR_Y, epochs=9, optimizer=fastmlp.SGD(rates, momentum=np.linspace(0, 0.9, n)), verbose=0)
    for k in (0, 7, 18):
        settings = {"hidden_activation": "tanh", "l2": l2[k], "init_scale": scale[k]}
        optimizer = fastmlp.SGD(rates[k], momentum=np.linspace(0, 0.9, n)[k])
        net, history = train_alone(pop, k, XOR_X, XOR_Y, settings, epochs=9, optimizer=optimizer)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-11, atol=1e-11)
        assert result.loss[k] == pytest.approx(history.loss[-1])
    np.testing.assert_array_equal(result.settings["learning_rate"], rates)


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 80, 70, 1)], ids=["lanes", "one by one"])
def test_dropout_rate_per_net_equals_single_nets(sizes, rng):
    X, y, rates = rng.normal(size=(8, 2)), rng.normal(size=8), np.linspace(0.0, 0.8, 17)
    pop = Population(sizes, 17, dropout=rates, dtype="float64", random_state=3)
    pop.fit(X, y, epochs=5, optimizer=fastmlp.SGD(0.01), verbose=0)
    for k in (0, 3, 16):
        net, _ = train_alone(pop, k, X, y, {"dropout": rates[k]}, epochs=5, optimizer=fastmlp.SGD(0.01))
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-11, atol=1e-11)


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


@pytest.mark.thinned(2)
@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 9, 6, 1), (3, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.slow
def test_sample_weight_per_net_equals_single_nets(batch_size, sizes, rng):
    X, y, weights = rng.normal(size=(12, 3)), rng.normal(size=12), fastmlp.bootstrap(12, 18)
    fit = {"epochs": 4, "batch_size": batch_size, "optimizer": fastmlp.SGD(0.01)}
    pop = Population(sizes, 18, dtype="float64", random_state=2)
    pop.fit(X, y, sample_weight=weights, verbose=0, **fit)
    losses = pop.evaluate(X, y, sample_weight=weights)["loss"]
    for k in (0, 17):
        net, _ = train_alone(pop, k, X, y, {}, sample_weight=weights[k], **fit)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-11, atol=1e-11)
        assert losses[k] == pytest.approx(net.evaluate(X, y, sample_weight=weights[k])["loss"])


@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 9, 6, 1), (3, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("own_y", [False, True])
def test_samples_per_net_equal_single_nets(own_y, sizes, rng):
    X, y = rng.normal(size=(18, 12, 3)), rng.normal(size=(18, 12) if own_y else 12)
    fit = {"epochs": 4, "optimizer": fastmlp.SGD(0.01)}
    pop = Population(sizes, 18, dtype="float64", random_state=2)
    pop.fit(X, y, verbose=0, **fit)
    losses, outputs = pop.evaluate(X, y)["loss"], pop.predict(X)
    for k in (0, 17):
        net, _ = train_alone(pop, k, X[k], y[k] if own_y else y, {}, **fit)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-11, atol=1e-11)
        assert losses[k] == pytest.approx(net.evaluate(X[k], y[k] if own_y else y)["loss"])
        np.testing.assert_allclose(outputs[k], net.predict(X[k]), rtol=1e-10)


@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 9, 6, 1), (3, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("monitor", [None, "loss", "validation_accuracy", "accuracy"])
@pytest.mark.thinned(8)
@pytest.mark.slow
def test_early_stopping_equals_single_nets(monitor, sizes, rng):
    X, X_new = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
    y, y_new = ((x[:, 0] * x[:, 1] > 0).astype(int) for x in (X, X_new))
    settings = {"loss": "binary_cross_entropy", "hidden_activation": "tanh"}
    fit = {
        "epochs": 60,
        "optimizer": fastmlp.Adam(0.1),
        "validation_data": (X_new, y_new),
        "early_stopping": EarlyStopping(patience=4, monitor=monitor),
    }
    pop = Population(sizes, 18, **settings, dtype="float64", random_state=2)
    result = pop.fit(X, y, verbose=0, **fit)
    if monitor != "loss":
        assert len(set(result.epochs)) > 1, "nets should stop at different times"
    for k in (0, 5, 17):
        net, history = train_alone(pop, k, X, y, settings, **fit)
        assert (result.epochs[k], result.best_epoch[k]) == (history.epochs, history.best_epoch)
        assert result.best_value[k] == pytest.approx(history.record(monitor or "validation_loss")[history.best_epoch])
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 9, 6, 1), (2, 80, 70, 1)], ids=["unrolled", "lanes", "one by one"])
@pytest.mark.parametrize("rule", [0.1, "accuracy", "40-20-40", Converged(accuracy=0.75)])
@pytest.mark.thinned(8)
@pytest.mark.slow
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
    _, history = train_alone(pop, k, XOR_X, XOR_Y, settings, epochs=int(result.epochs[k]), optimizer=fastmlp.Rprop())
    if rule == 0.1:
        assert history.loss[-1] <= 0.1
        assert (history.loss[:-1] > 0.1).all()


@pytest.mark.full
@pytest.mark.thinned(6)
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
        fastmlp.AdamW(0.02, weight_decay=np.array([0.0, 0.1]), weight_decay_schedule="flat_cosine"),
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


def test_fit_continues_training_and_reset_restores_the_start():
    pop = Population((2, 4, 1), 20, random_state=1)
    start = pop.params.copy()
    first = pop.fit(XOR_X, XOR_Y, epochs=20, verbose=0)
    second = pop.fit(XOR_X, XOR_Y, epochs=20, verbose=0)
    assert (second.loss < first.loss).mean() > 0.9
    np.testing.assert_array_equal(pop.reset().params, start)


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


@pytest.mark.parametrize("name, value", [("dropout", 1.0), ("l2", -0.1), ("init_scale", np.nan)])
def test_loading_settings_out_of_range_raises(name, value, tmp_path):
    path = tmp_path / "pop.safetensors"
    Population((2, 3, 1), 4).save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, no mapping
    safetensors.numpy.save_file(arrays | {name: np.array([value])}, path, metadata)
    with pytest.raises(ValueError, match="its checksum does not match"):
        fastmlp.load(path)
    description = json.loads(metadata[KEY])
    del description["checksum"], description["version"]  # as in files of the first versions
    safetensors.numpy.save_file(arrays | {name: np.array([value])}, path, {KEY: json.dumps(description)})
    with pytest.raises(ValueError, match=f"{name} must be a number in"):
        fastmlp.load(path)


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
    weights = np.arange(12.0)
    np.testing.assert_allclose(pop.ensemble_predict(X, weights=weights), np.average(outputs, axis=0, weights=weights))
    chosen = pop.greedy_weights(X, y, rounds=20)
    error = lambda prediction: np.mean((prediction[:, 0] - y) ** 2)
    assert chosen.sum() == 20
    assert error(pop.ensemble_predict(X, weights=chosen)) <= error(outputs[result.best]) + 1e-12
    with pytest.raises(ValueError, match="weights must be"):
        pop.ensemble_predict(X, weights=np.zeros(12))


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
    (lambda pop: pop.fit(XOR_X, XOR_Y, restart_after=5), "restart_after needs converged"),
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
