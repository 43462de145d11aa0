"""State of a population's fit, from which a fit of the same nets, data and settings goes on to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..kernels.structs import ALL_EPOCHS, RUNNING, STEPS_DONE, UNCHECKED, SuspendedNets
from ..training.fit_state import FitState, Parts

# Arrays of the outcome. The status comes first: nets are trained while it is copied, and write theirs last.
OUTCOME = "status", "epochs", "best_epochs", "loss", "accuracy", "best_value", "all_correct", "record_epochs", "records"
RESULTS, NETS, ENDED, NET = "outcome.", "nets.", "ended.", "net."  # prefixes of arrays in a file
ALL, SOME, ON_WORKERS = "all", "some", "on_workers"  # which nets workers of an executor have trained, and its name
State = TypeVar("State")


def parts_of_nets(states: Mapping[int, Any]) -> Parts:
    """Return the states of several nets, by their number, as arrays and numbers for a file."""
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, Any] = {}
    for net, state in states.items():
        of_net, numbers[str(net)] = state.to_file()
        arrays |= {f"{NET}{net}.{name}": array for name, array in of_net.items()}
    return Parts(arrays, numbers)


def states_of_nets(parts: Parts, from_file: Callable[[Parts], State]) -> dict[int, State]:
    """Return the states of several nets, by their number.

    parts : as parts_of_nets returns them; other arrays are ignored
    from_file : function that returns a state from its own arrays and numbers
    """
    arrays: dict[str, dict[str, np.ndarray]] = {net: {} for net in parts.numbers}
    for name, array in parts.arrays.items():
        net, _, of_net = name.removeprefix(NET).partition(".")
        if name.startswith(NET) and net in arrays:
            arrays[net][of_net] = array
    return {int(net): from_file(Parts(arrays[net], numbers)) for net, numbers in parts.numbers.items()}


@dataclass
class PopulationFitState:
    """State of a population's fit.

    A net has ended, in this attempt, if its status is not RUNNING. The others are in training and in `suspended` or
    `fits`, or they have not begun. Nets that have ended with their last epoch, status ALL_EPOCHS, are in `ended` or
    `fits`, so that they can go on to a larger number of epochs.
    """

    params: np.ndarray  # (n_nets, n_params), final ones of nets that have ended, initial ones of those not begun
    restarts: np.ndarray  # int64 (n_nets,), number of restarts of each net
    spent: np.ndarray  # int64 (n_nets,), epochs of earlier attempts; empty without restarts
    attempt: int  # counted from 0
    outcome: dict[str, np.ndarray]  # arrays of the PopulationOutcome by name
    suspended: SuspendedNets = field(default_factory=SuspendedNets.none)  # nets trained together
    fits: dict[int, FitState] = field(default_factory=dict)  # nets trained one by one, by their number
    ended: SuspendedNets = field(default_factory=SuspendedNets.none)  # nets trained together
    # ALL or SOME: which of the nets that have ended were trained, with all their restarts, by workers of an executor.
    # Those are not in `ended` or `fits`.
    on_workers: str = ""

    @property
    def n_ended(self) -> int:
        """Number of nets that have ended in this attempt."""
        return int(np.count_nonzero(self.outcome["status"]))

    @property
    def n_without_state(self) -> int:
        """Number of nets that have ended with their last epoch and have no state, as in files of older versions."""
        ended = np.flatnonzero(self.outcome["status"] == ALL_EPOCHS)
        return int(np.count_nonzero(~np.isin(ended, [*self.ended.net_index, *self.fits])))

    def n_epochs(self, n_batches: int, first_attempt: int = 0) -> int:
        """Return the largest number of epochs that a net has begun in an attempt.

        n_batches : steps of an epoch
        first_attempt : attempt from which on they count
        """
        done = self.outcome["epochs"][self.restarts >= first_attempt].max(initial=0)
        begun = (-(-int(state.scalars[STEPS_DONE]) // n_batches) for state in self.fits.values())
        return max(int(done), int(self.suspended.epochs.max(initial=0)), *begun, 0)

    def extend(self, n_epochs: int) -> None:
        """Let the nets go on that have ended with the last epoch of this attempt, if it has more epochs now.

        n_epochs : largest number of epochs of a net in this attempt
        """
        goes_on = (self.outcome["status"] == ALL_EPOCHS) & (self.outcome["epochs"] < n_epochs)
        if not goes_on.any():
            return
        changed = {"status": np.where(goes_on, RUNNING, self.outcome["status"])}
        if (all_correct := self.outcome["all_correct"]).size:
            changed["all_correct"] = np.where(goes_on, UNCHECKED, all_correct).astype(all_correct.dtype)
        self.outcome = self.outcome | changed
        parts = [part for part in (self.suspended, self.ended) if len(part.net_index)]
        if parts:
            self.suspended, self.ended = SuspendedNets.joined(parts), SuspendedNets.none()

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays = {"params": self.params, "restarts": self.restarts, "spent": self.spent}
        arrays |= {f"{RESULTS}{name}": array for name, array in self.outcome.items()}
        for prefix, nets in ((NETS, self.suspended), (ENDED, self.ended)):
            arrays |= {f"{prefix}{name}": array for name, array in nets._asdict().items()}
        fits = parts_of_nets(self.fits)
        numbers = {"attempt": self.attempt, "fits": fits.numbers}
        return Parts(arrays | fits.arrays, numbers | ({ON_WORKERS: self.on_workers} if self.on_workers else {}))

    @classmethod
    def from_file(cls, parts: Parts) -> PopulationFitState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        return cls(
            **{name: arrays[name] for name in ("params", "restarts", "spent")},
            attempt=numbers["attempt"],
            outcome={name: arrays[f"{RESULTS}{name}"] for name in OUTCOME},
            suspended=_nets_of_file(arrays, NETS),
            fits=states_of_nets(Parts(arrays, numbers["fits"]), FitState.from_file),
            ended=_nets_of_file(arrays, ENDED) if f"{ENDED}net_index" in arrays else SuspendedNets.none(),
            on_workers=numbers.get(ON_WORKERS, ""),
        )


def _nets_of_file(arrays: Mapping[str, np.ndarray], prefix: str) -> SuspendedNets:
    # by name, since files of earlier versions have a further array
    return SuspendedNets(**{name: arrays[f"{prefix}{name}"] for name in SuspendedNets._fields})
