"""Fits of one net: records, validation, shuffling, early stopping, callbacks and interruption."""

import inspect

import numpy as np
import pytest
import reference_optimizers
from reference_net import ReferenceMLP
from reference_random import epoch_order

import fastmlp.fit.hooks.steps_and_threads
import fastmlp.fit.loop
from fastmlp import MLP, SGD, EarlyStopping
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.cpu.single_net.training_loop import PREFETCHED_FROM, PREFETCHED_UP_TO

TRAIN = backend.train
RNG = np.random.default_rng(3)
X = RNG.normal(size=(20, 3))
Y = np.tanh(X @ RNG.normal(size=(3, 2)))
LABELS = (X[:, 0] > 0).astype(int)


def make(**settings):
    return MLP((3, 6, 2), **{"hidden_activation": "tanh", "random_state": 0, "dtype": "float64"} | settings)


def classifier(**settings):
    return MLP((3, 6, 1), **{"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 0} | settings)


def arguments_of_train(arguments):
    """The arguments of backend.train by name."""
    return inspect.signature(TRAIN).bind(*arguments).arguments


@pytest.fixture
def calls(monkeypatch):
    """The list of arguments of all calls of a training kernel, by name."""
    found = []

    def recorded(*arguments):
        found.append(arguments_of_train(arguments))
        TRAIN(*arguments)

    monkeypatch.setattr(backend, "train", recorded)
    return found


# ---- records


def test_recorded_loss_is_the_mean_before_each_update():
    net = make()
    before = net.evaluate(X, Y)["loss"]
    history = net.fit(X, Y, epochs=3, verbose=0)
    assert history.loss[0] == pytest.approx(before, rel=1e-12)
    assert history.loss.shape == (3,)
    assert history.accuracy is None
    assert history.validation_loss is None
    assert history.stopped_by == "epochs"
    assert history.best_epoch is None
    assert history.net is net
    assert history.seconds > 0


@pytest.mark.parametrize("loss, y, k", [("binary_cross_entropy", LABELS, 1), ("softmax_cross_entropy", LABELS, 2)])
@pytest.mark.parametrize("batch_size", (None, 1, 7))
def test_accuracy_and_loss_are_independent_of_the_batch_size(loss, y, k, batch_size):
    """With a learning rate too small to change a parameter, an epoch's records are those of the net."""
    net = MLP((3, 5, k), loss=loss, random_state=4)
    history = net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=SGD(1e-30), verbose=0)
    figures = net.evaluate(X, y)
    assert history.accuracy == pytest.approx([figures["accuracy"]] * 2)
    assert history.loss == pytest.approx([figures["loss"]] * 2, rel=1e-5)


def test_validation_is_measured_after_each_epoch():
    net, seen = make(), []
    history = net.fit(
        X[:15],
        Y[:15],
        epochs=4,
        validation_data=(X[15:], Y[15:]),
        verbose=0,
        callbacks=[lambda epoch, history: seen.append(net.evaluate(X[15:], Y[15:])["loss"])],
    )
    np.testing.assert_allclose(history.validation_loss, seen, rtol=1e-12)
    assert history.validation_accuracy is None


def test_validation_changes_no_bit_of_training():
    plain, validated = make(), make()
    plain.fit(X[:15], Y[:15], epochs=9, batch_size=4, verbose=0)
    validated.fit(X[:15], Y[:15], epochs=9, batch_size=4, validation_data=(X[15:], Y[15:]), verbose=0)
    np.testing.assert_array_equal(plain.params, validated.params)


@pytest.mark.parametrize("share, n", [(0.25, 5), (0.01, 1), (0.99, 19), (0.5, 10)])
def test_validation_fraction_partitions_the_data(share, n):
    """Every sample is either in the training part or in the validation part."""
    parts = []
    history = make().fit(
        X, Y, epochs=1, validation_fraction=share, metrics=lambda y, p: parts.append(y) or 0.0, verbose=0
    )
    assert history.settings["n_validation"] == n
    assert sorted(len(part) for part in parts) == sorted([20 - n, n])
    together = np.concatenate(parts)
    np.testing.assert_array_equal(together[together[:, 0].argsort()], Y[Y[:, 0].argsort()])


# ---- shuffling


def orders_of_epochs(epochs, shuffle, n=8):
    """The order in which a fit saw its samples, per epoch, read from its parameters.

    Sample k is the k-th unit vector and its target 1, so that an epoch moves weight k once, by a multiple of
    1 - w - b. The bias grows with every step: the later a sample came, the less its weight has moved.
    """
    net = MLP((n, 1), init="zeros", dtype="float64", random_state=1)
    path = [net.params.copy()]
    net.fit(
        np.eye(n),
        np.ones(n),
        epochs=epochs,
        batch_size=1,
        optimizer=SGD(1e-3),
        shuffle=shuffle,
        verbose=0,
        callbacks=[lambda *_: path.append(net.params.copy())],
    )
    moved = np.diff(path, axis=0)[:, :n]
    assert (moved > 0).all(), "every sample is seen in every epoch"
    return [tuple(order) for order in np.argsort(-moved, axis=1)]


def test_shuffle_gives_each_epoch_another_order():
    assert len(set(orders_of_epochs(12, shuffle=True))) == 12
    assert set(orders_of_epochs(1, shuffle=False)) == {tuple(range(8))}


@pytest.mark.parametrize("hidden", (6, 40))
@pytest.mark.parametrize("batch_size", (100, 1200))
@pytest.mark.parametrize("shuffle", (False, True))
def test_data_larger_than_the_cache_match_the_reference(hidden, batch_size, shuffle, calls):
    """Inputs of the next shuffled batch are prefetched; the last batch has fewer rows and no successor."""
    X = np.random.default_rng(0).normal(size=(6941, 30))
    Y = np.tanh(X[:, :2])
    assert X.size > PREFETCHED_FROM
    assert 100 * 30 <= PREFETCHED_UP_TO < 1200 * 30
    net = MLP((30, hidden, 2), hidden_activation="tanh", dtype="float64", random_state=0)
    reference = ReferenceMLP((30, hidden, 2), ("tanh", "identity"), "squared_error", net.params)
    net.fit(X, Y, epochs=2, batch_size=batch_size, optimizer=SGD(0.1), shuffle=shuffle, verbose=0)
    for epoch in range(2):
        order = epoch_order(len(X), calls[0]["config"].seed, epoch) if shuffle else np.arange(len(X))
        reference_optimizers.train(
            reference, X[order], Y[order], "SGD", {"learning_rate": 0.1}, epochs=1, batch_size=batch_size
        )
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10, atol=1e-12)


