"""Samples of a fit as the workers of an executor get them: what nets have in common is sent once.

Arrays of all nets are shared as they are. Of arrays with rows of each net of which few differ, as the weights of a
search's folds, the different rows are shared, and a task has the number of each net's row. Other rows travel with their
nets.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from ..kernels.structs import Samples
from .task import FitTask

ARRAYS = "X", "Y", "weight"  # of Samples
SHORTEST_ROW = 256  # bytes of a row from which on it is worth a look whether others equal it


class Shared(NamedTuple):
    """How the nets of a task get an array of their samples.

    is_shared : whether it is a shared one, or has different rows of it; otherwise it travels with the task
    row_of_net : int64 (n_nets,) or None     which rows
    """

    is_shared: bool
    row_of_net: np.ndarray | None = None


class SentArray(NamedTuple):
    """An array of a fit's samples, for all nets or with a row for each net."""

    array: np.ndarray  # as it is or, with row_of_net, the different rows, (n_rows, stride)
    stride: int  # elements from net to net; 0 for an array of all nets
    row_of_net: np.ndarray | None = None

    @classmethod
    def of(cls, array: np.ndarray, stride: int) -> SentArray:
        if stride and (found := different_rows(array.reshape(-1, stride))) is not None:
            return cls(found[0], stride, found[1])
        return cls(array, stride)

    @property
    def is_shared(self) -> bool:
        return self.array.size > 0 and (self.stride == 0 or self.row_of_net is not None)

    def part(self, nets: slice) -> tuple[Shared, np.ndarray]:
        """Return how some nets get it, and what of it travels with their task, which may be empty."""
        if self.is_shared:
            return Shared(True, None if self.row_of_net is None else self.row_of_net[nets]), self.array.reshape(-1)[:0]
        own = self.array[nets.start * self.stride : nets.stop * self.stride] if self.stride else self.array
        return Shared(False), own


def different_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (different rows, number of the one that each row equals); None for short rows, or if half of them differ.

    >>> rows = np.repeat([[1.0] * 50, [2.0] * 50], [1, 4], axis=0)
    >>> different_rows(rows)[0].shape, different_rows(rows)[1].tolist()
    ((2, 50), [0, 1, 1, 1, 1])
    """
    if rows[0].nbytes < SHORTEST_ROW:
        return None
    numbers: dict[bytes, int] = {}
    found = np.empty(len(rows), np.int64)
    for net, row in enumerate(rows.view(np.uint8)):
        found[net] = numbers.setdefault(blake2b(row.data, digest_size=16).digest(), len(numbers))
        if 2 * len(numbers) > len(rows):
            return None
    return rows[np.unique(found, return_index=True)[1]], found


class SharedSamples:
    """Training and held-out samples of a fit, as they are sent.

    task : FitTask     of all nets
    """

    def __init__(self, task: FitTask):
        data = [getattr(task.rows.sent, name) for name in ARRAYS]
        strides: tuple[int, ...] = task.rows.strides
        if task.held_out is not None:
            data, strides = data + [getattr(task.held_out, name) for name in ARRAYS], (*strides, 0, 0, 0)
        self._task = task
        self._sent = [SentArray.of(array, stride) for array, stride in zip(data, strides, strict=True)]

    @property
    def shared(self) -> list[np.ndarray]:
        return [sent.array for sent in self._sent if sent.is_shared]

    @property
    def net_bytes(self) -> tuple[int, int]:
        """Bytes of a net's own samples, as they are sent with its task, and as its worker has them."""
        of_nets = [sent for sent in self._sent if sent.stride]
        row_bytes = lambda sents: sum(sent.stride * sent.array.itemsize for sent in sents)
        return row_bytes(sent for sent in of_nets if not sent.is_shared), row_bytes(of_nets)

    def part(self, nets: slice) -> tuple[FitTask, tuple[Shared, ...]]:
        """Return the task of some nets, with the samples that travel with it, and how they get each array."""
        parts = [sent.part(nets) for sent in self._sent]
        own: list[Any] = [array for _, array in parts]
        task, held_out = self._task, self._task.held_out
        data = task.rows.sent._replace(**dict(zip(ARRAYS, own[:3], strict=True)))
        if held_out is not None:
            held_out = held_out._replace(**dict(zip(ARRAYS, own[3:], strict=True)))
        return task.part(nets, task.rows.with_data(data), held_out), tuple(shared for shared, _ in parts)


def filled(samples: Samples, shared: tuple[Shared, ...], arrays: list[np.ndarray]) -> Samples:
    """Return samples with the shared arrays, which are taken from the front of `arrays`; this runs on the worker."""
    found: dict[str, Any] = {}
    for name, (is_shared, row_of_net) in zip(ARRAYS, shared, strict=True):
        if is_shared:
            array = arrays.pop(0)
            found[name] = array if row_of_net is None else array[row_of_net].reshape(-1)
    return samples._replace(**found)
