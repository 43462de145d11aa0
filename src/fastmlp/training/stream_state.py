"""State of a fit to blocks of rows, from which a fit of the same net, rows and settings goes on to the same bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.structs import STEPS_DONE
from .fit_state import FitState, Parts


class Place(NamedTuple):
    """Blocks of the present epoch that are trained."""

    n_blocks: int = 0
    n_rows: int = 0
    sums: np.ndarray = np.zeros(2)  # float64, over these rows: of the loss, and of rows predicted correctly


class StreamState(NamedTuple):
    """State of a fit to blocks of rows.

    Each block is trained by a fit of its own. `fit` has the parameters, the optimiser state and the scalars of that of
    the present block, which may have begun; records, best parameters and the reason of an end are those of the whole
    fit, up to the last epoch with a record.
    """

    fit: FitState
    place: Place

    @property
    def n_epochs(self) -> int:
        """Number of epochs with a record."""
        return len(self.fit.loss)

    def n_steps(self, n_samples: int, batch_size: int) -> int:
        """Return the number of steps done in a fit to n_samples rows; batch_size : rows of a step"""
        of_epochs = self.n_epochs * -(-n_samples // batch_size)
        return of_epochs + -(-self.place.n_rows // batch_size) + int(self.fit.scalars[STEPS_DONE])

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays, numbers = self.fit.to_file()
        n_blocks, n_rows, sums = self.place
        return Parts({**arrays, "sums": sums}, {**numbers, "n_blocks": n_blocks, "n_rows": n_rows})

    @classmethod
    def from_file(cls, parts: Parts) -> StreamState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        return cls(FitState.from_file(parts), Place(numbers["n_blocks"], numbers["n_rows"], arrays["sums"]))
