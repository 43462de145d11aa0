"""The nets of a population on the device: a window of them at a time, so that memory stays bounded.

Everything a net needs between launches lies in arrays with a slot per net of the window. A launch trains all slots that
are still running; then those that are finished drop out of `active`. When none is left, the window's results go home
and the next one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy
import numpy as np

from ..arguments import (
    DIVERGED_NET,
    HYPER,
    METRIC_MARGIN,
    MONITOR_NONE,
    MONITOR_VALIDATION_LOSS,
    NET_HYPER,
    RUNNING,
    Course,
    Data,
    Goal,
    Net,
    Nets,
)  # fmt: skip
from ..optimizers import CODES, Rule
from .architecture import Architecture
from .memory import checked_allocation, is_on_device, whole_data
from .per_net import (
    CHUNKS,
    NOTHING,
    Shape,
    compile_evaluation,
    compile_training,
    launch,
    padded,
    shared_limit,
    workspace_for,
)  # fmt: skip

SHARE_OF_MEMORY = 0.6  # of what is free, that a window may take
N_SCALARS, N_COUNTERS = 6, 4  # of per_net.cuh's Progress
BEST_VALUE, LOSS, RIGHT = 3, 4, 5
STEPS, BEST_EPOCH, _, STATUS = range(4)


def bound_of(net: Net, metric: int) -> float:
    return net.margin if metric == METRIC_MARGIN else net.middle


class NetsWork:
    """One fit's or evaluation's nets. The contract's arguments; n_ranks and lanes belong to processors and are not used
    here."""

    def __init__(
        self, net: Net, n_params: int, rows: int, n_samples: int, n_ranks: int, shuffle: bool, rule: Rule | None,
        loss: tuple[int, int], dtype: np.dtype, lanes: int,
    ):  # fmt: skip
        self.architecture = Architecture.of(net, loss[1], dtype)
        self.rule, self.rows, self.dtype, self.net, self.shuffle = rule, rows, np.dtype(dtype), net, shuffle
        self.n_state = rule.n_state if rule is not None else 0
        self._given: tuple | None = None
        self._window: _Window | None = None
        self._n_taken = self._n_done = 0

    @property
    def n_finished(self) -> int:
        """Nets whose training has ended."""
        return self._n_done + (self._window.n_finished if self._window is not None else 0)

    def train(self, data: Data, course: Course, goal: Goal, nets: Nets, held_out: Data, n_epochs: int) -> None:
        if self._window is None:
            if self._n_taken == nets.n_members:
                return
            if self._given is None:
                given = whole_data(data)
                held_out = given if held_out is data else whole_data(held_out)
                self._given = (given, held_out, _Tables(course, nets))
            self._open(course, goal, nets)
        assert self._window is not None
        self._window.train(n_epochs)
        if not self._window.n_active:
            self.collect()

    def _open(self, course: Course, goal: Goal, nets: Nets) -> None:
        assert self._given is not None
        free, _ = cupy.cuda.Device().mem_info
        each = padded(nets.n_params) * (self.n_state + 3) * self.dtype.itemsize + 8 * nets.n_records * 2 + 128
        if course.shuffle:
            each += 4 * self._given[0].n_samples
        shape = Shape.choose(self.architecture, self.n_state, course.batch_size, nets.n_members, shared_limit())
        each += shape.workspace * self.dtype.itemsize
        n = min(nets.n_members - self._n_taken, max(1, int(SHARE_OF_MEMORY * free / each)))
        members = nets.members[self._n_taken : self._n_taken + n]
        self._n_taken += n
        with checked_allocation("a window of nets", n * each, "Train fewer nets at a time."):
            self._window = _Window(self, members, course, goal, nets, *self._given)

    def unfinished(self) -> Iterator[tuple[int, int, np.ndarray, float, float]]:
        """(net, epochs done, parameters, loss, number right) of each net in training."""
        if self._window is not None:
            yield from self._window.unfinished()

    def collect(self) -> None:
        """Bring home what the present window has finished."""
        if self._window is not None:
            self._window.collect()
            self._n_done += self._window.n_finished
            self._window = None


class _Tables:
    """Settings of all nets, on the device."""

    def __init__(self, course: Course, nets: Nets):
        self.hyper, self.dropout = cupy.asarray(nets.hyper), cupy.asarray(nets.dropout)
        self.seeds, self.record_epochs = cupy.asarray(nets.seeds), cupy.asarray(nets.record_epochs)
        self.factors, self.layer_factors = cupy.asarray(course.factors), cupy.asarray(course.layer_factors)


class _Window:
    def __init__(
        self, work: NetsWork, members: np.ndarray, course: Course, goal: Goal, nets: Nets, data: Data, held_out: Data,
        tables: _Tables,
    ):  # fmt: skip
        self.members, self.nets, self.goal, self.work = members, nets, goal, work
        n, rule, dtype, n_params = len(members), work.rule, work.dtype, nets.n_params
        assert rule is not None
        self.n_batches = -(-data.n_samples // course.batch_size)
        self.n_samples, self.n_active = data.n_samples, n
        stride = padded(n_params)
        self._params = cupy.asarray(nets.params.reshape(-1, n_params)[members])
        state = cupy.zeros((n, max(rule.n_state, 1), stride), dtype)
        table = nets.hyper.reshape(-1, len(NET_HYPER))
        for row, initial in enumerate(rule.initial[: rule.n_state]):
            if isinstance(initial, str):
                values = table[members if nets.hyper_stride else np.zeros(n, np.int64), HYPER.index(initial)]
                state[:, row, :] = cupy.asarray(values.astype(dtype))[:, None]
        scalars = np.zeros((n, N_SCALARS))
        scalars[:, :2], scalars[:, 2:4] = 1.0, np.inf
        watches = goal.monitor != MONITOR_NONE
        validates = goal.monitor >= MONITOR_VALIDATION_LOSS
        limit = shared_limit()
        self._shape = Shape.choose(work.architecture, rule.n_state, course.batch_size, n, limit)
        self._kernel = compile_training(
            work.architecture, self._shape, CODES[rule.name], SHUFFLES=course.shuffle, WEIGHTED=data.weighted,
            SCHEDULED=goal.scheduled, PENALISED=nets.penalised, CLIPPED=nets.clipped, LAYERED=course.layered,
            VALIDATES=validates,
        )  # fmt: skip
        self._scalars, self._counters = cupy.asarray(scalars), cupy.zeros((n, N_COUNTERS), np.int64)
        self._active = cupy.arange(n, dtype=np.int64)
        self._records = cupy.full((nets.n_records, n), np.nan)
        self._job: dict[str, Any] = {
            "params": self._params, "state": state, "safe": self._params.copy(),
            "best": self._params.copy() if watches else None, "grads": None,
            "hyper": tables.hyper, "dropout": tables.dropout, "seeds": tables.seeds,
            "layer_factors": tables.layer_factors, "X": data.X, "Y": data.Y, "weight": data.weight,
            "held_X": held_out.X, "held_Y": held_out.Y, "held_weight": held_out.weight,
            "order": cupy.empty(n * data.n_samples if course.shuffle else 1, np.int32),
            "owners": cupy.asarray(members), "scalars": self._scalars, "counters": self._counters,
            "factors": tables.factors, "record_epochs": tables.record_epochs, "records": self._records,
            "right_records": cupy.empty_like(self._records), "output": None, "partial": None,
            "n_slots": n, "n_samples": data.n_samples, "n_held_out": held_out.n_samples,
            "batch_size": course.batch_size, "n_batches": self.n_batches, "n_epochs": goal.n_epochs,
            "first_factor": 0, "n_factors": len(course.factors), "n_records": nets.n_records,
            "patience": goal.patience, "monitor": goal.monitor, "held_weighted": held_out.weighted,
            "hyper_stride": nets.hyper_stride, "dropout_stride": nets.dropout_stride, "X_stride": nets.X_stride,
            "Y_stride": nets.Y_stride, "weight_stride": nets.weight_stride, "stop_loss": goal.stop_loss,
            "stop_right": goal.stop_right, "min_delta": goal.min_delta, "bound": bound_of(work.net, data.metric),
            "loss_constant": work.net.loss_constant,
        }  # fmt: skip

    @property
    def n_finished(self) -> int:
        return len(self.members) - self.n_active

    def train(self, n_epochs: int) -> None:
        """n_epochs more of every running net; returns when they are done."""
        n_blocks = -(-self.n_active // self._shape.threads) if self._shape.in_thread else self.n_active
        launch(
            self._kernel, self._shape, (n_blocks,), workspace_for(self._shape, n_blocks, self.work.dtype),
            self.work.dtype, **self._job, active=self._active, n_active=self.n_active,
            n_steps=n_epochs * self.n_batches,
        )  # fmt: skip
        self._active = self._active[self._counters[self._active, STATUS] == RUNNING]
        self.n_active = int(self._active.size)

    def collect(self) -> None:
        """Every slot's outcome into the arrays of nets; of those that still run, only what unfinished gives."""
        nets, scalars, counters = self.nets, cupy.asnumpy(self._scalars), cupy.asnumpy(self._counters)
        params, status = cupy.asnumpy(self._params), counters[:, STATUS]
        ended = np.flatnonzero(status != RUNNING)
        owners, diverged = self.members[ended], status[ended] == DIVERGED_NET
        nets.params.reshape(-1, nets.n_params)[owners] = params[ended]
        nets.status[owners] = status[ended]
        nets.epochs[owners] = counters[ended, STEPS] // self.n_batches - diverged
        nets.loss[owners] = np.where(diverged, np.nan, scalars[ended, LOSS] / self.n_samples)
        nets.right[owners] = scalars[ended, RIGHT] / self.n_samples
        watches = self.goal.monitor != MONITOR_NONE
        nets.best_epochs[owners] = counters[ended, BEST_EPOCH] if watches else -1
        nets.best[owners] = scalars[ended, BEST_VALUE]
        with np.errstate(over="ignore"):
            nets.records.reshape(nets.n_records, -1)[:, self.members] = cupy.asnumpy(self._records)

    def unfinished(self) -> Iterator[tuple[int, int, np.ndarray, float, float]]:
        scalars, counters, params = (cupy.asnumpy(x) for x in (self._scalars, self._counters, self._params))
        for slot in np.flatnonzero(counters[:, STATUS] == RUNNING):
            epochs = int(counters[slot, STEPS] // self.n_batches)
            loss, right = scalars[slot, [LOSS, RIGHT]] if epochs else (np.nan, np.nan)
            yield int(self.members[slot]), epochs, params[slot], float(loss / self.n_samples), float(right)


def evaluate_nets(net: Net, data: Data, nets: Nets, work: NetsWork, output: Any) -> None:
    """The contract's function: loss and share right of nets.members into nets, outputs where `output` has room."""
    data = whole_data(data)
    n, n_params, dtype = nets.n_members, nets.n_params, work.dtype
    size = data.n_samples * work.architecture.sizes[-1]
    free, _ = cupy.cuda.Device().mem_info
    shape = Shape.choose(work.architecture, 0, min(data.n_samples, 64), 1, shared_limit())
    each = (n_params + (size if output.size else 0) + shape.workspace) * dtype.itemsize + 64
    room = int(SHARE_OF_MEMORY * free / each)  # blocks, or nets of one block each
    most = max(1, min(n, 65535, room))  # 65,535: the largest second side of a grid
    kernel = compile_evaluation(work.architecture, shape, data.weighted, data.judged)
    params = nets.params.reshape(-1, n_params)
    for first in range(0, n, most):
        members = nets.members[first : first + most]
        m = len(members)
        chunks = max(1, min(CHUNKS, -(-data.n_samples // shape.tile), 4096 // m, room // m))
        partial, nothing = cupy.zeros((m, chunks, 2)), cupy.zeros(1)
        out = cupy.empty(m * size, dtype) if output.size else None
        launch(
            kernel, shape, (chunks, m), workspace_for(shape, m * chunks, dtype), dtype,
            **{
                **NOTHING, "params": cupy.asarray(params[members]), "hyper": nothing, "dropout": nothing,
                "X": data.X, "Y": data.Y, "weight": data.weight, "owners": cupy.asarray(members),
                "active": cupy.arange(m, dtype=np.int64), "output": out, "partial": partial, "n_active": m,
                "n_slots": m, "n_samples": data.n_samples, "X_stride": nets.X_stride, "Y_stride": nets.Y_stride,
                "weight_stride": nets.weight_stride, "bound": bound_of(net, data.metric),
                "loss_constant": net.loss_constant,
            },
        )  # fmt: skip
        if out is not None:
            output[first * size : (first + m) * size] = out if is_on_device(output) else cupy.asnumpy(out)
        if data.judged:
            both = cupy.asnumpy(partial).sum(axis=1) / data.n_samples
            nets.loss[members], nets.right[members] = both[:, 0], both[:, 1]
