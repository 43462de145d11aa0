"""Reconstruction of the split that `fastmlp train` made: training rows and held-out rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SHARE, SEED = "validation_share", "validation_seed"  # keys of History.settings: how `fastmlp train` split the table
EQUAL = 1e-3  # relative difference up to which a validation loss equals the recorded one


class LastFit(NamedTuple):
    """Settings and validation loss of the last fit of a net, or of the best net of several.

    settings : settings of the fit, as in History.settings
    validation_loss : validation loss of the parameters that were kept, or None
    member : number of the net
    """

    settings: dict[str, Any]
    validation_loss: float | None
    member: int


def last_fit(net: Any) -> LastFit | None:
    """Return what is known of the last fit of an MLP or Population."""
    result = getattr(net, "result", None)
    if result is not None:
        best = result.best
        is_loss = result.monitor == "validation_loss"
        return LastFit(result.arguments, float(result.best_value[best]) if is_loss else None, best)
    history = getattr(net, "history", None)
    if history is None:
        return None
    recorded = history.validation_loss
    if recorded is None or not len(recorded):
        return LastFit(history.settings, None, 0)
    row = len(recorded) - 1 if history.best_epoch is None else min(history.best_epoch, len(recorded) - 1)
    return LastFit(history.settings, float(recorded[row]), 0)


def training_split(
    net: Any, X: np.ndarray, y: np.ndarray, split: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return {"training": (X, y), "validation": (X, y)} for the table that a net was trained on, else {"": (X, y)}.

    The rows are split again with the recorded fraction and seed. The table is taken for the training table only if the
    validation loss on the held-out rows equals the recorded one.

    net : MLP with the History of its fit, or Population with its result, whose best net is looked at
    X, y : features (n_rows, n_features) and encoded targets of the table
    split : commands.train_parts.split_rows
    """
    undivided = {"": (X, y)}
    fit = last_fit(net)
    if fit is None:
        return undivided
    settings = fit.settings
    n_training, n_validation = settings.get("n_samples"), settings.get("n_validation")
    if not settings.get(SHARE) or not n_validation or len(X) != n_training + n_validation:
        return undivided
    is_classification = net.preprocessing is not None and bool(net.preprocessing.target.classes)
    task = "classification" if is_classification else "regression"
    held_out, training = split(np.asarray(y), task, settings[SHARE], settings.get(SEED, 0))
    if len(held_out) != n_validation or fit.validation_loss is None:
        return undivided
    if getattr(net, "shared_weights", False):  # whose record is of the mean output
        loss = net._loss_of_mean(X[held_out], y[held_out])
    else:
        loss = np.atleast_1d(net.evaluate(X[held_out], y[held_out])["loss"])[fit.member]
    if not np.isclose(loss, fit.validation_loss, rtol=EQUAL, atol=1e-6):
        return undivided
    return {"training": (X[training], y[training]), "validation": (X[held_out], y[held_out])}
