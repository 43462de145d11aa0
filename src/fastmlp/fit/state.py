"""State of a fit between two kernel calls: from it, a fit of the same nets, rows and settings goes on to the same bits.

It is arrays by name. Random numbers are counter-based: seed, epoch and step determine them, so that no generator has a
state. The state of one net is that of a population of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.formulas.update_rules import n_state_rows
from ..kernels.structs import ALL_EPOCHS, N_SCALARS, NONE_SUSPENDED, RUNNING, STEPS_DONE, UNCHECKED, SuspendedNets
from .one_net import OneNet
from .optimizer_state import CARRIED
from .outcome import Outcome, joined_records
from .rows import BlockPosition, InMemory
from .task import FitTask

if TYPE_CHECKING:
    from .hooks.hook import Hook

# Numbers of early_stopping.py: epochs scored, best value and epoch, why and when the fit ends, epochs to replay.
N_SCORED = 6
SUSPENDED, ENDED, NET = "suspended.", "ended.", "net."  # prefixes of names in a file
ANY = -1  # length that is not checked
Arrays = dict[str, np.ndarray]
Forms = dict[str, tuple[Any, tuple[int, ...]]]  # dtype and shape of arrays by name


def state_of_net(net: OneNet, hooks: Sequence[Hook]) -> Arrays:
    """Return the state of a net that is trained by itself, with that of its hooks, as copies in the host's memory.

    "scalars" are those of TrainState, among them the number of steps done, and the sums of the present epoch: of rows
    on disk, those of the block in training or, between two blocks, of the next one. "place": a BlockPosition.
    """
    n, records, position = net.epochs_done, net.records, net.position
    scalars = net.train_state.scalars[0].copy()
    if not isinstance(net.task.rows, InMemory) and net.steps_left == 0:  # between two blocks
        scalars = np.zeros(N_SCALARS)
        scalars[CARRIED] = net.train_state.scalars[0, CARRIED]
    arrays = {
        "params": net.copied(net.train_state.params),
        "optimizer_state": net.copied(net.train_state.state).reshape(-1, len(net.host_params))[
            : net.optimizer.rule.n_state
        ],
        "scalars": scalars,
        "loss": records.loss[:n].copy(),
        "accuracy": records.accuracy[:n].copy(),
        "validation": records.validation[: records.n_validated].copy(),
        "place": np.array([position.n_blocks, position.n_rows, *position.sums]),
    }
    for hook in hooks:
        arrays |= hook.state()
    return arrays


def go_on(net: OneNet, hooks: Sequence[Hook], state: Arrays) -> None:
    """Let a net that has not begun go on from a state."""
    n, records = len(state["loss"]), net.records
    net.go_on_from(state["params"], state["optimizer_state"], state["scalars"])
    records.history.epochs_before = n
    records.loss[:n], records.accuracy[:n] = state["loss"], state["accuracy"]
    records.n_validated = len(state["validation"])
    records.validation[: records.n_validated] = state["validation"]
    n_blocks, n_rows, *sums = state["place"].tolist()
    net.position, net.epochs_done = BlockPosition(int(n_blocks), int(n_rows), np.array(sums)), n
    begun = state["scalars"][STEPS_DONE] - (n * net.n_batches if isinstance(net.task.rows, InMemory) else 0)
    net.at_epoch_end = not (begun or n_blocks)
    for hook in hooks:
        hook.go_on_from(state, n)


@dataclass
class FitState:
    """State of a fit of one or more nets.

    A net has ended, in this attempt, if its status is not RUNNING. The others are in training and in `suspended` or
    `nets`, or they have not begun. Nets that have ended with their last epoch, status ALL_EPOCHS, are in `ended` or
    `nets`, so that they can go on to a larger number of epochs.
    """

    params: np.ndarray  # (n_nets, n_params), final ones of nets that have ended, initial ones of those not begun
    outcome: Outcome
    attempt: int  # counted from 0
    suspended: SuspendedNets = field(default=NONE_SUSPENDED)  # nets in lanes, in training
    ended: SuspendedNets = field(default=NONE_SUSPENDED)  # nets in lanes, after their last epoch
    nets: dict[int, Arrays] = field(default_factory=dict)  # nets trained one by one, by their number

    @property
    def n_ended(self) -> int:
        """Number of nets that have ended in this attempt."""
        return int(np.count_nonzero(self.outcome.status))

    def n_steps(self, task: FitTask, first_attempt: int = 0) -> int:
        """Return the largest number of steps that a net has done in an attempt.

        first_attempt : attempt from which on they count
        """
        epochs = self.outcome.epochs[self.outcome.restarts >= first_attempt].max(initial=0)
        steps = [max(int(epochs), int(self.suspended.epochs.max(initial=0))) * task.n_batches]
        for state in self.nets.values():
            rows_before = 0 if isinstance(task.rows, InMemory) else int(state["place"][1])
            before = 0 if isinstance(task.rows, InMemory) else len(state["loss"]) * task.n_batches
            steps.append(before + rows_before // task.batch_size + int(state["scalars"][STEPS_DONE]))
        return max(steps)

    def extend(self, n_epochs: int, record_epochs: np.ndarray, n_done: int) -> None:
        """Let the nets go on that have ended with the last epoch of this attempt, if it has more epochs now.

        n_epochs : largest number of epochs of a net in this attempt
        record_epochs : int64     epochs that are recorded by a fit of the present length
        n_done : int     epochs that are done
        """
        outcome = self.outcome
        kept, epochs = joined_records(outcome.record_epochs, record_epochs, n_done)
        records = np.full((len(epochs), len(self.params)), np.nan, outcome.records.dtype)
        records[: len(kept)] = outcome.records[kept]
        outcome.record_epochs, outcome.records = epochs, records
        goes_on = (outcome.status == ALL_EPOCHS) & (outcome.epochs < n_epochs)
        if goes_on.any():
            outcome.status[goes_on] = RUNNING
            if outcome.all_correct.size:
                outcome.all_correct[goes_on] = UNCHECKED
            self.suspended, self.ended = _joined(self.suspended, self.ended), NONE_SUSPENDED

    def give_optimizer_states(self, task: FitTask) -> None:
        """Let the optimiser states that the user carries from fit to fit be these, also of nets that have ended."""
        for number, net in self.nets.items() if task.optimizer_states else ():
            saved = task.optimizer.rule.name, task.network.layer_sizes, net["scalars"][CARRIED], net["optimizer_state"]
            task.optimizer_states[number].__setstate__((*saved, []))

    @property
    def n_without_state(self) -> int:
        """Number of nets that have ended with their last epoch, and have no state from which they could go on."""
        ended = np.flatnonzero(self.outcome.status == ALL_EPOCHS)
        return int(np.count_nonzero(~np.isin(ended, [*self.ended.net_index, *self.nets])))

    # ---- slices of nets

    def part(self, nets: slice) -> FitState:
        """Return the state of some nets, which are numbered from 0 there."""
        first, n = nets.start, nets.stop - nets.start
        suspended, ended = (_shifted(_chosen(saved, nets), -first) for saved in (self.suspended, self.ended))
        numbered = {number - first: state for number, state in self.nets.items() if 0 <= number - first < n}
        return FitState(self.params[nets], self.outcome.part(nets), self.attempt, suspended, ended, numbered)

    def put(self, nets: slice, part: FitState) -> None:
        """Write the state of some nets, which `part` numbers from 0."""
        self.params[nets] = part.params
        self.outcome.put(nets, part.outcome)
        for name in ("suspended", "ended"):
            others = _chosen(getattr(self, name), nets, others=True)
            setattr(self, name, _joined(others, _shifted(getattr(part, name), nets.start)))
        self.nets = {n: state for n, state in self.nets.items() if not nets.start <= n < nets.stop}
        self.nets |= {n + nets.start: state for n, state in part.nets.items()}

    def of_ended_nets(self, initial: np.ndarray, running: np.ndarray) -> FitState:
        """Return the state of nets with restarts in which those that have not ended begin anew.

        initial : (n_nets, n_params), their first parameters
        running : bool (n_nets,)     which have not ended, or would have been restarted
        """
        outcome, params = self.outcome.copy(), self.params.copy()
        outcome.forget(running)
        params[running], outcome.restarts[running], outcome.spent[running] = initial[running], 0, 0
        return FitState(params, outcome, 0)

    # ---- files

    def to_file(self) -> Arrays:
        """Return the state as arrays for a file."""
        arrays = {"params": self.params, "attempt": np.array([self.attempt]), **self.outcome.arrays()}
        for prefix, nets in ((SUSPENDED, self.suspended), (ENDED, self.ended)):
            if len(nets.net_index):
                arrays |= _named(prefix, nets._asdict())
        for number, state in self.nets.items():
            arrays |= _named(f"{NET}{number}.", state)
        return arrays

    @classmethod
    def from_file(cls, arrays: Arrays, task: FitTask) -> FitState:
        """Return the state of the fit of a task from the arrays of a file.

        Their dtypes and shapes have to be those that the fit itself would give them: sizes come from the task, never
        from the file.

        Raises
        ------
        KeyError, ValueError
            If an array is missing, or has another form.
        """
        outcome = Outcome.empty(task).arrays()
        forms: Forms = {name: (array.dtype, array.shape) for name, array in outcome.items()}
        n_records = len(arrays["record_epochs"])
        forms |= {"record_epochs": (np.int64, (n_records,)), "records": (task.dtype, (n_records, task.n_nets))}
        forms |= {"params": (task.dtype, task.params.shape), "attempt": (np.int64, (1,))}
        check_forms(arrays, forms)
        suspended, ended = NONE_SUSPENDED, NONE_SUSPENDED
        if f"{SUSPENDED}net_index" in arrays:
            suspended = _nets_in_lanes(arrays, SUSPENDED, task)
        if f"{ENDED}net_index" in arrays:
            ended = _nets_in_lanes(arrays, ENDED, task)
        nets: dict[int, Arrays] = {}
        for name, array in arrays.items():
            if name.startswith(NET):
                number, _, array_name = name.removeprefix(NET).partition(".")
                nets.setdefault(int(number), {})[array_name] = array
        for state in nets.values():
            check_forms(state, _net_forms(task, state))
        copied: dict[str, Any] = {name: arrays[name].copy() for name in outcome}
        return cls(arrays["params"], Outcome(**copied), int(arrays["attempt"][0]), suspended, ended, nets)


def check_forms(arrays: Mapping[str, Any], forms: Forms) -> None:
    """Raise ValueError if an array has another dtype or shape, and KeyError if it is missing."""
    for name, (dtype, shape) in forms.items():
        array = arrays[name]
        same = array.ndim == len(shape) and all(n in (ANY, size) for n, size in zip(shape, array.shape, strict=True))
        if array.dtype != np.dtype(dtype) or not same:
            raise ValueError(
                f"{name} should be {np.dtype(dtype)} of shape {shape}, but it is {array.dtype} of shape {array.shape}"
            )


def _net_forms(task: FitTask, state: Arrays) -> Forms:
    """Return the forms of a net's arrays, of which only the finished epochs are counted by the file."""
    n, dtype, n_padded = len(state["loss"]), task.dtype, task.network.layout.padded(task.dtype).size
    forms: Forms = {
        "params": (dtype, (n_padded,)),
        "optimizer_state": (dtype, (task.optimizer.rule.n_state, n_padded)),
        "scalars": (np.float64, (N_SCALARS,)),
        "loss": (np.float64, (n,)),
        "accuracy": (np.float64, (n,)),
        "validation": (np.float64, (0 if task.held_out is None else n, 2)),
        "place": (np.float64, (4,)),
    }
    subsets = ["training"] if task.held_out is None else ["training", "validation"]
    forms |= {f"metrics.{subset}.{name}": (np.float64, (n,)) for subset in subsets for name in task.metrics}
    if task.early_stopping is not None or task.converged is not None:
        forms["scored"] = np.float64, (N_SCORED,)
    if "best_params" in state:
        forms["best_params"] = dtype, (n_padded,)
    replayed = {
        "epoch": (np.int64, (1,)),
        "params": (dtype, (n_padded,)),
        "state": (dtype, (n_state_rows(task.optimizer.rule) * n_padded,)),
    }
    for prefix in ("replay.", "stretch."):
        if f"{prefix}epoch" in state:
            forms |= _named(prefix, replayed | {"scalars": (np.float64, (ANY, N_SCALARS))})
    return forms


