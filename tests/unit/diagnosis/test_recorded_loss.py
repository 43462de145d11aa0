"""Loss of a net whose loss was not named: squared error, if the last record of its training shows it."""

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp


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


def test_records_in_cross_entropy_keep_the_usual_loss():
    arrays, losses, y = trained("binary_cross_entropy")
    found = fastmlp.diagnose(arrays, XOR_X, y, losses, activations=["sigmoid", "sigmoid"])
    assert "last record" not in str(found)


def test_records_of_no_loss_keep_the_usual_loss():
    """Records that are neither loss at these weights are still evidence of broken updates."""
    arrays, losses, y = trained("binary_cross_entropy")
    found = fastmlp.diagnose(arrays, XOR_X, y, 0.05 * losses, activations=["sigmoid", "sigmoid"])
    assert found.verdict == "broken_updates"


def test_biases_may_be_columns():
    """As in many nets written by hand, with W of shape (fan_out, fan_in)."""
    arrays, losses, y = trained("binary_cross_entropy")
    columns = [array.T if array.ndim == 2 else array[:, None] for array in arrays]
    settings = {"activations": ["sigmoid", "sigmoid"]}
    assert str(fastmlp.diagnose(columns, XOR_X, y, losses, **settings)) == str(
        fastmlp.diagnose(arrays, XOR_X, y, losses, **settings)
    )
