"""Base class of Population: what fits, checkpoints and predictions of this folder use of many nets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..execution.gpu_costs import trains_in_one_launch
from ..population_result import PopulationResult
from .net_base import NetBase
from .single_net_base import SingleNetBase


class PopulationBase(NetBase):
    """Base class of Population, whose constructor sets the attributes."""

    n_nets: int
    seeds: np.ndarray  # int64 (n_nets,)
    dropout: Any  # number, or (n_nets,); so are the next two
    l2: Any
    init_scale: Any
    result: PopulationResult | None  # of the last fit

    if TYPE_CHECKING:  # methods of Population

        def net(self, k: int) -> SingleNetBase: ...
        def _draw(self, members: np.ndarray, draw: int) -> None: ...
        def _outputs(self, X: Any, nets: Any, executor: Any = None) -> Any: ...

    def _is_in_mean(self) -> np.ndarray:
        """Return for each net whether it is a part of the ensemble, bool (n_nets,).

        Nets that finished no epoch of the first fit, which Ctrl-C or a time limit has ended, are not, if others are.
        """
        if self.result is None or self.fits > 1 or not self.result.epochs.any():
            return np.ones(self.n_nets, bool)
        return self.result.epochs > 0

    def _in_one_launch(self) -> bool:
        return trains_in_one_launch(self.network, self.dtype)
