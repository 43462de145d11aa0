"""fastmlp.load: whatever this package has saved."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import persistence

if TYPE_CHECKING:
    from ..estimators.tabular import TabularMLPClassifier, TabularMLPRegressor
    from ..mlp import MLP
    from ..population import Population


def load(
    path: str | os.PathLike, *, device: str = "auto"
) -> MLP | Population | TabularMLPClassifier | TabularMLPRegressor:
    """The net, population or fitted estimator in a file, on any device: the one it was saved from need not exist here.

    `fastmlp train` and the method save of nets and populations write files of nets and populations; the method save of
    TabularMLPClassifier and TabularMLPRegressor writes files of estimators.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the file holds an estimator, and scikit-learn is not installed.
    ValueError
        If the file is damaged, was not written by fastmlp, or was written by a newer version.
    """
    net = persistence.load(path, device=device, stacklevel=3)
    description = net.__dict__.pop("estimator", None)
    if description is None:
        return net
    from ..estimators.serialization import restored
    from ..estimators.tabular import TabularMLPClassifier, TabularMLPRegressor

    classes: dict[str, type] = {row.__name__: row for row in (TabularMLPClassifier, TabularMLPRegressor)}
    try:
        return restored(net, description, classes)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"{str(path)!r} should be an estimator saved by fastmlp, but {reason}. Restore it from a copy, or train "
            "and save again."
        ) from None
