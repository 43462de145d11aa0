"""standardize=True: fits on standardised rows, and parameters in units before and after them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp import MLP, Checkpoint, Population
from fastmlp.data.standardization import Moments

RNG = np.random.default_rng(0)
N = 300
X = RNG.normal(size=(N, 3)) * [100.0, 5.0, 1e-3] + [2000.0, -3.0, 0.02]
Y = np.c_[300 + X[:, 0] / 7, np.sin(X[:, 1])] @ [[1.0, 0.02], [20.0, 1.0]] + [0.0, 5.0]
FIT = {"epochs": 8, "batch_size": 32}
NET = {"hidden_activation": "tanh", "dtype": "float64", "random_state": 3}


def net(sizes=(3, 6, 2), **settings):
    return MLP(sizes, standardize=True, **NET | settings)


def by_hand(X, Y, sizes=(3, 6, 2), weight=None, **fit):
    """Return the predictions in units of a net that is trained on rows scaled by scikit-learn, and its history."""
    of_x, of_y = StandardScaler().fit(X, sample_weight=weight), StandardScaler().fit(Y, sample_weight=weight)
    scaled = MLP(sizes, **NET)
    history = scaled.fit(of_x.transform(X), of_y.transform(Y), sample_weight=weight, **FIT | fit)
    return of_y.inverse_transform(scaled.predict(of_x.transform(X))), history


@pytest.mark.quick
@pytest.mark.parametrize("sizes", [(3, 6, 2), (3, 2), (3, 5, 4, 2)])
@pytest.mark.parametrize("weight", [None, np.linspace(0.0, 2.0, N)])
def test_a_fit_is_that_of_rows_scaled_by_hand(sizes, weight):
    expected, history = by_hand(X, Y, sizes, weight)
    ours = net(sizes)
    np.testing.assert_allclose(ours.fit(X, Y, sample_weight=weight, **FIT).loss, history.loss, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), expected, rtol=1e-9)


def test_rows_of_weight_0_have_no_part():
    ours, other = net(), net()
    full_batch = {"epochs": 5, "batch_size": None}
    ours.fit(X, Y, sample_weight=np.arange(N) < 100, **full_batch)
    other.fit(X[:100], Y[:100], **full_batch)
    np.testing.assert_allclose(ours.params, other.params, rtol=1e-7)


def test_float32_nets_predict_in_units():
    expected, _ = by_hand(X, Y)
    ours = net(dtype="float32")
    ours.fit(X, Y, **FIT)
    assert (np.abs(ours.predict(X) - expected) < 1e-4 * Y.std(axis=0)).all()


def test_two_fits_are_one_fit_of_as_many_epochs():
    twice, once, fit = net(), net(), {"batch_size": None, "optimizer": "sgd"}
    for _ in range(2):
        twice.fit(X, Y, epochs=5, **fit)
    once.fit(X, Y, epochs=10, **fit)
    np.testing.assert_allclose(twice.params, once.params, rtol=1e-9)


def test_classes_and_targets_of_other_outputs_stay_as_they_are():
    labels = (Y[:, 0] > Y[:, 0].mean()).astype(int)
    ours, scaled = net((3, 6, 1), loss="binary_cross_entropy"), MLP((3, 6, 1), loss="binary_cross_entropy", **NET)
    of_x = StandardScaler().fit(X)
    history = ours.fit(X, labels, **FIT)
    np.testing.assert_allclose(scaled.fit(of_x.transform(X), labels, **FIT).loss, history.loss, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), scaled.predict(of_x.transform(X)), rtol=1e-9)


def test_held_out_rows_metrics_and_callbacks_are_in_the_same_units():
    ours, seen = net(), []
    look = lambda epoch, history: seen.append(np.abs(ours.predict(X[200:]) - Y[200:]).mean())
    validation = {"validation_data": (X[200:], Y[200:]), "metrics": "absolute_error", "callbacks": [look]}
    history = ours.fit(X[:200], Y[:200], **validation, **FIT)
    np.testing.assert_allclose(history.validation_metrics["absolute_error"], seen, rtol=1e-9)
    plain = net()
    plain.fit(X[:200], Y[:200], **FIT)
    np.testing.assert_array_equal(plain.params, ours.params)  # a callback that looks changes nothing
    np.testing.assert_allclose(history.samples["validation"][0], X[200:], rtol=1e-12)


def test_a_callback_may_change_parameters():
    ours = net((3, 2))

    def set_zero(epoch, history):
        ours.params[:] = 0.0
        return True

    ours.fit(X, Y, callbacks=[set_zero], **FIT)
    np.testing.assert_allclose(ours.predict(X), 0.0, atol=1e-9)


def test_nets_of_a_population_are_those_of_single_fits():
    pop = Population((3, 6, 2), 5, standardize=True, **NET)
    nets = list(pop)
    pop.fit(X, Y, **FIT)
    for k, single in enumerate(nets):
        single.fit(X, Y, **FIT)
        np.testing.assert_allclose(pop.predict(X)[k], single.predict(X), rtol=1e-9)


@pytest.mark.parametrize("own_targets", [False, True])
def test_rows_of_their_own_have_units_of_their_own(own_targets):
    own_X = np.stack([X, X * [1.0, 3.0, 7.0] + 5.0, X[::-1] * 0.1])
    own_Y = np.stack([Y, 10 * Y, Y[::-1] - 50.0]) if own_targets else Y
    pop = Population((3, 6, 2), 3, standardize=True, **NET)
    nets = list(pop)
    pop.fit(own_X, own_Y, metrics=["absolute_error"], **FIT)
    for k, single in enumerate(nets):
        single.fit(own_X[k], own_Y[k] if own_targets else Y, **FIT)
        np.testing.assert_allclose(pop.predict(own_X)[k], single.predict(own_X[k]), rtol=1e-8)


def test_nets_that_share_validation_data_share_units():
    own_X = np.stack([X[:200], X[100:]])
    pop = Population((3, 6, 2), 2, standardize=True, **NET)
    pop.fit(own_X, np.stack([Y[:200], Y[100:]]), validation_data=(X, Y), **FIT)
    pooled, of_y = StandardScaler().fit(own_X.reshape(-1, 3)), StandardScaler().fit(np.r_[Y[:200], Y[100:]])
    other = Population((3, 6, 2), 2, **NET)
    scaled = of_y.transform(np.r_[Y[:200], Y[100:]]).reshape(2, 200, 2)
    other.fit(pooled.transform(own_X.reshape(-1, 3)).reshape(own_X.shape), scaled, **FIT)
    expected = [of_y.inverse_transform(y) for y in other.predict(pooled.transform(X))]
    np.testing.assert_allclose(pop.predict(X), expected, rtol=1e-8)


def test_rows_on_disk_are_scaled_as_those_in_memory():
    rows, targets = np.tile(X, (200, 1)), np.tile(Y, (200, 1))
    in_memory, on_disk = net(), net()
    fit = {"epochs": 1, "batch_size": 64, "shuffle": False, "metrics": ["r2"]}
    expected = in_memory.fit(rows, targets, **fit)
    batches = ((rows[k : k + 1000], targets[k : k + 1000]) for k in range(0, len(rows), 1000))
    history = on_disk.fit(batches, memory_limit=1_000_000, **fit)
    assert "memory_limit" in history.settings
    np.testing.assert_allclose(on_disk.params, in_memory.params, rtol=1e-9)
    np.testing.assert_allclose(history.metrics["r2"], expected.metrics["r2"], rtol=1e-9)


def test_resumed_fits_and_workers_give_the_same_bits(tmp_path):
    whole, resumed, path = net(), net(), tmp_path / "fit"
    whole.fit(X, Y, epochs=8)
    net().fit(X, Y, epochs=3, checkpoint=Checkpoint(path, every=1))
    resumed.fit(X, Y, epochs=8, checkpoint=Checkpoint(path, every=1, resume=True))
    np.testing.assert_array_equal(resumed.params, whole.params)
    here, there = (Population((3, 6, 2), 8, standardize=True, **NET) for _ in range(2))
    here.fit(X, Y, **FIT)
    with ThreadPoolExecutor(2) as executor:
        there.fit(X, Y, executor=executor, **FIT)
    np.testing.assert_array_equal(here.params, there.params)


def test_a_saved_net_goes_on_in_units(tmp_path):
    ours = net()
    ours.fit(X, Y, **FIT)
    ours.save(tmp_path / "net")
    loaded = fastmlp.load(tmp_path / "net")
    assert loaded.standardize
    for one in (ours, loaded):
        one.fit(X, Y, **FIT)
    np.testing.assert_array_equal(loaded.params, ours.params)


@pytest.mark.parametrize("kind", ["net", "population"])
def test_a_fit_that_does_not_begin_leaves_the_parameters(kind):
    nets = net() if kind == "net" else Population((3, 6, 2), 3, standardize=True, **NET)
    before = nets.params.copy()
    with pytest.raises(ValueError, match="needs classes"):
        nets.fit(X, Y, metrics="accuracy")
    np.testing.assert_array_equal(nets.params, before)


def test_an_error_of_a_callback_leaves_a_net_in_units():
    ours = net()
    seen = []

    def fails(epoch, history):
        seen.append(ours.predict(X))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ours.fit(X, Y, callbacks=[fails], **FIT)
    np.testing.assert_allclose(ours.predict(X), seen[0], rtol=1e-9)


def test_a_diagnosis_sees_the_rows_that_the_fit_saw():
    raw = MLP((3, 6, 2), **NET)
    ours = net()
    for one in (raw, ours):
        one.fit(X, Y, epochs=100)
    assert fastmlp.diagnose(raw).verdict == "unscaled_data"
    assert fastmlp.diagnose(ours).verdict in ("converged", "still_learning")


def test_constant_columns_are_moved_to_0():
    rows = np.full((1, 50, 2), 7.3)
    moments = Moments.of(rows, np.ones((1, 50)))
    np.testing.assert_array_equal(moments.scale, 1.0)
    np.testing.assert_allclose(moments.apply(rows, np.empty_like(rows)), 0.0, atol=1e-12)


def test_columns_that_float32_does_not_resolve_are_named():
    times = X.copy()
    times[:, 1] = 1.7e9 + np.arange(N)
    with pytest.warns(UserWarning, match=r"Column 1 of X has the mean 1.7e\+09 .*dtype='float64'"):
        net(dtype="float32").fit(times, Y, epochs=1)
