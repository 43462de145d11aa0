"""State of a fit between two kernel calls: from it, a fit of the same nets, rows and settings goes on to the same bits.

It is plain arrays and numbers. Random numbers are counter-based: seed, epoch and step determine them, so that no
generator has a state. The state of one net is that of a population of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import numpy as np

from ..kernels.formulas.update_rules import MOST_STATE
from ..kernels.structs import ALL_EPOCHS, N_SCALARS, NONE_SUSPENDED, RUNNING, STEPS_DONE, UNCHECKED, SuspendedNets
from ..persistence.parts import Parts
from .hooks import Hook
from .hooks.early_stopping import Checkpoint, EndByRecords, FinalParams, ScoredEpochs
from .hooks.metrics import Measure
from .one_net import OneNet
from .optimizer_state import CARRIED
from .outcome import joined_records
from .rows import InMemory, Place
from .task import FitTask

PLAIN = "params", "optimizer_state", "scalars", "loss", "accuracy", "validation", "sums"  # arrays of every net's state
METRICS, BEST, REPLAY, STRETCH = "metrics.", "best_params", "replay.", "stretch."  # names and prefixes of the others
# Arrays of the outcome. The status comes first: nets are trained while it is copied, and write theirs last.
OUTCOME = "status", "epochs", "best_epochs", "loss", "accuracy", "best_value", "all_correct", "record_epochs", "records"
RESULTS, NETS, ENDED, NET = "outcome.", "nets.", "ended.", "net."  # prefixes of arrays in a file


@dataclass
class NetState:
    """State of a net that is trained by itself.

    Epochs up to `scored.n_epochs` have been scored. Of the epochs after it, only the steps have been trained: `stretch`
    is the checkpoint before them, from which early stopping may have to replay.
    """

    params: np.ndarray  # (n_padded,)
    optimizer_state: np.ndarray  # (n_state, n_padded), the state vectors of the update rule
    # float64 (N_SCALARS,), among them the number of steps done, and the sums of the present epoch: of rows on disk,
    # those of the block in training or, between two blocks, of the next one
    scalars: np.ndarray
    loss: np.ndarray  # float64 (epochs,), of the finished epochs
    accuracy: np.ndarray  # float64 (epochs,)
    validation: np.ndarray  # float64 (epochs, 2), loss and accuracy on held-out samples; (0, 2) without any
    on_disk: bool = False  # whether the rows are read from disk; then of the present epoch:
    n_blocks: int = 0  # blocks that are trained,
    n_rows: int = 0  # their rows,
    sums: np.ndarray = field(default_factory=lambda: np.zeros(2))  # and float64 (2,), what Place.sums is
    ended_by: str = ""  # "early_stopping" or "converged" if records have ended the fit, ...
    n_final_epochs: int = 0  # ... after this number of epochs
    scored: ScoredEpochs = field(default_factory=ScoredEpochs)
    stretch: Checkpoint | None = None
    metrics: dict[str, np.ndarray] = field(default_factory=dict)  # "training.NAME" and "validation.NAME"

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)

    @property
    def steps_in_block(self) -> int:
        return int(self.scalars[STEPS_DONE])

    def n_steps(self, n_batches: int, batch_size: int) -> int:
        """Return the number of steps done; n_batches : of an epoch"""
        before = self.n_epochs * n_batches + self.n_rows // batch_size if self.on_disk else 0
        return before + self.steps_in_block

    # ---- from a net in training, and into one that has not begun

    @classmethod
    def of(cls, net: OneNet, hooks: list[Hook]) -> NetState:
        """Return the state of a net as copies in the host's memory."""
        copied, n = lambda array: np.array(net.plan.backend.to_host(array)), net.epochs_done
        scalars = net.state.scalars[0].copy()
        if not isinstance(net.task.rows, InMemory) and net.steps_left == 0:  # between two blocks
            scalars = np.zeros(N_SCALARS)
            scalars[CARRIED] = net.state.scalars[0, CARRIED]
        found = cls(
            params=copied(net.state.params),
            optimizer_state=copied(net.state.state).reshape(MOST_STATE, -1)[: net.optimizer.rule.n_state],
            scalars=scalars,
            loss=net.records.loss[:n].copy(),
            accuracy=net.records.accuracy[:n].copy(),
            validation=net.records.validation[: net.records.n_validated].copy(),
            on_disk=not isinstance(net.task.rows, InMemory),
            n_blocks=net.place.n_blocks,
            n_rows=net.place.n_rows,
            sums=net.place.sums.copy(),
            n_final_epochs=net.n_final or 0,
        )
        for hook in hooks:
            if isinstance(hook, EndByRecords):
                found.ended_by, found.scored = hook.ended_by, hook.scored.moved(copied)
                found.stretch = None if hook.checkpoint is None else hook.checkpoint.moved(copied)
            elif isinstance(hook, Measure):
                found.metrics = hook.measured(n)
        return found

    def begin(self, net: OneNet, hooks: list[Hook]) -> None:
        """Let a net go on from this state, which has not begun."""
        n, records, to_device = self.n_epochs, net.records, net.to_device
        net.go_on_from(self.params, self.optimizer_state, self.scalars)
        records.history.epochs_before = n
        records.loss[:n], records.accuracy[:n] = self.loss, self.accuracy
        records.validation[: len(self.validation)], records.n_validated = self.validation, len(self.validation)
        net.place = Place(self.n_blocks, self.n_rows, self.sums)
        net.epochs_done, begun = n, self.steps_in_block if self.on_disk else self.steps_in_block - n * net.n_batches
        net.at_epoch_end = not (begun or self.n_blocks)
        if self.ended_by:
            net.n_final = self.n_final_epochs
        for hook in hooks:
            if isinstance(hook, EndByRecords):
                stretch = None if self.stretch is None else self.stretch.moved(to_device)
                hook.go_on_from(self.scored.moved(to_device), stretch, self.ended_by)
            elif isinstance(hook, Measure):
                hook.go_on_after(self.metrics, n)

    # ---- files

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays = {name: getattr(self, name) for name in PLAIN}
        arrays |= {f"{METRICS}{name}": values for name, values in self.metrics.items()}
        scored, final = self.scored, self.scored.final
        numbers: dict[str, Any] = {
            "ended_by": self.ended_by,
            "n_final_epochs": self.n_final_epochs,
            "on_disk": self.on_disk,
            "n_blocks": self.n_blocks,
            "n_rows": self.n_rows,
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
    def from_file(cls, parts: Parts) -> NetState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        final = None
        if (checkpoint := _checkpoint(parts, REPLAY)) is not None:
            final = FinalParams(checkpoint=checkpoint, n_epochs=numbers["n_replayed"])
        elif BEST in arrays:
            final = FinalParams(arrays[BEST])
        value = numbers["best_value"]
        plain: dict[str, Any] = {name: arrays[name] for name in PLAIN}
        plain |= {name: numbers[name] for name in ("ended_by", "n_final_epochs", "on_disk", "n_blocks", "n_rows")}
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


@dataclass
class FitState:
    """State of a fit of one or more nets.

    A net has ended, in this attempt, if its status is not RUNNING. The others are in training and in `suspended` or
    `nets`, or they have not begun. Nets that have ended with their last epoch, status ALL_EPOCHS, are in `ended` or
    `nets`, so that they can go on to a larger number of epochs.
    """

    params: np.ndarray  # (n_nets, n_params), final ones of nets that have ended, initial ones of those not begun
    restarts: np.ndarray  # int64 (n_nets,), number of restarts of each net
    spent: np.ndarray  # int64 (n_nets,), epochs of earlier attempts; empty without restarts
    attempt: int  # counted from 0
    outcome: dict[str, np.ndarray]  # arrays of the Outcome by name
    suspended: SuspendedNets = field(default=NONE_SUSPENDED)  # nets in lanes, in training
    ended: SuspendedNets = field(default=NONE_SUSPENDED)  # nets in lanes, after their last epoch
    nets: dict[int, NetState] = field(default_factory=dict)  # nets trained one by one, by their number

    @property
    def n_ended(self) -> int:
        """Number of nets that have ended in this attempt."""
        return int(np.count_nonzero(self.outcome["status"]))

    def n_steps(self, n_batches: int, batch_size: int, first_attempt: int = 0) -> int:
        """Return the largest number of steps that a net has done in an attempt.

        n_batches : steps of an epoch
        first_attempt : attempt from which on they count
        """
        epochs = self.outcome["epochs"][self.restarts >= first_attempt].max(initial=0)
        in_lanes = max(int(epochs), int(self.suspended.epochs.max(initial=0))) * n_batches
        return max(in_lanes, *(state.n_steps(n_batches, batch_size) for state in self.nets.values()), 0)

    def extend(self, n_epochs: int, record_epochs: np.ndarray, n_done: int) -> None:
        """Let the nets go on that have ended with the last epoch of this attempt, if it has more epochs now.

        n_epochs : largest number of epochs of a net in this attempt
        record_epochs : int64     epochs that are recorded by a fit of the present length
        n_done : int     epochs that are done
        """
        kept, epochs = joined_records(self.outcome["record_epochs"], record_epochs, n_done)
        records = np.full((len(epochs), len(self.params)), np.nan, self.outcome["records"].dtype)
        records[: len(kept)] = self.outcome["records"][kept]
        self.outcome = self.outcome | {"record_epochs": epochs, "records": records}
        goes_on = (self.outcome["status"] == ALL_EPOCHS) & (self.outcome["epochs"] < n_epochs)
        if not goes_on.any():
            return
        changed = {"status": np.where(goes_on, RUNNING, self.outcome["status"])}
        if (all_correct := self.outcome["all_correct"]).size:
            changed["all_correct"] = np.where(goes_on, UNCHECKED, all_correct).astype(all_correct.dtype)
        self.outcome = self.outcome | changed
        parts = [part for part in (self.suspended, self.ended) if len(part.net_index)]
        if parts:
            self.suspended, self.ended = SuspendedNets.joined(parts), NONE_SUSPENDED

    def give_optimizer_states(self, task: FitTask) -> None:
        """Let the optimiser states that the user carries from fit to fit be these, also of nets that have ended."""
        for number, net in self.nets.items() if task.optimizer_states else ():
            state = task.optimizer.rule.name, task.network.layer_sizes, net.scalars[CARRIED], net.optimizer_state
            task.optimizer_states[number].__setstate__((*state, []))

    @property
    def n_without_state(self) -> int:
        """Number of nets that have ended with their last epoch, and have no state from which they could go on."""
        ended = np.flatnonzero(self.outcome["status"] == ALL_EPOCHS)
        return int(np.count_nonzero(~np.isin(ended, [*self.ended.net_index, *self.nets])))

    # ---- slices of nets

    @classmethod
    def of_new_nets(cls, params: np.ndarray, outcome: dict[str, np.ndarray], restarts: bool) -> FitState:
        """Return the state of nets that have not begun; outcome : arrays of an empty Outcome"""
        copied = {name: array.copy() for name, array in outcome.items()}
        spent = np.zeros(len(params) if restarts else 0, np.int64)
        return cls(params.copy(), np.zeros(len(params), np.int64), spent, 0, copied)

    def part(self, nets: slice) -> FitState:
        """Return the state of some nets, which are numbered from 0 there."""

        def of_nets(found: SuspendedNets) -> SuspendedNets:
            rows = (found.net_index >= nets.start) & (found.net_index < nets.stop)
            if not rows.any():
                return NONE_SUSPENDED
            chosen = SuspendedNets(*(array[rows] for array in found))
            return chosen._replace(net_index=chosen.net_index - nets.start)

        numbered = {n - nets.start: state for n, state in self.nets.items() if nets.start <= n < nets.stop}
        outcome = {name: _of_nets(name, array, nets) for name, array in self.outcome.items()}
        arrays = self.params[nets], self.restarts[nets], self.spent[nets]
        return FitState(*arrays, self.attempt, outcome, of_nets(self.suspended), of_nets(self.ended), numbered)

    def with_part(self, nets: slice, part: FitState) -> FitState:
        """Return the state with some nets as they are in a part, which `part` numbers from 0."""
        for name in ("params", "restarts", "spent"):
            if (array := getattr(self, name)).size:
                array[nets] = getattr(part, name)
        for name, array in self.outcome.items():
            if name != "record_epochs" and array.size:
                _of_nets(name, array, nets)[...] = part.outcome[name]

        def joined(mine: SuspendedNets, others: SuspendedNets) -> SuspendedNets:
            rows = (mine.net_index < nets.start) | (mine.net_index >= nets.stop)
            parts = [SuspendedNets(*(array[rows] for array in mine))] if rows.any() else []
            if len(others.net_index):
                parts.append(others._replace(net_index=others.net_index + nets.start))
            return SuspendedNets.joined(parts) if parts else NONE_SUSPENDED

        self.suspended, self.ended = joined(self.suspended, part.suspended), joined(self.ended, part.ended)
        self.nets = {n: state for n, state in self.nets.items() if not nets.start <= n < nets.stop}
        self.nets |= {n + nets.start: state for n, state in part.nets.items()}
        return self

    def of_ended_nets(self, initial: np.ndarray, running: np.ndarray) -> FitState:
        """Return the state of nets with restarts in which those that have not ended begin anew.

        initial : (n_nets, n_params), their first parameters
        running : bool (n_nets,)     which have not ended, or would have been restarted
        """
        outcome = {name: array.copy() for name, array in self.outcome.items()}
        new = {
            "status": RUNNING,
            "epochs": 0,
            "loss": np.nan,
            "accuracy": np.nan,
            "best_epochs": -1,
            "best_value": np.nan,
        }
        for name, value in new.items():
            if outcome[name].size:
                outcome[name][running] = value
        outcome["records"][:, running] = np.nan
        params, restarts, spent = self.params.copy(), self.restarts.copy(), self.spent.copy()
        params[running], restarts[running], spent[running] = initial[running], 0, 0
        return FitState(params, restarts, spent, 0, outcome)

    # ---- files

    def to_file(self) -> Parts:
        """Return the state as arrays and numbers for a file."""
        arrays = {"params": self.params, "restarts": self.restarts, "spent": self.spent}
        arrays |= {f"{RESULTS}{name}": array for name, array in self.outcome.items()}
        for prefix, nets in ((NETS, self.suspended), (ENDED, self.ended)):
            arrays |= {f"{prefix}{name}": array for name, array in nets._asdict().items()}
        numbers: dict[str, Any] = {}
        for net, state in self.nets.items():
            of_net, numbers[str(net)] = state.to_file()
            arrays |= {f"{NET}{net}.{name}": array for name, array in of_net.items()}
        return Parts(arrays, {"attempt": self.attempt, "fits": numbers})

    @classmethod
    def from_file(cls, parts: Parts) -> FitState:
        """Return the state from the arrays and numbers of a file. KeyError: one of them is missing."""
        arrays, numbers = parts
        of_nets: dict[str, dict[str, np.ndarray]] = {net: {} for net in numbers["fits"]}
        for name, array in arrays.items():
            net, _, of_net = name.removeprefix(NET).partition(".")
            if name.startswith(NET) and net in of_nets:
                of_nets[net][of_net] = array
        joined = lambda prefix: SuspendedNets(*(arrays[f"{prefix}{name}"] for name in SuspendedNets._fields))
        return cls(
            **{name: arrays[name] for name in ("params", "restarts", "spent")},
            attempt=numbers["attempt"],
            outcome={name: arrays[f"{RESULTS}{name}"] for name in OUTCOME},
            suspended=joined(NETS),
            ended=joined(ENDED),
            nets={int(net): NetState.from_file(Parts(of_nets[net], n)) for net, n in numbers["fits"].items()},
        )


def _of_nets(name: str, array: np.ndarray, nets: slice) -> np.ndarray:
    """Return the part of an array of an outcome that belongs to some nets, as a view."""
    return array if name == "record_epochs" else array[:, nets] if name == "records" else array[nets]
