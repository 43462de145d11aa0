"""Device of a worker: where a machine has several GPUs, each of its workers takes one of its own, by its name."""

from __future__ import annotations

import multiprocessing
import re
import sys
from contextlib import suppress

from ..devices import Device, device_of_worker


def number_of_worker() -> int:
    """Return the number of this worker among those of its machine, counted from 0; 0 if its name has none.

    Processes of a pool have names such as SpawnProcess-1, LokyProcess-2 and ForkProcess-2:3, counted from 1. Workers of
    Dask have those that they were started with, such as 0 and 1 in a LocalCluster or gpu-0 by `dask worker --name gpu
    --nworkers 2`; by default, these are addresses.
    """
    name, first = multiprocessing.current_process().name, 1
    if "distributed" in sys.modules:
        from distributed import get_worker

        with suppress(ValueError):  # this is no worker of Dask
            name, first = f"-{get_worker().name}", 0
    found = re.search(r"-(?:\d+:)*(\d+)$", name)
    return int(found[1]) - first if found else 0


def device_here(device: Device) -> Device:
    """Return the device of this worker for the device of a task, as device_of_worker does."""
    return device_of_worker(device, number_of_worker())
