"""Base class of MLP: the parameters of one net, and what fits, checkpoints and predictions of this folder use of it."""

from __future__ import annotations

import numpy as np

from ..execution.plan import Plan
from ..history import History
from .net_base import NetBase


class SingleNetBase(NetBase):
    """Base class of MLP, whose constructor sets the attributes."""

    history: History | None  # of the last fit
    _padded: np.ndarray  # (n_padded,), the vector that kernels work on; it begins with params

    def _make_params(self) -> None:
        self._padded = self.network.layout.padded(self.dtype)
        self._params = self._padded[: self.network.layout.n_params]

    @property
    def padded_params(self) -> np.ndarray:
        """The vector that kernels work on, (n_padded,): params, followed by zeros up to a whole SIMD vector."""
        return self._padded

    @property
    def weights(self) -> list[np.ndarray]:
        """Weight matrices (fan_in, fan_out), one per layer, as views of params."""
        return self.network.layout.weights(self._params)

    @property
    def biases(self) -> list[np.ndarray]:
        """Bias vectors (fan_out,), one per layer, as views of params."""
        return self.network.layout.biases(self._params)

    def _plan_for(self, n_samples: int) -> Plan:
        """Return a plan for evaluation, acquired from the buffer cache or made."""
        return Plan.for_evaluation(self.network, self.device, self.dtype, n_samples, precision=self.precision)
