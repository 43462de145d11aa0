"""Reconstruction of the split that `fastmlp train` made: training rows and held-out rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SHARE, SEED = "validation_share", "validation_seed"  # keys of History.settings: how `fastmlp train` split the table
EQUAL = 1e-3  # relative difference up to which a validation loss equals the recorded one


def training_split(
    net: Any, X: np.ndarray, y: np.ndarray, split: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return {"training": (X, y), "validation": (X, y)} for the table that a net was trained on, else {"": (X, y)}.

    The rows are split again with the recorded fraction and seed. The table is taken for the training table only if the
    validation loss on the held-out rows equals the recorded one.

    net : MLP, with the History of its fit
    X, y : features (n_rows, n_features) and encoded targets of the table
    split : commands.train.split_rows
    """
    undivided = {"": (X, y)}
    history = getattr(net, "history", None)
    if history is None:
        return undivided
    settings = history.settings
    n_training, n_validation = settings.get("n_samples"), settings.get("n_validation")
    if not settings.get(SHARE) or not n_validation or len(X) != n_training + n_validation:
        return undivided
    is_classification = net.preprocessing is not None and bool(net.preprocessing.target.classes)
    task = "classification" if is_classification else "regression"
    held_out, training = split(np.asarray(y), task, settings[SHARE], settings.get(SEED, 0))
    recorded = history.validation_loss
    if len(held_out) != n_validation or recorded is None or not len(recorded):
        return undivided
    row = len(recorded) - 1 if history.best_epoch is None else min(history.best_epoch, len(recorded) - 1)
    loss = net.evaluate(X[held_out], y[held_out])["loss"]
    if not np.isclose(loss, recorded[row], rtol=EQUAL, atol=1e-6):
        return undivided
    return {"training": (X[training], y[training]), "validation": (X[held_out], y[held_out])}
