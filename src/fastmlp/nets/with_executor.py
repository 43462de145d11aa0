"""What all uses of an executor share: its workers, their device, and data as they are sent to them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..data.arrays import as_numbers
from ..devices import Device, device_of
from .net_base import NetBase

ON_WORKERS = Device("cpu", "the workers of an executor compute on CPUs")
OF_FITS_ON_WORKERS = Device("cpu", "each worker of the executor finds its device; the program has the nets on its CPU")


def for_workers(X: Any) -> Any:
    """Return X as it is sent to the workers of an executor: an array on a GPU is copied to the host."""
    return X if device_of(X) is None else as_numbers(X, "X")


def device_on_workers(net: NetBase) -> Device:
    """Return the device of what workers do net by net or row by row: the one that the user named; CPUs for "auto"."""
    return ON_WORKERS if net._named_device == "auto" else net.device


def workers_for(executor: Any) -> AbstractContextManager[Any]:
    """Return a context with the workers of an executor, which get an array once in several calls; None stays None."""
    if executor is None:
        return nullcontext()
    from ..executors.executor_kinds import workers_of  # here and below: other processes need not import it

    return workers_of(executor)
