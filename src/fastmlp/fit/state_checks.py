"""Checks of a state that comes from a file: its arrays have the dtypes and shapes that the fit itself would give them.

Sizes come from the task, never from the file. Values are not checked: they may be anything. The message of each
ValueError is a clause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import shown
from ..kernels.formulas.update_rules import MOST_STATE
from ..kernels.structs import ALL_EPOCHS, MAX_RECORDS, N_SCALARS, NO_EPOCH, RUNNING, STEPS_DONE, SuspendedNets
from ..population_result.stopped_by import BY_CALLBACK
from .hooks.early_stopping import Checkpoint
from .outcome import Outcome
from .rows import InMemory
from .state import FitState, NetState
from .task import FitTask, epochs_of_attempt

ENDS = "", "early_stopping", "converged"  # values of NetState.ended_by
ANY = -1  # length that is not checked


def check_form(prefix: str, arrays: Mapping[str, Any], forms: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
    """Raise ValueError if an array has another dtype or shape.

    forms : {name: (dtype, shape)}
    """
    for name, (dtype, shape) in forms.items():
        array = arrays[name]
        same = array.ndim == len(shape) and all(n in (ANY, found) for n, found in zip(shape, array.shape, strict=True))
        if array.dtype != np.dtype(dtype) or not same:
            raise ValueError(
                f"{prefix}{name} should be {np.dtype(dtype)} of shape {shape}, but it is {array.dtype} of shape "
                f"{array.shape}"
            )


def check_count(name: str, value: Any, low: int, high: int) -> None:
    """Raise ValueError if a value is not an int from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} should be a whole number from {low:,} to {high:,}, but it is {shown(value)}")


def check_integers(name: str, array: np.ndarray, low: int, high: int, *shape: int) -> None:
    """Raise ValueError if an array is not int64 of a shape, with values from low to high."""
    check_form("", {name: array}, {name: (np.int64, shape)})
    if array.size and not (low <= array.min() and array.max() <= high):
        raise ValueError(f"{name} should be from {low:,} to {high:,}, but it has {array.min():,} to {array.max():,}")


def check_state(state: FitState, task: FitTask, epochs: int, metrics: tuple[str, ...], block_rows: int) -> None:
    """Raise ValueError if a state is none of the fit of a task; other exceptions mean damage, too.

    epochs : of the fit that has written it
    metrics : "training.NAME" and "validation.NAME"
    block_rows : rows of each block on disk but the last; 0 for rows in memory
    """
    n_nets, n_params = task.params.shape
    check_count("attempt", state.attempt, 0, epochs)
    n_epochs = epochs_of_attempt(epochs, task.restart_after, state.attempt)
    check_count("the number of epochs of the attempt", n_epochs, 1, epochs)
    check_form("", vars(state), {"params": (task.dtype, (n_nets, n_params))})
    check_integers("restarts", state.restarts, 0, epochs, n_nets)  # workers make all attempts of a net
    check_integers("spent", state.spent, 0, epochs, 0 if task.restart_after is None else n_nets)
    _check_outcome(state.outcome, task, epochs)
    status = state.outcome["status"]
    _check_lanes("nets.", state.suspended, task, n_epochs - 1, status == RUNNING)  # kernels end a net at the last epoch
    _check_lanes("ended.", state.ended, task, n_epochs, status == ALL_EPOCHS)
    for number, net in state.nets.items():
        check_count("the number of a net", number, 0, n_nets - 1)
        _check_net(net, task, max(n_epochs, task.epochs), metrics, block_rows)


def _check_outcome(outcome: dict[str, np.ndarray], task: FitTask, n_epochs: int) -> None:
    expected, n_records = Outcome.empty(task), len(outcome["record_epochs"])
    check_count("the number of recorded epochs", n_records, 1, MAX_RECORDS)
    check_integers("record_epochs", outcome["record_epochs"], 1, NO_EPOCH, n_records)
    if (np.diff(outcome["record_epochs"]) <= 0).any():
        raise ValueError("record_epochs should ascend, but they do not")
    names = "loss", "accuracy", "best_value", "all_correct"
    forms = {name: (getattr(expected, name).dtype, getattr(expected, name).shape) for name in names}
    check_form("", outcome, forms | {"records": (task.dtype, (n_records, task.n_nets))})
    check_integers("status", outcome["status"], RUNNING, BY_CALLBACK, task.n_nets)
    check_integers("epochs", outcome["epochs"], 0, n_epochs, task.n_nets)
    check_integers("best_epochs", outcome["best_epochs"], -1, n_epochs, expected.best_epochs.size)


