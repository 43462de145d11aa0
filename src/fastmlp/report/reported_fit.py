"""Interface of a fit to its report.

A protocol: History imports this package to write reports, so reports must not import History.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class ReportedFit(Protocol):
    """Interface of a History to its report; attributes as in History."""

    net: Any
    loss: np.ndarray
    accuracy: np.ndarray | None
    best_epoch: int | None
    epochs_before: int
    stopped_by: str
    seconds: float
    compile_seconds: float
    samples: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def epochs(self) -> int: ...
    @property
    def training_seconds(self) -> float: ...
    @property
    def settings(self) -> dict[str, Any]: ...
