"""Reasons why the training of a net ended: codes, of which arrays are made, names, and what a report says."""

from __future__ import annotations

from typing import NamedTuple

from ..kernels.structs import ALL_EPOCHS, CONVERGED, DIVERGED_NET, RUNNING, STOPPED_EARLY

OUT_OF_TIME = DIVERGED_NET + 1  # status of nets that the time limit has cut short, which kernels do not know
BY_CALLBACK = DIVERGED_NET + 2  # status of nets that a callback has ended


class Reason(NamedTuple):
    code: int  # status of a net
    name: str  # value of `stopped_by`
    text: str  # in a report


REASONS = (
    Reason(RUNNING, "interrupt", "it was interrupted"),
    Reason(CONVERGED, "converged", "it had converged"),
    Reason(ALL_EPOCHS, "epochs", "all epochs were trained"),
    Reason(STOPPED_EARLY, "early_stopping", "no more improvement"),
    Reason(DIVERGED_NET, "divergence", "the loss stopped being finite"),
    Reason(OUT_OF_TIME, "time_limit", "its time was over"),
    Reason(BY_CALLBACK, "callback", "a callback ended it"),
)
STOPPED_BY = {row.code: row.name for row in REASONS}
CODES = {row.name: row.code for row in REASONS}
TEXTS = {row.name: row.text for row in REASONS}