def _check_lanes(prefix: str, nets: SuspendedNets, task: FitTask, most_epochs: int, may_be: np.ndarray) -> None:
    """Check nets in lanes.

    most_epochs : that one of them has completed
    may_be : bool (n_nets,)     the nets that may be among them
    """
    n, n_params = len(nets.net_index), task.params.shape[1]
    if n == 0 and not any(array.size for array in nets):
        return
    check_integers(f"{prefix}net_index", nets.net_index, 0, task.n_nets - 1, n)
    if len(np.unique(nets.net_index)) < n or not may_be[nets.net_index].all():
        raise ValueError(f"{prefix}net_index should have each net once, none of which has ended otherwise")
    check_integers(f"{prefix}epochs", nets.epochs, 0, most_epochs, n)
    check_integers(f"{prefix}best_epochs", nets.best_epochs, -1, most_epochs, n)
    check_integers(f"{prefix}clock", nets.clock, 0, NO_EPOCH // 2, n)
    n_best, n_state = n_params if task.monitored is not None else 0, task.optimizer.rule.n_state
    columns = {"params": n_params, "safe_params": n_params, "best_params": n_best, "state": n_state * n_params}
    forms: dict[str, Any] = {name: (task.dtype, (n, n_columns)) for name, n_columns in columns.items()}
    check_form(prefix, nets._asdict(), forms | {"powers": (np.float64, (n, 2)), "numbers": (np.float64, (n, 4))})


def _check_net(state: NetState, task: FitTask, n_epochs: int, metrics: tuple[str, ...], block_rows: int) -> None:
    n, scored, n_batches, in_memory = len(state.loss), state.scored, task.n_batches, isinstance(task.rows, InMemory)
    n_padded, n_state = task.network.layout.padded(task.dtype).size, task.optimizer.rule.n_state
    n_validated = n if task.held_out is not None else 0
    check_count("the number of losses", n, 0, n_epochs)
    forms: dict[str, Any] = {
        "params": (task.dtype, (n_padded,)),
        "optimizer_state": (task.dtype, (n_state, n_padded)),
        "scalars": (np.float64, (N_SCALARS,)),
        "loss": (np.float64, (n,)),
        "accuracy": (np.float64, (n,)),
        "validation": (np.float64, (n_validated, 2)),
        "sums": (np.float64, (2,)),
    }
    check_form("", vars(state), forms)
    check_form("", state.metrics, dict.fromkeys(metrics, (np.float64, (n,))))
    counts = {"n_final_epochs": state.n_final_epochs, "n_scored": scored.n_epochs, "best_epoch": scored.epoch + 1}
    for name, count in counts.items():
        check_count(name, count, 0, n)
    if type(scored.value) not in (int, float) or state.ended_by not in ENDS or state.on_disk is in_memory:
        raise ValueError("its best value, its end or its place is none")
    if in_memory:
        check_count("the number of steps", _steps(state.scalars), n * n_batches, min(n + 1, n_epochs) * n_batches)
    else:
        _check_place(state, task, block_rows)
    final = scored.final
    if final is not None and final.checkpoint is None:
        check_form("", {"best_params": final.params}, {"best_params": (task.dtype, (n_padded,))})
    elif final is not None and final.checkpoint is not None:
        check_count("n_replayed", final.n_epochs, 0, n - final.checkpoint.epoch)
    for checkpoint in (state.stretch, None if final is None else final.checkpoint):
        if checkpoint is not None:
            if not in_memory:
                raise ValueError("it has epochs to replay, but fits to blocks replay none")
            _check_checkpoint(checkpoint, task, n_padded, n)


def _check_place(state: NetState, task: FitTask, block_rows: int) -> None:
    n_samples = task.rows.n_samples
    check_count("n_blocks", state.n_blocks, 0, -(-n_samples // block_rows))
    done = min(state.n_blocks * block_rows, n_samples)
    check_count("n_rows", state.n_rows, done, done)
    in_block = -(-min(block_rows, n_samples - done) // task.batch_size)
    check_count("the number of steps in a block", _steps(state.scalars), 0, max(0, in_block - 1))


def _check_checkpoint(checkpoint: Checkpoint, task: FitTask, n_padded: int, n_epochs: int) -> None:
    """Check what a replay begins with, before the last of n_epochs epochs."""
    check_count("the epoch of a checkpoint", checkpoint.epoch, 0, n_epochs)
    forms: dict[str, Any] = {
        "params": (task.dtype, (n_padded,)),
        "state": (task.dtype, (MOST_STATE * n_padded,)),
        "scalars": (np.float64, (ANY, N_SCALARS)),
    }
    check_form("checkpoint.", checkpoint._asdict(), forms)
    if {_steps(scalars) for scalars in checkpoint.scalars} != {checkpoint.epoch * task.n_batches}:
        raise ValueError(f"the steps of a checkpoint should be those of {checkpoint.epoch:,} epochs")


def _steps(scalars: np.ndarray) -> int:
    steps = float(scalars[STEPS_DONE])
    if not (steps.is_integer() and 0 <= steps < 2**53):
        raise ValueError(f"the number of steps should be a whole number, but it is {shown(steps)}")
    return int(steps)
