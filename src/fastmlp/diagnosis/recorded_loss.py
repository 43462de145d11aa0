"""Detection of the loss in which a training was recorded, for nets whose loss was not named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .loss_curves import Curve
from .model_under_test import ModelUnderTest, loss_row

CLOSE = 0.1  # relative distance of the last record from a loss up to which the records are in it
FAR = 0.3  # distance from which they are not


def with_recorded_loss(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, curve: Curve | None) -> ModelUnderTest:
    """Return the model with squared error as its loss, if its records are in squared error; otherwise the same model.

    The usual loss of a sigmoid is cross-entropy, but many nets written by hand are trained on squared error. The last
    record is compared with both losses at the present parameters, as a mean or a sum over outputs, with or without a
    factor of one half.

    model : a model of one net of another library, whose loss was not named
    X, Y : samples, (n_samples, n_features) and (n_samples, n_outputs)
    """
    if curve is None or not len(curve.loss) or model.loss.name != "binary_cross_entropy" or not model.has_weights:
        return model
    squared = replace(model, loss=loss_row("squared_error"))
    last = float(curve.loss[-1, 0])
    if _distance(last, squared, X, Y) <= CLOSE and _distance(last, model, X, Y) >= FAR:
        return squared
    return model


def _distance(record: float, model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> float:
    """Return |log| of the record over the model's loss, in the form of the loss that is nearest to the record."""
    with np.errstate(all="ignore"):
        loss = float(model.objective(X, Y, model.params)[0])
        forms = loss * np.array([1.0, 0.5, model.n_outputs, 0.5 * model.n_outputs])
        distance = float(np.min(np.abs(np.log(record / forms))))
    return distance if np.isfinite(distance) else np.inf
