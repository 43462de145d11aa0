"""`MLP`: accepted inputs, parameters as views, and equivalent ways to train. Errors: properties/test_bad_inputs.py."""

import copy
import pickle

import kernel_families
import numpy as np
import pytest
from tolerances import TOLERANCES

import fastmlp
from fastmlp import MLP, SGD
from fastmlp.kernels.jit.call import CHECK_TYPES

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.random.default_rng(1).normal(size=(12, 2))
LABELS = np.arange(12) % 3


def regressor(**settings):
    return MLP((3, 5, 2), **{"hidden_activation": "tanh", "random_state": 0} | settings)


def classifier(**settings):
    return MLP(
        (3, 5, 3), **{"hidden_activation": "tanh", "loss": "softmax_cross_entropy", "random_state": 0} | settings
    )


def trained(net, X=X, y=Y, **settings):
    net.fit(X, y, **{"epochs": 5, "batch_size": 5, "verbose": 0} | settings)
    return net


# ---- inputs of every kind

KINDS = {
    "list": lambda a: a.tolist(),
    "float16": lambda a: a.astype(np.float16),
    "float64": lambda a: a.astype(np.float64),
    "Fortran order": np.asfortranarray,
    "every other": lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "pandas": lambda a: pytest.importorskip("pandas").DataFrame(a),
}


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("kind", KINDS)
def test_input_layout_and_dtype_change_no_bit(kind, dtype):
    """Equal numbers in any memory layout give equal bits, from the same compiled kernels."""
    numbers = X.astype(np.float16).astype(np.float32), Y.astype(np.float16).astype(np.float32)
    assert CHECK_TYPES, "with it, a kernel refuses arrays of another memory layout"
    expected = trained(regressor(dtype=dtype), *numbers)
    given = [KINDS[kind](values) for values in numbers]
    net = trained(regressor(dtype=dtype), *given)
    np.testing.assert_array_equal(net.params, expected.params)
    np.testing.assert_array_equal(net.predict(given[0]), expected.predict(numbers[0]))
    assert net.evaluate(*given) == expected.evaluate(*numbers)
    assert net.predict(given[0]).dtype == dtype


def test_integer_inputs_train_as_floats():
    whole = np.arange(36).reshape(12, 3) % 5
    expected = trained(classifier(), whole.astype(np.float32), LABELS)
    for dtype in (np.int8, np.uint16, np.int64):
        np.testing.assert_array_equal(
            trained(classifier(), whole.astype(dtype), LABELS.astype(dtype)).params, expected.params
        )


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_fit_and_predict_do_not_modify_their_inputs(dtype):
    given = X.astype(dtype), Y.astype(dtype), np.linspace(1, 2, 12)
    kept = [values.copy() for values in given]
    net = trained(regressor(dtype=dtype, dropout=0.3), *given[:2], sample_weight=given[2], validation_fraction=0.2)
    net.predict(given[0]), net.evaluate(*given[:2]), net.loss_and_gradient(*given[:2])
    for values, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_targets_of_one_output_may_be_one_dimensional():
    nets = [trained(MLP((3, 4, 1), random_state=0), X, y) for y in (Y[:, 0], Y[:, :1], Y[:, 0].tolist())]
    assert len({net.params.tobytes() for net in nets}) == 1


def test_labels_and_one_hot_targets_train_the_same_net():
    nets = [trained(classifier(), X, y) for y in (LABELS, np.eye(3)[LABELS], LABELS[:, None], LABELS.astype(float))]
    assert len({net.params.tobytes() for net in nets}) == 1


# ---- parameters


def test_weights_and_biases_are_views_of_params():
    net = regressor()
    net.weights[0][:] = 0.0
    net.biases[0][:] = 0.0
    net.weights[1][:] = 0.0
    net.biases[1][:] = [1.5, -2.0]
    np.testing.assert_array_equal(net.predict(X), np.tile([1.5, -2.0], (12, 1)))
    assert np.flatnonzero(net.params).tolist() == [len(net.params) - 2, len(net.params) - 1]
    net.params = np.zeros(len(net.params))
    assert not net.predict(X).any()


def test_params_are_in_the_documented_order():
    net = regressor()
    net.params[:] = np.arange(len(net.params))
    assert net.weights[0].tolist() == np.arange(15).reshape(3, 5).tolist()
    assert net.biases[0].tolist() == [15, 16, 17, 18, 19]
    assert net.weights[1].tolist() == np.arange(20, 30).reshape(5, 2).tolist()
    assert net.biases[1].tolist() == [30, 31]


def test_fit_updates_params_in_place():
    net = regressor()
    params, weight = net.params, net.weights[0]
    before = params.copy()
    trained(net)
    assert net.params is params
    assert not np.array_equal(params, before)
    np.testing.assert_array_equal(weight.reshape(-1), params[:15])


