"""The loss of a search whose space names none, guessed from the targets, and the outputs that a loss needs."""

from __future__ import annotations

import numpy as np

from ..interface.user_warnings import warn_user

MANY_CLASSES = 50  # whole numbers from this one on are taken for quantities, not classes


def default_loss(y: np.ndarray) -> str:
    """Return the loss for targets: whole numbers from 0 to below MANY_CLASSES in one column are classes."""
    are_whole = y.size > 0 and (y.ndim == 1 or y.shape[1:] == (1,)) and np.array_equal(y, np.floor(y))
    if not are_whole or y.min() < 0 or y.max() >= MANY_CLASSES:
        return "squared_error"
    return "binary_cross_entropy" if y.max() <= 1 else "softmax_cross_entropy"


def warn_of_classes(y: np.ndarray, loss: str) -> None:
    """Warn if the default loss takes floats for more than two classes, which may be meant as quantities."""
    if loss == "softmax_cross_entropy" and y.dtype.kind == "f":
        warn_user(
            f"y has whole numbers from {y.min():g} to {y.max():g}, which are taken for {n_outputs_of(loss, y)} classes "
            "although they are floats. If they are quantities, add 'loss': 'squared_error' to the space; if they are "
            f"classes, add 'loss': {loss!r}, or give integers."
        )


def n_outputs_of(loss: str, y: np.ndarray) -> int:
    """Return the number of outputs of a net with this loss for targets y."""
    if y.ndim == 2 and y.shape[1] > 1:
        return y.shape[1]
    if loss == "softmax_cross_entropy":
        return max(2, int(y.max()) + 1)
    return int(y.max()) + 1 if loss == "binary_cross_entropy" and y.max() > 1 else 1
