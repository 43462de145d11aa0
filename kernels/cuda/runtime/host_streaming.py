"""Streaming of samples that do not fit into device memory.

The rows of a batch are gathered in host memory and copied to the device while the previous batch is trained.
"""

from __future__ import annotations

import numpy as np

from ...structs import Samples
from .block_copies import BlockCopies


class StreamedBatches:
    """Batches of up to `rows` samples, streamed from the host.

    widths : number of elements per sample in X, Y and weight; 0 for an absent array
    """

    def __init__(self, rows: int, widths: tuple[int, int, int], dtype: np.dtype):
        self._rows, self.widths = rows, widths
        self._copies = BlockCopies([rows * width for width in widths], dtype)
        self._n_taken = 0  # batches that kernels have used, or use
        self._ready: tuple[int, int] | None = None  # epoch and batch that has been sent ahead

    def restart(self) -> None:
        """Discard the batch that has been sent ahead."""
        self._ready = None

    def take(self, data: Samples, first: int, rows: int, order: np.ndarray | None, epoch: int, batch: int) -> tuple:
        """Return (x, y, weight) of a batch on the device, and start sending the next batch of the epoch.

        y or weight is None if the data has none.

        first : position of the batch's first sample, in the data or in `order`
        rows : number of samples in the batch
        order : permutation of the samples, or None for their order in the data
        epoch, batch : numbers that identify the batch
        """
        if self._ready != (epoch, batch):
            self._send(data, first, rows, order)
        x, y, weight = self._copies.arrived(self._n_taken, [rows * width for width in self.widths])
        self._n_taken += 1
        following = first + self._rows
        if following < data.n_samples:
            self._send(data, following, min(self._rows, data.n_samples - following), order)
            self._ready = (epoch, batch + 1)
        return x, y if data.has_targets else None, weight if data.has_weights else None

    def _send(self, data: Samples, first: int, rows: int, order: np.ndarray | None) -> None:
        chosen = slice(first, first + rows) if order is None else order[first : first + rows]
        rows_of = lambda array, width: array.reshape(data.n_samples, width)[chosen] if width else array[:0]
        arrays = map(rows_of, (data.X, data.Y, data.weight), self.widths)
        self._copies.send(self._n_taken, [array.reshape(-1) for array in arrays])