@pytest.mark.parametrize("duplicate", (copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))))
def test_copies_own_their_parameters(duplicate):
    net = trained(classifier(random_state=4), y=LABELS)
    kept, twin = net.params.copy(), duplicate(net)
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    again = trained(net, y=LABELS).params
    np.testing.assert_array_equal(trained(twin, y=LABELS).params, again)  # the second fit of both
    twin.params = kept
    np.testing.assert_array_equal(twin.weights[0].ravel(), kept[:15])
    np.testing.assert_array_equal(net.params, again)
    twin.params[:] = 0.0
    np.testing.assert_allclose(twin.predict(X), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "refused",
    [
        {"optimizer": fastmlp.Adam(learning_rate=np.array([0.1, 0.2]))},
        {"optimizer": fastmlp.Adam(learning_rate_factors={9: 0.1})},
        {"optimizer": "rprop", "optimizer_state": "used"},
    ],
    ids=["several rates", "no such layer", "another rule's state"],
)
def test_a_refused_fit_leaves_the_net_as_it_was(refused, rng):
    X, y, net, told = rng.normal(size=(20, 2)), rng.normal(size=20), fastmlp.MLP((2, 3, 1), random_state=0), []
    state, callback = fastmlp.OptimizerState(), lambda epoch, history: None
    history = net.fit(X, y, epochs=2, batch_size=8, optimizer_state=state, verbose=0)
    before = net.params.copy()
    callback.fit_ended = told.append
    refused = {name: state if value == "used" else value for name, value in refused.items()}
    with pytest.raises(ValueError):
        net.fit(X, y, epochs=2, batch_size=8, callbacks=[callback], verbose=0, **refused)
    assert (net.fits, net.history, told) == (1, history, [])
    np.testing.assert_array_equal(net.params, before)


def test_reset_restores_the_initial_parameters():
    net = regressor()
    first = net.params.copy()
    after = trained(net).params.copy()
    assert net.reset() is net
    np.testing.assert_array_equal(net.params, first)
    np.testing.assert_array_equal(trained(net).params, after)


def test_fit_twice_equals_one_longer_fit():
    """Gradient descent without momentum has no state: two fits of five epochs equal one of ten."""
    settings = {"optimizer": SGD(0.05), "batch_size": None}
    twice = trained(trained(regressor(), **settings), **settings)
    np.testing.assert_array_equal(twice.params, trained(regressor(), epochs=10, **settings).params)


def test_second_fit_shuffles_differently():
    first, second = regressor(), regressor()
    trained(second)
    second.params[:] = first.params
    assert not np.array_equal(trained(first).params, trained(second).params)


# ---- same seed, same bits


@pytest.mark.parametrize("family", kernel_families.FAMILIES)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_same_random_state_gives_the_same_bits(family, dtype, monkeypatch):
    kernel_families.use(family, monkeypatch)
    histories = []
    nets = [regressor(dtype=dtype, random_state=seed) for seed in (5, 5, 6)]
    for net in nets:
        histories.append(net.fit(X, Y, epochs=7, batch_size=5, validation_fraction=0.3, verbose=0))
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    np.testing.assert_array_equal(histories[0].loss, histories[1].loss)
    np.testing.assert_array_equal(histories[0].validation_loss, histories[1].validation_loss)
    assert not np.array_equal(nets[0].params, nets[2].params)


def test_random_state_may_be_a_generator():
    for make in (np.random.default_rng, np.random.RandomState):
        one, two = make(3), make(3)
        first = MLP((3, 5, 2), random_state=one)
        np.testing.assert_array_equal(first.params, MLP((3, 5, 2), random_state=two).params)
        assert not np.array_equal(first.params, MLP((3, 5, 2), random_state=one).params), "the generator moves on"


