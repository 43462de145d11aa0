"""Samples of a fit as the workers of an executor get them: arrays of all nets are shared, others travel in parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.structs import Samples
from .task import FitTask

ARRAYS = "X", "Y", "weight"  # of Samples


class SharedSamples:
    """Training and held-out samples of a fit, as they are sent.

    task : FitTask     of all nets

    are_shared : whether each array is shared: X, Y and weight of the training samples, then of the held-out ones
    """

    def __init__(self, task: FitTask):
        self._task, self._strides = task, [*task.rows.strides]
        self._arrays = [getattr(task.rows.sent, name) for name in ARRAYS]
        if task.held_out is not None:
            self._arrays += [getattr(task.held_out, name) for name in ARRAYS]
            self._strides += [0, 0, 0]
        pairs = zip(self._arrays, self._strides, strict=True)
        self.are_shared = tuple(array.size > 0 and stride == 0 for array, stride in pairs)

    @property
    def shared(self) -> list[np.ndarray]:
        return [array for array, is_shared in zip(self._arrays, self.are_shared, strict=True) if is_shared]

    @property
    def net_bytes(self) -> int:
        """Bytes of a net's own samples."""
        return sum(stride * array.itemsize for array, stride in zip(self._arrays, self._strides, strict=True))

    def part(self, nets: slice) -> FitTask:
        """Return the task of some nets, with the samples that travel with it."""
        pairs = zip(self._arrays, self._strides, strict=True)
        own: list[Any] = [array[nets.start * stride : nets.stop * stride] for array, stride in pairs]
        task, held_out = self._task, self._task.held_out
        data = task.rows.sent._replace(**dict(zip(ARRAYS, own[:3], strict=True)))
        if held_out is not None:
            held_out = held_out._replace(**dict(zip(ARRAYS, own[3:], strict=True)))
        return task.part(nets, task.rows.with_data(data), held_out)


def filled(samples: Samples, are_shared: tuple[bool, ...], arrays: list[np.ndarray]) -> Samples:
    """Return samples with the shared arrays, which are taken from the front of `arrays`; this runs on the worker."""
    found: dict[str, Any] = {name: arrays.pop(0) for name, shared in zip(ARRAYS, are_shared, strict=True) if shared}
    return samples._replace(**{name: array.reshape(-1) for name, array in found.items()})
