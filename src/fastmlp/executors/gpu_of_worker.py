"""Device of a worker: where a machine has several GPUs, each of its workers takes one of its own."""

from __future__ import annotations

import multiprocessing
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..devices import Device, device_of_worker


class Numbers(NamedTuple):
    """Number of a worker among those of its machine, counted from 0.

    by_address : numbers of the workers of a Dask cluster by address; None for processes, whose names are numbered from
        1 on, such as SpawnProcess-1 and LokyProcess-2
    """

    by_address: dict[str, int] | None = None

    def here(self) -> int:
        """Return the number of this worker; 0 if it is not known, as of threads."""
        if self.by_address is None:
            found = re.search(r"-(?:\d+:)*(\d+)$", multiprocessing.current_process().name)
            return int(found[1]) - 1 if found else 0
        from distributed import get_worker

        return self.by_address.get(get_worker().address, 0)


class _Worker(threading.local):
    number = 0  # of the worker whose task this thread carries out


_worker = _Worker()


@contextmanager
def as_worker(number: int) -> Iterator[None]:
    """Context in which this thread carries out a task of worker `number` of its machine."""
    before, _worker.number = _worker.number, number
    try:
        yield
    finally:
        _worker.number = before


def device_here(device: Device) -> Device:
    """Return the device of this worker for the device of a task, as device_of_worker does."""
    return device_of_worker(device, _worker.number)