def test_global_numpy_random_state_is_unchanged():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    trained(regressor(random_state=None, dropout=0.2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


# ---- shapes at the edges


@pytest.mark.parametrize("family", kernel_families.FAMILIES)
@pytest.mark.parametrize(
    "sizes, n, batch_size",
    [((1, 1), 1, None), ((1, 1, 1), 5, 2), ((3, 2), 7, 3), ((2, 1, 2), 1, 1), ((2, 3, 1), 5, 100)],
)
def test_smallest_shapes_can_be_trained(family, sizes, n, batch_size, monkeypatch, rng):
    """One sample, one unit, no hidden layer, batches that do not divide the data or exceed it."""
    kernel_families.use(family, monkeypatch)
    net = MLP(sizes, hidden_activation="tanh", random_state=1)
    x, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
    before = net.evaluate(x, y)["loss"]
    history = net.fit(x, y, epochs=200, batch_size=batch_size, optimizer=SGD(0.02), verbose=0)
    assert history.epochs == 200
    assert net.evaluate(x, y)["loss"] < before
    assert net.predict(x).shape == (n, sizes[-1])
    assert net.predict(x[:1]).shape == (1, sizes[-1])


def test_no_hidden_layer_solves_least_squares(rng):
    x = rng.normal(size=(50, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.25
    net = MLP((3, 1), dtype="float64", random_state=0)
    net.fit(x, y, epochs=500, optimizer="rprop", verbose=0)
    np.testing.assert_allclose(net.params, [1.0, -2.0, 0.5, 0.25], atol=1e-4)


# ---- predictions


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_permuting_hidden_units_keeps_the_outputs(family, dtype, monkeypatch):
    kernel_families.use(family, monkeypatch)
    net = MLP((3, 6, 5, 2), dtype=dtype, random_state=3)
    before = net.predict(X)
    for k in range(2):
        order = np.random.default_rng(k).permutation(net.weights[k].shape[1])
        net.weights[k][:] = net.weights[k][:, order]
        net.biases[k][:] = net.biases[k][order]
        net.weights[k + 1][:] = net.weights[k + 1][order]
    tolerance = TOLERANCES["value", dtype]
    np.testing.assert_allclose(net.predict(X), before, rtol=tolerance, atol=tolerance)


def test_predict_classes_thresholds_or_takes_the_argmax():
    net = classifier()
    np.testing.assert_array_equal(net.predict_classes(X), net.predict(X).argmax(axis=1))
    for loss, output, middle in (
        ("binary_cross_entropy", None, 0.5),
        ("squared_error", "tanh", 0.0),
        ("squared_error", "symmetric_sigmoid", 0.0),
        ("squared_error", "identity", 0.5),
    ):
        one = MLP((1, 1), loss=loss, output_activation=output)
        one.params = [1.0, 0.0]
        z = np.linspace(-2, 2, 18)[:, None]
        np.testing.assert_array_equal(one.predict_classes(z), one.predict(z)[:, 0] > middle)
        assert one.predict_classes(z).sum() == (9 if output != "identity" else 7)


def test_evaluate_returns_loss_and_accuracy():
    net = classifier(dtype="float64")
    p = net.predict(X)
    figures = net.evaluate(X, LABELS)
    assert figures["accuracy"] == (p.argmax(axis=1) == LABELS).mean()
    losses = -np.log(p[np.arange(12), LABELS])
    assert figures["loss"] == pytest.approx(losses.mean(), rel=1e-12)
    weight = np.linspace(0, 1, 12)
    weighted = net.evaluate(X, LABELS, sample_weight=weight)
    assert weighted["loss"] == pytest.approx(np.average(losses, weights=weight), rel=1e-12)
    assert list(regressor().evaluate(X, Y)) == ["loss"]


# ---- weights, smoothing


@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_integer_sample_weights_equal_repeated_samples(family, monkeypatch):
    kernel_families.use(family, monkeypatch)
    repeats = np.array([1, 3, 0, 2, 1, 1, 5, 0, 1, 2, 1, 1])
    settings = {"batch_size": None, "optimizer": SGD(0.1, momentum=0.5), "epochs": 20}
    weighted = trained(regressor(dtype="float64"), sample_weight=repeats, **settings)
    repeated = trained(
        regressor(dtype="float64"), np.repeat(X, repeats, axis=0), np.repeat(Y, repeats, axis=0), **settings
    )
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-10, atol=1e-12)


def test_class_weight_equals_the_corresponding_sample_weight():
    y = np.array([0] * 8 + [1] * 3 + [2])
    by_sample = np.where(y == 0, 1 / 8, np.where(y == 1, 1 / 3, 1.0))
    for class_weight in ("balanced", {0: 1 / 8, 1: 1 / 3, 2: 1.0}):
        nets = [
            trained(classifier(dtype="float64"), X, y, **weights)
            for weights in ({"class_weight": class_weight}, {"sample_weight": by_sample})
        ]
        np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-12)
    assert not np.allclose(nets[0].params, trained(classifier(dtype="float64"), X, y).params)


def test_label_smoothing_equals_training_on_smoothed_targets():
    smooth = np.eye(3)[LABELS] * 0.7 + 0.1
    one = trained(classifier(dtype="float64", label_smoothing=0.3), X, LABELS)
    np.testing.assert_allclose(one.params, trained(classifier(dtype="float64"), X, smooth).params, rtol=1e-12)
    assert one.evaluate(X, LABELS)["accuracy"] == (one.predict_classes(X) == LABELS).mean()


def test_get_settings_rebuilds_the_net():
    net = MLP(
        (3, 5, 4, 2), hidden_activation=("tanh", "elu"), loss="huber", huber_delta=2.0, dropout=(0.1, 0.0), l2=0.5
    )
    assert "(3, 5, 4, 2)" in repr(net)
    assert "loss='huber'" in repr(net)
    settings = net.get_settings()
    assert MLP(**settings, random_state=0).get_settings() == settings
    assert settings["hidden_activation"] == ["tanh", "elu"]
    assert settings["huber_delta"] == 2.0


# ---- solvers


def test_objective_returns_loss_and_gradient_at_the_given_parameters():
    net, other = regressor(dtype="float64", l2=0.1), regressor(dtype="float64", l2=0.1, random_state=5)
    objective = net.objective(X, Y)
    loss, gradient = objective(other.params)
    np.testing.assert_array_equal(net.params, other.params)
    expected_loss, expected = other.loss_and_gradient(X, Y)
    assert loss == expected_loss
    np.testing.assert_array_equal(gradient, expected)
    assert objective(other.params)[0] == loss, "a second call gives another loss"