def _nets_in_lanes(arrays: Arrays, prefix: str, task: FitTask) -> SuspendedNets:
    """Return nets in lanes, of which only the number is that of the file."""
    n = arrays[f"{prefix}net_index"].size
    n_params, n_best = task.params.shape[1], task.params.shape[1] if task.monitored is not None else 0
    columns = {"params": n_params, "safe_params": n_params, "best_params": n_best}
    forms: Forms = dict.fromkeys(("net_index", "epochs", "best_epochs", "clock"), (np.int64, (n,)))
    forms |= {name: (task.dtype, (n, n_columns)) for name, n_columns in columns.items()}
    forms["state"] = task.dtype, (n, task.optimizer.rule.n_state * n_params)
    forms |= {"powers": (np.float64, (n, 2)), "numbers": (np.float64, (n, 4))}
    check_forms(arrays, _named(prefix, forms))
    return SuspendedNets(*(arrays[f"{prefix}{name}"] for name in SuspendedNets._fields))


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _chosen(suspended: SuspendedNets, nets: slice, others: bool = False) -> SuspendedNets:
    """Return those of some nets that are in a slice or, with `others`, those that are not."""
    rows = ((suspended.net_index >= nets.start) & (suspended.net_index < nets.stop)) != others
    return SuspendedNets(*(array[rows] for array in suspended)) if rows.any() else NONE_SUSPENDED


def _shifted(nets: SuspendedNets, first: int) -> SuspendedNets:
    return nets._replace(net_index=nets.net_index + first)


def _joined(*parts: SuspendedNets) -> SuspendedNets:
    filled = [part for part in parts if len(part.net_index)]
    return SuspendedNets.joined(filled) if filled else NONE_SUSPENDED
