"""State of a fit between two kernel calls: from it, a fit of the same net, data and settings goes on to the same bits.

It is plain arrays and numbers. Random numbers are counter-based: seed, epoch and step determine them, so that no
generator has a state. The file of a checkpoint has the arrays and numbers that `FitState.to_file` returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from .best_epoch import Checkpoint, FinalParams, ScoredEpochs

PLAIN = "params", "optimizer_state", "scalars", "loss", "accuracy", "validation"  # arrays that every state has
METRICS, BEST, REPLAY, STRETCH = "metrics.", "best_params", "replay.", "stretch."  # names and prefixes of the others
State = TypeVar("State")


class Parts(NamedTuple):
    """Arrays by name, and numbers and text by name that JSON can hold."""

    arrays: dict[str, np.ndarray]
    numbers: dict[str, Any]


@dataclass
class FitState:
    """State of a fit of one net.

    Epochs up to `n_checked` have been validated and scored. Of the epochs after it, only the steps have been trained:
    `stretch` is the checkpoint before them, from which early stopping may have to replay.
    """

    params: np.ndarray  # (n_padded,)
    optimizer_state: np.ndarray  # (n_state, n_padded), the state vectors of the update rule
    scalars: np.ndarray  # float64 (N_SCALARS,), among them the number of steps done and the sums of the present epoch
    loss: np.ndarray  # float64 (epochs,), of the finished epochs
    accuracy: np.ndarray  # float64 (epochs,)
    validation: np.ndarray  # float64 (n_checked, 2), loss and accuracy on held-out samples; (0, 2) without any
    n_checked: int
    ended_by: str = ""  # "early_stopping" or "converged" if records have ended the fit, ...
    n_final_epochs: int = 0  # ... after this number of epochs
    scored: ScoredEpochs = field(default_factory=ScoredEpochs)
    stretch: Checkpoint | None = None
    metrics: dict[str, np.ndarray] = field(default_factory=dict)  # "training.NAME" and "validation.NAME"

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays = {name: getattr(self, name) for name in PLAIN}
        arrays |= {f"{METRICS}{name}": values for name, values in self.metrics.items()}
        scored, final = self.scored, self.scored.final
        numbers: dict[str, Any] = {
            "n_checked": self.n_checked,
            "ended_by": self.ended_by,
            "n_final_epochs": self.n_final_epochs,
            "n_scored": scored.n_epochs,
            "best_value": scored.value if isfinite(scored.value) else None,
            "best_epoch": scored.epoch,
        }
        if final is not None and final.checkpoint is None:
            arrays[BEST] = final.params
        elif final is not None:
            numbers["n_replayed"] = final.n_epochs
        for prefix, checkpoint in ((REPLAY, None if final is None else final.checkpoint), (STRETCH, self.stretch)):
            if checkpoint is not None:
                numbers[f"{prefix}epoch"] = checkpoint.epoch
                arrays |= {f"{prefix}{name}": getattr(checkpoint, name) for name in Checkpoint._fields[1:]}
        return Parts(arrays, numbers)

    @classmethod
    def from_file(cls, parts: Parts) -> FitState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        final = None
        if (checkpoint := _checkpoint(parts, REPLAY)) is not None:
            final = FinalParams(checkpoint=checkpoint, n_epochs=numbers["n_replayed"])
        elif BEST in arrays:
            final = FinalParams(arrays[BEST])
        value = numbers["best_value"]
        plain: dict[str, Any] = {name: arrays[name] for name in PLAIN}
        plain |= {name: numbers[name] for name in ("n_checked", "ended_by", "n_final_epochs")}
        return cls(
            **plain,
            scored=ScoredEpochs(numbers["n_scored"], inf if value is None else value, numbers["best_epoch"], final),
            stretch=_checkpoint(parts, STRETCH),
            metrics={name.removeprefix(METRICS): a for name, a in arrays.items() if name.startswith(METRICS)},
        )


def _checkpoint(parts: Parts, prefix: str) -> Checkpoint | None:
    if f"{prefix}epoch" not in parts.numbers:
        return None
    arrays = (parts.arrays[f"{prefix}{name}"] for name in Checkpoint._fields[1:])
    return Checkpoint(parts.numbers[f"{prefix}epoch"], *arrays)


class Saver(Protocol[State]):
    """Receiver of a fit's state whenever one is due, and source of the state that the fit starts from.

    The state is a FitState or, of a fit to blocks of rows, a StreamState.
    """

    @property
    def start(self) -> State | None:
        """State to start from; None for a fit from its first epoch on."""

    def is_due(self, epochs_done: int) -> bool:
        """Whether a state is due after so many epochs, or within the next one."""

    def epochs_left(self, epochs_done: int) -> int | None:
        """Number of epochs until a state is due; None if a time decides."""

    def save(self, state: State, epochs_done: int) -> None:
        """Take a state, which is not changed later."""
