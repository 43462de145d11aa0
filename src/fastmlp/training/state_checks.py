"""Checks of a state that comes from a file: arrays have the dtypes and shapes of this fit, and counts are within it.

A checksum detects damage, but whoever can write the file can write the checksum, too. Kernels check nothing: a state of
other shapes or counts could make them read and write beyond their arrays. Values are not checked: they may be anything.
The message of each ValueError is a clause.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import shown
from ..kernels.formulas.update_rules import MOST_STATE
from ..kernels.structs import N_SCALARS, STEPS_DONE
from .best_epoch import Checkpoint
from .fit_state import FitState
from .stream_state import StreamState

ENDS = "", "early_stopping", "converged"  # values of FitState.ended_by


class StateForm(NamedTuple):
    """Form of the states of one net in a fit."""

    n_padded: int  # length of the padded parameters
    n_state: int  # number of state vectors of the update rule
    dtype: np.dtype
    n_epochs: int  # largest number of epochs
    n_batches: int  # steps of an epoch
    validates: bool  # whether there are held-out samples
    metrics: tuple[str, ...] = ()  # "training.NAME" and "validation.NAME"


def check_array(name: str, array: np.ndarray, dtype: Any, *shape: int) -> None:
    """Raise ValueError if an array has another dtype or shape."""
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise ValueError(
            f"{name} should be {np.dtype(dtype)} of shape {shape}, but it is {array.dtype} of shape {array.shape}"
        )


def check_count(name: str, value: Any, low: int, high: int) -> None:
    """Raise ValueError if a value is not an int from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} should be a whole number from {low:,} to {high:,}, but it is {shown(value)}")


def check_integers(name: str, array: np.ndarray, low: int, high: int, *shape: int) -> None:
    """Raise ValueError if an array is not int64 of a shape, with values from low to high."""
    check_array(name, array, np.int64, *shape)
    if array.size and not (low <= array.min() and array.max() <= high):
        raise ValueError(f"{name} should be from {low:,} to {high:,}, but it has {array.min():,} to {array.max():,}")


def steps_done(state: FitState) -> int:
    """Return the number of steps in a state, checked to be a count."""
    check_array("scalars", state.scalars, np.float64, N_SCALARS)
    return _steps(state.scalars)


def check_state(state: FitState, form: StateForm) -> None:
    """Raise ValueError if a state, which may lie within an epoch, is none of a fit of this form.

    Other exceptions mean damage, too, such as an AttributeError for text in the place of an array.
    """
    n = len(state.loss)
    check_count("the number of losses", n, 0, form.n_epochs)
    if steps_done(state) // form.n_batches != n or steps_done(state) > form.n_epochs * form.n_batches:
        raise ValueError(f"there are {n:,} losses, but {steps_done(state):,} steps of {form.n_batches:,} in an epoch")
    _check_params(state, form)
    _check_records(state, form)
    for checkpoint in (state.stretch, None if state.scored.final is None else state.scored.final.checkpoint):
        if checkpoint is not None:
            _check_checkpoint(checkpoint, form, n)


def _check_params(state: FitState, form: StateForm) -> None:
    """Check parameters and optimiser state, as check_state does."""
    check_array("params", state.params, form.dtype, form.n_padded)
    check_array("optimizer_state", state.optimizer_state, form.dtype, form.n_state, form.n_padded)
    final = state.scored.final
    if final is not None and final.checkpoint is None:
        check_array("best_params", final.params, form.dtype, form.n_padded)


def _check_records(state: FitState, form: StateForm) -> None:
    """Check the records of all epochs, and what is known of the best one, as check_state does."""
    n, scored = len(state.loss), state.scored
    check_array("loss", state.loss, np.float64, n)
    check_array("accuracy", state.accuracy, np.float64, n)
    check_array("validation", state.validation, np.float64, len(state.validation), 2)
    check_count("the number of validated epochs", len(state.validation), 0, n if form.validates else 0)
    counts = {"n_checked": state.n_checked, "n_final_epochs": state.n_final_epochs, "n_scored": scored.n_epochs}
    for name, count in counts.items():
        check_count(name, count, 0, n)
    check_count("best_epoch", scored.epoch, -1, n - 1)
    if type(scored.value) not in (int, float):
        raise ValueError(f"best_value should be a number, but it is {shown(scored.value)}")
    if state.ended_by not in ENDS:
        raise ValueError(f"ended_by should be one of {ENDS}, but it is {shown(state.ended_by)}")
    for name in form.metrics:
        check_array(name, state.metrics[name], np.float64, state.n_checked)
    if scored.final is not None and scored.final.checkpoint is not None:
        check_count("n_replayed", scored.final.n_epochs, 0, n - scored.final.checkpoint.epoch)


def check_stream_state(state: StreamState, form: StateForm, block_rows: int, n_samples: int, batch_size: int) -> None:
    """Raise ValueError if a state is none of a fit of this form to blocks of rows, as check_state does.

    block_rows : rows of each block but the last
    n_samples, batch_size : rows of the fit, and of a step
    """
    fit, place = state
    check_count("the number of losses", state.n_epochs, 0, form.n_epochs)
    _check_params(fit, form)
    _check_records(fit, form)
    if fit.stretch is not None or (fit.scored.final is not None and fit.scored.final.checkpoint is not None):
        raise ValueError("it has epochs to replay, but fits to blocks replay none")
    if form.validates:
        check_count("the number of validated epochs", len(fit.validation), state.n_epochs, state.n_epochs)
    check_array("sums", place.sums, np.float64, 2)
    check_count("n_blocks", place.n_blocks, 0, -(-n_samples // block_rows))
    done = min(place.n_blocks * block_rows, n_samples)
    check_count("n_rows", place.n_rows, done, done)
    in_block = -(-min(block_rows, n_samples - done) // batch_size)
    check_count("the number of steps in a block", steps_done(fit), 0, max(0, in_block - 1))


def _check_checkpoint(checkpoint: Checkpoint, form: StateForm, n_epochs: int) -> None:
    """Check what a replay begins with, before the last of n_epochs epochs."""
    check_count("the epoch of a checkpoint", checkpoint.epoch, 0, n_epochs)
    check_array("params of a checkpoint", checkpoint.params, form.dtype, form.n_padded)
    check_array("state of a checkpoint", checkpoint.state, form.dtype, MOST_STATE * form.n_padded)
    check_array("scalars of a checkpoint", checkpoint.scalars, np.float64, len(checkpoint.scalars), N_SCALARS)
    if {_steps(scalars) for scalars in checkpoint.scalars} != {checkpoint.epoch * form.n_batches}:
        raise ValueError(f"the steps of a checkpoint should be those of {checkpoint.epoch:,} epochs")


def _steps(scalars: np.ndarray) -> int:
    steps = float(scalars[STEPS_DONE])
    if not (steps.is_integer() and 0 <= steps < 2**53):
        raise ValueError(f"the number of steps should be a whole number, but it is {shown(steps)}")
    return int(steps)
