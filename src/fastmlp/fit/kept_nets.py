"""Nets of a population that have trained all their epochs, with what they need to go on to a larger number of epochs.

Of a net that has ended, the outcome and the population have the results and the final parameters. Here are the rest:
parameters of the last epoch, which are others with early stopping, optimiser state, and the numbers of SuspendedNets.
Kernels write them where nets are trained together and a checkpoint is to have them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.structs import KEPT_CLOCK, KEPT_POWER1, KEPT_POWER2, N_KEPT_NUMBERS, SuspendedNets

POWERS, NUMBERS = [KEPT_POWER1, KEPT_POWER2], slice(KEPT_POWER2 + 1, KEPT_CLOCK)  # as in SuspendedNets


class KeptNets(NamedTuple):
    """A row for each net of a population, of which kernels write those of nets that have trained all their epochs."""

    vectors: np.ndarray  # (n_nets, 2 + n_state, n_params), parameters, safe parameters, optimiser state
    numbers: np.ndarray  # float64 (n_nets, N_KEPT_NUMBERS)

    @classmethod
    def empty(cls, n_nets: int, n_state: int, n_params: int, dtype: np.dtype) -> KeptNets:
        """Return rows of zeros, which take no memory until they are written to."""
        return cls(np.zeros((n_nets, 2 + n_state, n_params), dtype), np.zeros((n_nets, N_KEPT_NUMBERS)))

    @property
    def are_written(self) -> np.ndarray:
        """Whether each net has a row, bool (n_nets,): in files of older versions, nets that have ended have none."""
        return self.numbers[:, KEPT_CLOCK] > 0

    @property
    def _n_state(self) -> int:
        return self.vectors.shape[1] - 2

    def rows_of(
        self, nets: np.ndarray, epochs: np.ndarray, best_epochs: np.ndarray, best_params: np.ndarray
    ) -> SuspendedNets:
        """Return copies of some nets, as nets in the middle of their training.

        nets : int64 (n,)     their numbers
        epochs, best_epochs : int64 (n,)     epochs trained, and those of the best epoch, 0 for none
        best_params : (n, n_params) or (n, 0)
        """
        vectors, numbers = self.vectors, self.numbers[nets]
        return SuspendedNets(
            net_index=nets,
            epochs=epochs,
            best_epochs=best_epochs,
            clock=numbers[:, KEPT_CLOCK].astype(np.int64),
            params=vectors[nets, 0],  # contiguous, so that a file is written without another copy
            state=vectors[nets, 2:].reshape(len(nets), self._n_state * vectors.shape[2]),
            safe_params=vectors[nets, 1],
            best_params=best_params,
            powers=numbers[:, POWERS],
            numbers=numbers[:, NUMBERS],
        )

    def take(self, suspended: SuspendedNets) -> None:
        """Write nets to their rows, one or more, as `rows_of` has returned them."""
        nets = suspended.net_index
        self.vectors[nets, 0], self.vectors[nets, 1] = suspended.params, suspended.safe_params
        self.vectors[nets, 2:] = suspended.state.reshape(len(nets), self._n_state, self.vectors.shape[2])
        self.numbers[nets, KEPT_CLOCK] = suspended.clock
        self.numbers[nets, : KEPT_POWER2 + 1] = suspended.powers
        self.numbers[nets, NUMBERS] = suspended.numbers
