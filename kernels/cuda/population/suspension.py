"""Suspension of nets in a window: out of their slots with everything that training needs, and into another window.

The arguments `nets`, `job` and `n_batches` are the window's: the population, the fields of Job, and batches per epoch.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...structs import ALL_EPOCHS, RUNNING, PopulationState, SuspendedNets
from ..build.structs import ProgressCounter, ProgressScalar
from ..runtime.device_memory import to_device

POWERS = [ProgressScalar.POWER1, ProgressScalar.POWER2]
NUMBERS = [ProgressScalar.LAST_LOSS, ProgressScalar.BEST_VALUE, ProgressScalar.LOSS, ProgressScalar.N_CORRECT]


def suspended_nets(
    nets: PopulationState, job: dict[str, Any], n_batches: int, n_state: int, status: int = RUNNING
) -> tuple[SuspendedNets, np.ndarray]:
    """Return copies of the nets of this status, between two epochs, and the slots of these nets."""
    n_params = nets.n_params
    counters = cupy.asnumpy(job["counters"])
    slots = np.flatnonzero(counters[:, ProgressCounter.STATUS] == status)
    of_slots = lambda array: cupy.asnumpy(array)[slots]
    scalars, best = of_slots(job["scalars"]), job["best_params"]
    found = SuspendedNets(
        net_index=of_slots(job["owners"]),
        epochs=counters[slots, ProgressCounter.STEPS] // n_batches,
        best_epochs=counters[slots, ProgressCounter.BEST_EPOCH],
        clock=counters[slots, ProgressCounter.STEPS] // n_batches,
        params=of_slots(job["params"])[:, :n_params],
        state=of_slots(job["state"])[:, :n_state, :n_params].reshape(len(slots), n_state * n_params),
        safe_params=of_slots(job["safe_params"])[:, :n_params],
        best_params=np.empty((len(slots), 0), nets.params.dtype) if best is None else of_slots(best)[:, :n_params],
        powers=scalars[:, POWERS],
        numbers=scalars[:, NUMBERS],
    )
    return found, slots


def keep_ended(nets: PopulationState, job: dict[str, Any], n_batches: int) -> None:
    """Copy nets that have trained all their epochs to their rows of nets.kept_vectors and nets.kept_numbers.

    Nets that have ended stay in their slots until the window is closed, with the optimiser state of their last step.
    """
    ended, _ = suspended_nets(nets, job, n_batches, nets.n_state, ALL_EPOCHS)
    params, owners = ended.params, ended.net_index
    if ended.best_params.size:  # the kernel has exchanged them
        params = np.where(ended.best_epochs[:, None], ended.best_params, params)
    vectors = nets.kept_vectors.reshape(nets.n_nets, 2 + nets.n_state, nets.n_params)
    vectors[owners, 0], vectors[owners, 1] = params, ended.safe_params
    vectors[owners, 2:] = ended.state.reshape(len(owners), nets.n_state, nets.n_params)
    numbers = ended.powers, ended.numbers, ended.clock[:, None]
    nets.kept_numbers.reshape(nets.n_nets, -1)[owners] = np.hstack(numbers)


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
