"""State of a population's fit, from which a fit of the same nets, data and settings goes on to the same bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels.structs import SuspendedNets
from ..training.fit_state import FitState, Parts

# Arrays of the outcome. The status comes first: nets are trained while it is copied, and write theirs last.
OUTCOME = "status", "epochs", "best_epochs", "loss", "accuracy", "best_value", "all_correct", "record_epochs", "records"
RESULTS, NETS, NET = "outcome.", "nets.", "net."  # prefixes of arrays in a file


@dataclass
class PopulationFitState:
    """State of a population's fit.

    A net has ended, in this attempt, if its status is not RUNNING. The others are in training and in `suspended` or
    `fits`, or they have not begun.
    """

    params: np.ndarray  # (n_nets, n_params), final ones of nets that have ended, initial ones of those not begun
    restarts: np.ndarray  # int64 (n_nets,), number of restarts of each net
    spent: np.ndarray  # int64 (n_nets,), epochs of earlier attempts; empty without restarts
    attempt: int  # counted from 0
    outcome: dict[str, np.ndarray]  # arrays of the PopulationOutcome by name
    suspended: SuspendedNets = field(default_factory=SuspendedNets.none)  # nets trained together
    fits: dict[int, FitState] = field(default_factory=dict)  # nets trained one by one, by their number

    @property
    def n_ended(self) -> int:
        """Number of nets that have ended in this attempt."""
        return int(np.count_nonzero(self.outcome["status"]))

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays = {"params": self.params, "restarts": self.restarts, "spent": self.spent}
        arrays |= {f"{RESULTS}{name}": array for name, array in self.outcome.items()}
        arrays |= {f"{NETS}{name}": array for name, array in zip(self.suspended._fields, self.suspended, strict=True)}
        numbers: dict[str, Any] = {"attempt": self.attempt, "fits": {}}
        for net, fit in self.fits.items():
            of_net, numbers["fits"][str(net)] = fit.to_file()
            arrays |= {f"{NET}{net}.{name}": array for name, array in of_net.items()}
        return Parts(arrays, numbers)

    @classmethod
    def from_file(cls, parts: Parts) -> PopulationFitState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        with_prefix = lambda prefix: {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        return cls(
            **{name: arrays[name] for name in ("params", "restarts", "spent")},
            attempt=numbers["attempt"],
            outcome={name: arrays[f"{RESULTS}{name}"] for name in OUTCOME},
            # by name, since files of earlier versions have a further array
            suspended=SuspendedNets(**{name: arrays[f"{NETS}{name}"] for name in SuspendedNets._fields}),
            fits={
                int(net): FitState.from_file(Parts(with_prefix(f"{NET}{net}."), of_net))
                for net, of_net in numbers["fits"].items()
            },
        )
