"""Records of a fit: shapes of loss curves, and the loss that records show."""

from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.diagnosis.loss_curves import MIN_RECORDS, Curve, as_curve, shape_of


def shape(loss, base=1.0, noise=0.0, **more):
    """The shape of the loss curve of a net, or of nets (n_records, n_nets), as numbers or arrays by name."""
    loss = np.asarray(loss, float)
    columns = loss[:, None] if loss.ndim == 1 else loss
    curve = Curve(np.arange(1, len(loss) + 1), columns, **more)
    found = shape_of(curve, np.full(columns.shape[1], base), noise)
    return SimpleNamespace(**{name: value[0] if loss.ndim == 1 else value for name, value in found.items()})


def test_geometric_fall_is_projected():
    """0.2 + 0.8 exp(-t / 100): 200 epochs determine the limit, and the epoch at 5 % above it."""
    t = np.arange(1, 201)
    found = shape(0.2 + 0.8 * np.exp(-t / 100))
    assert found.projected_loss == pytest.approx(0.2, abs=0.01)
    assert found.projected == pytest.approx(100 * np.log(0.8 / (0.05 * 0.2)) - 200, rel=0.1)
    assert (found.trend, found.back_and_forth) == pytest.approx((-1, 1))


def test_dropout_noise_is_not_counted_as_swings():
    """Swings within the known noise of a constant curve do not count; larger swings do."""
    records = 0.6 + 0.1 * np.random.default_rng(0).normal(size=400)
    found = shape(records)
    assert found.swing > 0.15
    assert found.back_and_forth > 10
    calm = shape(records, noise=0.1)
    assert (calm.swing, calm.back_and_forth, calm.change) == (0, 1, 0)
    assert calm.last_record == pytest.approx(0.6, abs=0.07)
    assert calm.lowest_record > 0.5 > found.lowest_record
    assert shape(records + 0.3 * (-1.0) ** np.arange(400), noise=0.1).swing > 0.4
    assert shape(records + np.linspace(2, 0, 400), noise=0.1).change == pytest.approx(0.5 / 0.85, abs=0.15)
    both = shape(np.column_stack([records, records]), noise=np.array([0.0, 0.1]))
    assert both.swing == pytest.approx([found.swing, 0])


def test_short_and_missing_curves_give_nan():
    found = shape(np.linspace(1, 0.5, MIN_RECORDS - 1))
    assert found.last_record == 0.5
    assert np.isnan(found.change)
    assert found.last_fall == pytest.approx(1 - 0.5 / (0.5 + 0.5 / (MIN_RECORDS - 2)))
    assert shape([1.0, 0.8], validation=np.array([[1.0], [0.9]])).last_fall == pytest.approx(0.1)
    assert np.isnan(shape([1.0]).last_fall)
    nothing = shape_of(None, np.ones(3))
    assert np.isnan(nothing["last_record"]).all()
    assert nothing["diverged"].tolist() == [0, 0, 0]
    diverged = shape_of(Curve(np.empty(0), np.empty((0, 1)), diverged=True), np.ones(1))
    assert diverged["diverged"] == [1.0]
    assert np.isnan(diverged["epochs"])


def test_nets_with_different_numbers_of_epochs_are_measured_alone():
    """Records of a population are NaN after a net's end, and each net has the shape of its own curve."""
    first, second = np.linspace(1, 0.5, 40), 0.3 + 0.7 * np.exp(-np.arange(20) / 5)
    together = shape(np.column_stack([first, np.concatenate([second, np.full(20, np.nan)])]))
    for k, alone in enumerate((shape(first), shape(second))):
        for name in ("epochs", "first_record", "last_record", "lowest_record", "projected_loss"):
            assert getattr(together, name)[k] == pytest.approx(getattr(alone, name)), name
        assert together.change[k] == pytest.approx(alone.change, rel=0.3)


def test_histories_may_be_arrays_or_lists():
    losses = np.linspace(1.0, 0.1, 100)
    for given in (losses, losses.tolist()):
        np.testing.assert_array_equal(as_curve(given).loss[:, 0], losses)
    for wrong, text in (({"accuracy": [1]}, "history must"), (np.ones((3, 2)), "one loss per epoch")):
        with pytest.raises(ValueError, match=text):
            as_curve(wrong)


# ---- the loss of the records


def trained(loss, outputs=1, epochs=1000, factor=1.0):
    """Arrays [W, b, ...] and recorded losses of a net of sigmoids that is still learning XOR."""
    y = XOR_Y if outputs == 1 else np.eye(2)[np.asarray(XOR_Y, int)]
    net = fastmlp.MLP(
        (2, 3, outputs),
        hidden_activation="sigmoid",
        output_activation="sigmoid",
        loss=loss,
        dtype="float64",
        random_state=0,
    )
    history = net.fit(XOR_X, y, epochs=epochs, optimizer=fastmlp.SGD(0.05), verbose=0)
    arrays = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    return arrays, factor * history.loss, y


@pytest.mark.parametrize("outputs, factor", [(1, 1.0), (1, 0.5), (2, 1.0), (2, 2.0)])
def test_records_in_squared_error_are_recognised(outputs, factor):
    """Without that, the records would seem to be of other weights than these: broken updates."""
    arrays, losses, y = trained("squared_error", outputs, factor=factor)
    activations = ["sigmoid", "sigmoid"]
    found = fastmlp.diagnose(arrays, XOR_X, y, losses, activations=activations)
    named = fastmlp.diagnose(arrays, XOR_X, y, losses, activations=activations, loss="squared_error")
    assert found.verdict == named.verdict != "broken_updates"
    assert "squared_error, as the last record shows" in str(found).replace("\n  ", " ")
    assert "as the last record shows" not in str(named)


@pytest.mark.parametrize("factor, verdict", [(1.0, "learning_rate_too_low"), (0.05, "broken_updates")])
def test_other_records_keep_the_usual_loss(factor, verdict):
    """Those that are neither loss at these weights are still evidence of broken updates."""
    arrays, losses, y = trained("binary_cross_entropy", factor=factor)
    found = fastmlp.diagnose(arrays, XOR_X, y, losses, activations=["sigmoid", "sigmoid"])
    assert (found.verdict, "last record" in str(found)) == (verdict, False)
