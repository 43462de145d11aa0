"""Window: the nets of a population that are on the GPU at a time, with parameters, settings and records in slots.

Subclasses train them: independently (train.py) or in lockstep (batched.py). Between two epochs, nets in training can be
suspended: taken out of their slots with everything that training needs, to go on in another window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import cupy
import numpy as np

from ...structs import ALL_EPOCHS, DIVERGED_NET, HYPER, MONITOR_NONE, NET_HYPER, RUNNING, SuspendedNets
from ..build.structs import ProgressCounter, ProgressScalar
from ..runtime.device_memory import ORDER_BYTES, to_device
from .launch import padded

SHARE_OF_MEMORY = 0.6  # fraction of free memory that a window, or the nets of an evaluation, may take
# A net's numbers before its first step that are not 0.
STARTS = {
    ProgressScalar.POWER1: 1.0,
    ProgressScalar.POWER2: 1.0,
    ProgressScalar.LAST_LOSS: np.inf,
    ProgressScalar.BEST_VALUE: np.inf,
}
# Places of a suspended net's powers and numbers; the loss is a sum there.
POWERS = [ProgressScalar.POWER1, ProgressScalar.POWER2]
NUMBERS = [ProgressScalar.LAST_LOSS, ProgressScalar.BEST_VALUE, ProgressScalar.LOSS, ProgressScalar.N_CORRECT]


def rows_of(members: np.ndarray) -> np.ndarray | slice:
    """Return what these rows of an array are selected by: a slice if they follow each other, as all nets do.

    Rows of a slice are neither gathered nor scattered: of a million small nets, either takes as long as some hundred
    epochs.
    """
    n = len(members)
    first, last = (int(members[0]), int(members[-1])) if n else (0, -1)
    in_order = last - first == n - 1 and bool((np.diff(members) == 1).all())
    return slice(first, last + 1) if in_order else members


class Window(ABC):
    """The nets `members`, each in the slot of its position in `members` until it is moved."""

    max_nets = 2**62  # in a window
    remedy = "Train fewer nets at a time."

    def __init__(self, run: Any, members: np.ndarray):
        """Copy the nets to the device.

        run : PopulationRun of train.py, of a fit that has begun
        """
        self.nets, self.criteria, self.rule, self.dtype = run.nets, run.criteria, run.rule, run.dtype
        nets, rule, dtype = self.nets, self.rule, self.dtype
        n, n_params = len(members), nets.n_params
        self.n_nets = self.n_active = n
        self.n_batches, self.n_samples = run.fields["n_batches"], run.data.n_samples
        self._params = cupy.zeros((n, self.stride_of(n_params)), dtype)
        self._params[:, :n_params] = to_device(nets.params.reshape(-1, n_params)[rows_of(members)])
        self._state = cupy.zeros((n, max(rule.n_state, 1), padded(n_params)), dtype)
        table = nets.hyper.reshape(-1, len(NET_HYPER))
        for row, initial in enumerate(rule.initial[: rule.n_state]):
            if isinstance(initial, str):
                values = table[members if nets.hyper_stride else np.zeros(n, np.int64), HYPER.index(initial)]
                self._state[:, row, :] = to_device(values.astype(dtype))[:, None]
        self._scalars = cupy.zeros((n, len(ProgressScalar)))
        self._counters = cupy.zeros((n, len(ProgressCounter)), np.int64)
        for place, value in STARTS.items():
            self._scalars[:, place] = value
        watches, shuffled = self.criteria.monitor != MONITOR_NONE, n * run.data.n_samples * run.config.shuffle
        self._owners = to_device(members)
        self._safe_params, self._best_params = self._params.copy(), self._params.copy() if watches else None
        self._records = cupy.full((nets.n_records, n), np.nan)
        self._job: dict[str, Any] = run.fields | {
            "params": self._params,
            "state": self._state,
            "safe_params": self._safe_params,
            "best_params": self._best_params,
            "order": cupy.empty(shuffled, np.int32),
            "lists": cupy.empty(2 * shuffled * self.needs_lists(run), np.int32),
            "owners": self._owners,
            "scalars": self._scalars,
            "counters": self._counters,
            "records": self._records,
            "n_slots": n,
        }

    @staticmethod
    def stride_of(n_params: int) -> int:
        """Return the number of elements from one net's parameters to the next one's."""
        return n_params

    @classmethod
    def needs_lists(cls, run: Any) -> bool:
        """Whether an order is drawn through the lists of include/permutation.cuh, by many threads."""
        return True

    @classmethod
    def bytes_each(cls, run: Any) -> int:
        """Return the bytes a window needs per net; subclasses add those of training."""
        sample_bytes = ORDER_BYTES if cls.needs_lists(run) else np.dtype(np.int32).itemsize
        return run.data.n_samples * sample_bytes * run.config.shuffle + 8 * run.nets.n_records

    @abstractmethod
    def train(self, n_epochs: int) -> None:
        """Train every running net for n_epochs more; return when they are done."""

    @property
    def n_finished(self) -> int:
        return self.n_nets - self.n_active

    def collect(self) -> None:
        """Copy the results of nets that have ended, and the records of all, to the arrays of `nets`."""
        nets, scalars, counters = self.nets, cupy.asnumpy(self._scalars), cupy.asnumpy(self._counters)
        members, params = cupy.asnumpy(self._owners), cupy.asnumpy(self._params)
        status = counters[:, ProgressCounter.STATUS]
        ended = np.flatnonzero(status != RUNNING)
        diverged, owners, ended = status[ended] == DIVERGED_NET, rows_of(members[ended]), rows_of(ended)
        nets.params.reshape(-1, nets.n_params)[owners] = params[ended, : nets.n_params]
        nets.status[owners] = status[ended]
        unmeasured = diverged & ~np.isfinite(scalars[ended, ProgressScalar.LOSS])  # the epoch's loss was not finite
        nets.epochs[owners] = counters[ended, ProgressCounter.STEPS] // self.n_batches - unmeasured
        nets.loss[owners] = np.where(diverged, np.nan, scalars[ended, ProgressScalar.LOSS] / self.n_samples)
        nets.accuracy[owners] = scalars[ended, ProgressScalar.N_CORRECT] / self.n_samples
        if self.criteria.monitor != MONITOR_NONE:
            nets.best_epochs[owners], nets.best_value[owners] = (
                counters[ended, ProgressCounter.BEST_EPOCH],
                scalars[ended, ProgressScalar.BEST_VALUE],
            )
        with np.errstate(over="ignore"):
            nets.records.reshape(nets.n_records, -1)[:, rows_of(members)] = cupy.asnumpy(self._records)
        if nets.keeps_ended:
            self._keep_ended()

    # ---- nets between two epochs

    def suspended(self, status: int = RUNNING) -> tuple[SuspendedNets, np.ndarray]:
        """Return copies of the nets of this status, between two epochs, and their slots."""
        n_params, n_state = self.nets.n_params, self.rule.n_state
        counters = cupy.asnumpy(self._counters)
        slots = np.flatnonzero(counters[:, ProgressCounter.STATUS] == status)
        take = lambda array: cupy.asnumpy(array)[slots]
        scalars, best = take(self._scalars), self._best_params
        scalars[:, [ProgressScalar.LOSS, ProgressScalar.N_CORRECT]] = take(self._epochs_sums())
        scalars[:, ProgressScalar.LOSS] /= self.n_samples
        suspended = SuspendedNets(
            net_index=take(self._owners),
            epochs=counters[slots, ProgressCounter.STEPS] // self.n_batches,
            best_epochs=counters[slots, ProgressCounter.BEST_EPOCH],
            clock=counters[slots, ProgressCounter.STEPS] // self.n_batches,
            params=take(self._params)[:, :n_params],
            state=take(self._state)[:, :n_state, :n_params].reshape(len(slots), n_state * n_params),
            safe_params=take(self._safe_params)[:, :n_params],
            best_params=np.empty((len(slots), 0), self.dtype) if best is None else take(best)[:, :n_params],
            powers=scalars[:, POWERS],
            numbers=scalars[:, NUMBERS],
        )
        return suspended, slots

    def _epochs_sums(self) -> Any:
        """Return (nets, 2): losses and correct samples of each net's last complete epoch."""
        return self._scalars[:, ProgressScalar.LOSS : ProgressScalar.N_CORRECT + 1]

    def _keep_ended(self) -> None:
        """Copy nets that have trained all their epochs to their rows of nets.kept_vectors and nets.kept_numbers.

        Nets that have ended stay in their slots until the window is closed, with the state of their last step.
        """
        nets, (ended, _) = self.nets, self.suspended(ALL_EPOCHS)
        params, owners = ended.params, ended.net_index
        if ended.best_params.size:  # the kernel has exchanged them
            params = np.where(ended.best_epochs[:, None], ended.best_params, params)
        vectors = nets.kept_vectors.reshape(nets.n_nets, 2 + nets.n_state, nets.n_params)
        vectors[owners, 0], vectors[owners, 1] = params, ended.safe_params
        vectors[owners, 2:] = ended.state.reshape(len(owners), nets.n_state, nets.n_params)
        numbers = ended.powers, ended.numbers, ended.clock[:, None]
        nets.kept_numbers.reshape(nets.n_nets, -1)[owners] = np.hstack(numbers)

    def resume(self, suspended: SuspendedNets) -> None:
        """Go on with the window's nets, in their order, which have been trained for the same number of epochs."""
        nets, n, n_params, n_state = self.nets, self.n_nets, self.nets.n_params, self.rule.n_state
        record_epochs = nets.record_epochs[: nets.n_records]
        counters = np.zeros((n, len(ProgressCounter)), np.int64)
        counters[:, ProgressCounter.STEPS] = suspended.epochs * self.n_batches
        counters[:, ProgressCounter.BEST_EPOCH] = suspended.best_epochs
        counters[:, ProgressCounter.NEXT_RECORD] = np.searchsorted(record_epochs, suspended.epochs, side="right")
        counters[:, ProgressCounter.STATUS] = RUNNING
        scalars = cupy.asnumpy(self._scalars)
        scalars[:, POWERS], scalars[:, NUMBERS] = suspended.powers, suspended.numbers
        scalars[:, ProgressScalar.LOSS] *= self.n_samples
        self._counters[:], self._scalars[:] = to_device(counters), to_device(scalars)
        self._params[:, :n_params] = to_device(suspended.params)
        self._safe_params[:, :n_params] = to_device(suspended.safe_params)
        if self._best_params is not None:
            self._best_params[:, :n_params] = to_device(suspended.best_params)
        self._state[:, :n_state, :n_params] = to_device(suspended.state.reshape(n, n_state, n_params))
        records = nets.records.reshape(nets.n_records, -1)[:, suspended.net_index]
        self._records[:] = to_device(np.ascontiguousarray(records, np.float64))
