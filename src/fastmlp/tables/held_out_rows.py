"""Which rows of a table a net from `fastmlp train` was trained on, and which were held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SHARE, SEED = "validation_share", "validation_seed"  # of a history's settings: how `fastmlp train` split the table
EQUAL = 1e-3  # relative difference up to which a loss is the one that was recorded


def parts_as_trained(
    net: Any, X: np.ndarray, y: np.ndarray, split: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"training": (X, y), "validation": (X, y)} where these are the rows of the table that the net was trained on,
    else {"": (X, y)}.

    The rows are split again as they were, and taken for the same ones only if the validation loss on them is what the
    history has recorded.

    split : jobs.split_rows
    """
    whole = {"": (X, y)}
    history = getattr(net, "history", None)
    if history is None:
        return whole
    settings = history.settings
    n_training, n_validation = settings.get("n_samples"), settings.get("n_validation")
    if not settings.get(SHARE) or not n_validation or len(X) != n_training + n_validation:
        return whole
    is_classification = net.preprocessing is not None and bool(net.preprocessing.target.classes)
    task = "classification" if is_classification else "regression"
    held_out, kept = split(np.asarray(y), task, settings[SHARE], settings.get(SEED, 0))
    recorded = history.validation_loss
    if len(held_out) != n_validation or recorded is None or not len(recorded):
        return whole
    row = len(recorded) - 1 if history.best_epoch is None else min(history.best_epoch, len(recorded) - 1)
    found = net.evaluate(X[held_out], y[held_out])["loss"]
    if not np.isclose(found, recorded[row], rtol=EQUAL, atol=1e-6):
        return whole
    return {"training": (X[kept], y[kept]), "validation": (X[held_out], y[held_out])}
