"""Reasons why the training of a net of a population ended: codes, of which arrays are made, and their names."""

from __future__ import annotations

from ..kernels.structs import ALL_EPOCHS, CONVERGED, DIVERGED_NET, RUNNING, STOPPED_EARLY

OUT_OF_TIME = DIVERGED_NET + 1  # status of nets that the time limit has cut short, which kernels do not know
BY_CALLBACK = DIVERGED_NET + 2  # status of nets that a callback has ended
STOPPED_BY = {
    RUNNING: "interrupt",
    CONVERGED: "converged",
    ALL_EPOCHS: "epochs",
    STOPPED_EARLY: "early_stopping",
    DIVERGED_NET: "divergence",
    OUT_OF_TIME: "time_limit",
    BY_CALLBACK: "callback",
}
CODES = {name: code for code, name in STOPPED_BY.items()}