def test_length_of_kernel_calls_changes_no_bit(calls, monkeypatch):
    """Few long calls, many short calls, and a call per epoch give the same bits, and every step runs once."""
    nets = []
    for first_call, callbacks in ((1e12, ()), (1, ()), (1e12, [lambda *_: None])):
        calls.clear()
        monkeypatch.setattr(fastmlp.fit.one_net, "FIRST_CALL", first_call)
        nets.append(make(dropout=0.2))
        nets[-1].fit(X, Y, epochs=40, batch_size=7, optimizer="adam", schedule="cosine", callbacks=callbacks, verbose=0)
        steps = np.concatenate([np.arange(call["first"], call["first"] + call["n"]) for call in calls])
        np.testing.assert_array_equal(steps, np.arange(120))
        factors = np.concatenate([call["config"].factors for call in calls])
        np.testing.assert_allclose(factors, 0.5 * (1 + np.cos(np.pi * np.arange(120) / 120)))
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params, nets[0].params)


# ---- early stopping


@pytest.mark.parametrize("patience", [4, 1000])
def test_early_stopping_restores_the_best_parameters(patience):
    """At a high learning rate the validation loss falls, then rises: the parameters of the best epoch are restored."""
    net, params = make(), []
    history = net.fit(
        X,
        Y,
        epochs=30,
        batch_size=4,
        optimizer=SGD(0.2, momentum=0.9),
        validation_data=(X[::3], -Y[::3]),
        early_stopping=patience,
        callbacks=[lambda *_: params.append(net.params.copy())],
        verbose=0,
    )
    assert history.best_epoch == np.argmin(history.validation_loss)
    ended = ("early_stopping", history.best_epoch + 5) if patience == 4 else ("epochs", 30)
    assert (history.stopped_by, history.epochs) == ended
    np.testing.assert_array_equal(net.params, params[history.best_epoch])
    assert net.evaluate(X[::3], -Y[::3])["loss"] == pytest.approx(history.validation_loss.min(), rel=1e-12)


def test_early_stopping_on_the_loss_restores_the_best_parameters():
    """With a full batch, an epoch's loss belongs to the parameters before its step, which are to be restored."""
    net = make()
    history = net.fit(X, Y, epochs=100, optimizer=SGD(1.5, momentum=0.5), early_stopping=5, verbose=0)
    assert history.loss[-1] > 1.1 * history.loss.min(), "the loss must rise again for this test"
    assert net.evaluate(X, Y)["loss"] == pytest.approx(history.loss.min(), rel=1e-9)


@pytest.mark.parametrize("monitor", ("validation_loss", "validation_accuracy", "accuracy"))
def test_monitoring_a_missing_record_raises(monitor):
    with pytest.raises(ValueError, match=f"There is no {monitor} to monitor"):
        make().fit(X, Y, epochs=2, early_stopping=EarlyStopping(monitor=monitor), verbose=0)


# ---- callbacks and interruption


def test_callbacks_are_called_every_epoch_and_can_stop_the_fit():
    net, seen = make(), []

    def stop_at_three(epoch, history):
        seen.append((epoch, history.epochs, history.net is net, net.params.copy()))
        return epoch == 3

    history = net.fit(X, Y, epochs=50, batch_size=6, callbacks=[lambda *_: False, stop_at_three], verbose=0)
    assert [row[:3] for row in seen] == [(k, k + 1, True) for k in range(4)]
    assert (history.stopped_by, history.epochs) == ("callback", 4)
    np.testing.assert_array_equal(net.params, seen[-1][3])
    assert not np.array_equal(seen[0][3], seen[1][3])


@pytest.mark.parametrize(
    "answers, n_epochs", [(("no", 1, None), 3), ((np.True_,), 1), ((True, None), 1)], ids=["others", "numpy", "first"]
)
def test_true_from_a_callback_stops_after_all_callbacks(answers, n_epochs):
    seen, makes = [], lambda answer: lambda epoch, history: seen.append(answer) or answer
    history = make().fit(X, Y, epochs=3, callbacks=[makes(answer) for answer in answers], verbose=0)
    assert history.epochs == n_epochs
    assert seen == [*answers] * n_epochs


def test_exception_in_a_callback_propagates():
    def broken(epoch, history):
        raise ZeroDivisionError("mine")

    net = make()
    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, Y, epochs=5, callbacks=[broken], verbose=0)
    assert (net.history.stopped_by, net.history.epochs) == ("error", 1)
