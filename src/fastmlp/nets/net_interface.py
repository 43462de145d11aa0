"""Interface of a net to the modules that compute with it at its current parameters, below the class MLP."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..devices import Device
from ..network.spec import Network


class Net(Protocol):
    """What metrics and objectives read of an MLP; shapes as there."""

    @property
    def network(self) -> Network: ...
    @property
    def device(self) -> Device: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def precision(self) -> str: ...
    @property
    def params(self) -> np.ndarray: ...
    @property
    def padded_params(self) -> np.ndarray: ...
    @property
    def weights(self) -> list[np.ndarray]: ...
