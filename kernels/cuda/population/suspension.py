"""Suspension of nets in a window: out of their slots with everything that training needs, and into another window.

The arguments `nets`, `job` and `n_batches` are the window's: the population, the fields of Job, and batches per epoch.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...structs import RUNNING, PopulationState, SuspendedNets
from ..build.structs import ProgressCounter, ProgressScalar
from ..runtime.device_memory import to_device

POWERS = [ProgressScalar.POWER1, ProgressScalar.POWER2]
NUMBERS = [ProgressScalar.LAST_LOSS, ProgressScalar.BEST_VALUE, ProgressScalar.LOSS, ProgressScalar.N_CORRECT]


def suspended_nets(nets: PopulationState, job: dict[str, Any], n_batches: int, n_state: int) -> SuspendedNets:
    """Return copies of the nets in training, between two epochs."""
    n_params = nets.n_params
    counters = cupy.asnumpy(job["counters"])
    slots = np.flatnonzero(counters[:, ProgressCounter.STATUS] == RUNNING)
    scalars, of_slots = cupy.asnumpy(job["scalars"])[slots], lambda array: cupy.asnumpy(array)[slots]
    best = job["best_params"]
    return SuspendedNets(
        net_index=of_slots(job["owners"]),
        epochs=counters[slots, ProgressCounter.STEPS] // n_batches,
        best_epochs=counters[slots, ProgressCounter.BEST_EPOCH],
        clock=counters[slots, ProgressCounter.STEPS] // n_batches,
        params=of_slots(job["params"])[:, :n_params],
        state=of_slots(job["state"])[:, :n_state, :n_params].reshape(len(slots), -1),
        safe_params=of_slots(job["safe_params"])[:, :n_params],
        best_params=np.empty((len(slots), 0), nets.params.dtype) if best is None else of_slots(best)[:, :n_params],
        powers=scalars[:, POWERS],
        numbers=scalars[:, NUMBERS],
    )


def keep_ended(nets: PopulationState, job: dict[str, Any], n_batches: int, watches: bool, slots: np.ndarray) -> None:
    """Copy nets that have trained all their epochs to their rows of nets.kept_vectors and nets.kept_numbers.

    Nets that have ended stay in their slots until the window is closed, with the optimiser state of their last step.

    watches : whether the best parameters are kept
    slots : (n,)     the slots of these nets
    """
    n_params, n_state = nets.n_params, nets.n_state
    of_slots = lambda array: cupy.asnumpy(array)[slots]
    owners, scalars, counters = of_slots(job["owners"]), of_slots(job["scalars"]), of_slots(job["counters"])
    params = of_slots(job["params"])[:, :n_params]
    if watches:  # the kernel has exchanged them
        has_best = counters[:, ProgressCounter.BEST_EPOCH] > 0
        params[has_best] = of_slots(job["best_params"])[has_best, :n_params]
    vectors = nets.kept_vectors.reshape(nets.n_nets, 2 + n_state, n_params)
    vectors[owners, 0], vectors[owners, 1] = params, of_slots(job["safe_params"])[:, :n_params]
    if n_state:
        vectors[owners, 2:] = of_slots(job["state"])[:, :n_state, :n_params]
    clock = counters[:, [ProgressCounter.STEPS]] // n_batches
    nets.kept_numbers.reshape(nets.n_nets, -1)[owners] = np.hstack([scalars[:, POWERS + NUMBERS], clock])


def resume_in_slots(
    nets: PopulationState, job: dict[str, Any], n_batches: int, suspended: SuspendedNets, n_state: int
) -> None:
    """Write nets to the slots of a window that was opened with these nets, in their order."""
    n_params, n = nets.n_params, len(suspended.net_index)
    record_epochs = nets.record_epochs[: nets.n_records]
    counters = np.zeros((n, len(ProgressCounter)), np.int64)
    counters[:, ProgressCounter.STEPS] = suspended.epochs * n_batches
    counters[:, ProgressCounter.BEST_EPOCH] = suspended.best_epochs
    counters[:, ProgressCounter.NEXT_RECORD] = np.searchsorted(record_epochs, suspended.epochs, side="right")
    counters[:, ProgressCounter.STATUS] = RUNNING
    scalars = cupy.asnumpy(job["scalars"])
    scalars[:, POWERS], scalars[:, NUMBERS] = suspended.powers, suspended.numbers
    job["counters"][:], job["scalars"][:] = to_device(counters), to_device(scalars)
    job["params"][:, :n_params] = to_device(suspended.params)
    job["safe_params"][:, :n_params] = to_device(suspended.safe_params)
    if job["best_params"] is not None:
        job["best_params"][:, :n_params] = to_device(suspended.best_params)
    if n_state:
        job["state"][:, :n_state, :n_params] = to_device(suspended.state.reshape(n, n_state, n_params))
    records = nets.records.reshape(nets.n_records, -1)[:, suspended.net_index]
    job["records"][:] = to_device(np.ascontiguousarray(records, np.float64))
