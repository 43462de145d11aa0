"""The identity of a fit in a checkpoint: net, data and settings that must be the same for the fit to go on from it.

And the savers, which add the identity to the states that fits of MLP and Population write. How often they write is
decided by runtime/checkpoint_interval.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.digest import digest_of, sample_digests
from ..errors import counted, is_per_net
from ..kernels.structs import Samples
from ..optimizers import Optimizer, setting_text, settings_of
from ..persistence.checkpoint_files import (
    PREVIOUS,
    Checkpoint,
    CheckpointFile,
    Identity,
    refuse_without_file,
    warn_of_schedule,
)
from ..population_training.checkpoint_saver import PopulationSaver
from ..population_training.fit_state import ALL, PopulationFitState
from ..population_training.state_checks import check_population_state
from ..population_training.task_and_outcome import PopulationTask, epochs_of_attempt
from ..schedules import Schedule
from ..streams.memory_limit import checked_memory_limit
from ..streams.row_loading import limit_to_hold
from ..training.fit_options import Options
from ..training.fit_state import FitState
from ..training.state_checks import StateForm, check_count, check_integers, check_state, steps_done

if TYPE_CHECKING:
    from .fit_preparation import FitData
    from .net_base import NetBase
    from .population_base import PopulationBase

SAMPLED_STEPS = 1000  # steps at which two schedules are compared
MEMORY_LIMIT = "memory_limit"  # of the data in an identity: only of fits that read rows from disk


def checkpoint_file(checkpoint: Any, every: Any, resume: bool, kind: str, verbose: int) -> CheckpointFile | None:
    """Return the file of a fit's checkpoints, or None; arguments as of fit.

    Raises
    ------
    ValueError
        If there is to be no file, but one to resume from, or an interval.
    """
    if checkpoint is not None:
        return CheckpointFile(checkpoint, every, resume, kind, verbose)
    refuse_without_file(every, resume)
    return None


@contextmanager
def random_numbers_of(net: NetBase, file: CheckpointFile | None) -> Iterator[None]:
    """Context in which the net has the seed and the number of fits of a checkpoint; it keeps them without an error.

    A net with a seed of its own, given as random_state, keeps it: another one is another fit.
    """
    before = {name: getattr(net, name) for name in ("seed", "fits", "seeds") if hasattr(net, name)}
    try:
        if file is not None and file.found is not None:
            with file.checking_state():
                _take_random_numbers(net, file.found)
        yield
    except BaseException:
        vars(net).update(before)
        raise


def _take_random_numbers(net: NetBase, found: Checkpoint) -> None:
    net.fits = found.random["fits"]
    if net._has_drawn_seed:
        net.seed = found.random["seed"]
        if hasattr(net, "seeds"):
            seeds = found.state.arrays["seeds"]
            check_integers("seeds", seeds, 0, 2**63 - 1, len(net.seeds))
            vars(net)["seeds"] = seeds


def describe_schedule(schedule: Any, factors: Callable[[np.ndarray, int], Any], n_steps: int) -> dict[str, Any]:
    """Return the schedule in words, and a digest of its factors, since functions cannot be compared."""
    steps = np.unique(np.linspace(0, n_steps - 1, SAMPLED_STEPS).astype(np.int64))
    sampled = np.broadcast_to(np.asarray(factors(steps, n_steps), np.float64), steps.shape)
    named = isinstance(schedule, (str, Schedule, type(None)))
    return {
        "schedule": schedule if isinstance(schedule, str) else repr(schedule) if named else "a function",
        "factors of the schedule": digest_of(np.ascontiguousarray(sampled)),
    }


def describe_further(schedules: Mapping[str, Any], n_steps: int) -> dict[str, Any]:
    """Return a digest of the factors of each further schedule that varies.

    schedules : what it is of, and the schedule as a function, or None
    """
    return {
        f"factors of the {name}'s schedule": describe_schedule(None, factors, n_steps)["factors of the schedule"]
        for name, factors in schedules.items()
        if factors is not None
    }


class FitSchedules(NamedTuple):
    """Schedules of a fit, as its checkpoints describe them.

    schedule : fit's schedule argument
    factors : of the learning rate, as a function
    further : those of other settings by what they are of, as functions, or None
    n_batches : int     steps of an epoch
    """

    schedule: Any
    factors: Callable[[np.ndarray, int], Any]
    further: Mapping[str, Any]
    n_batches: int

    def described(self, epochs: int) -> dict[str, Any]:
        """Return the schedules of a fit of so many epochs in words and digests."""
        n_steps = epochs * self.n_batches
        return describe_schedule(self.schedule, self.factors, n_steps) | describe_further(self.further, n_steps)

    def begin(self, file: CheckpointFile, identity: Identity, epochs: int, n_done: int, where: str) -> None:
        """Begin a file whose fit may have had another number of epochs, and add the schedules to the identity.

        identity : of the fit, without its schedules; changed
        epochs : of this fit
        n_done : steps done
        where : as of CheckpointFile.begin

        Raises
        ------
        ValueError
            If the file is of another fit, or has finished or begun more epochs than this one has.
        """
        before = epochs if file.found is None else file.found.epochs
        identity["fit"] |= self.described(before)
        file.check_identity(identity)  # an epoch of another fit may have another number of steps
        finished, n_in_next = divmod(n_done, self.n_batches)
        begun = finished + (n_in_next > 0)
        if begun > epochs:
            has = counted(finished, "epoch") + (" and a part of the next" if n_in_next else "")
            raise ValueError(
                f"{str(file.path)!r} has {has}, but epochs={epochs}. Give at least {begun}, or name another file."
            )
        file.begin(identity, where, finished)
        if before != epochs:
            identity["fit"] |= self.described(epochs)
            self.warn(before * self.n_batches, epochs * self.n_batches, n_done)

    def warn(self, n_steps_before: int, n_steps: int, n_done: int) -> None:
        """Warn of schedules by which the steps done would have been others in a fit of the present length."""
        warn_of_schedule(self.factors, n_steps_before, n_steps, n_done)
        for name, factors in self.further.items():
            if factors is not None:
                warn_of_schedule(factors, n_steps_before, n_steps, n_done, scheduled=f"factors on the {name}")


class NetSaver:
    """Saver of the fit of one net, in a file.

    file : CheckpointFile
    net : MLP     after the choice of its device
    data : FitData
    options : Options     of the fit
    schedule : fit's schedule argument
    """

    def __init__(self, file: CheckpointFile, net: NetBase, data: FitData, options: Options, schedule: Any):
        check_place_of_rows(file, on_disk=False)
        self._file, self._epochs, found = file, options.epochs, file.found
        self._random = {"seed": net.seed, "fits": net.fits}
        self.start: FitState | None = None
        n_done = 0
        if found is not None:
            with file.checking_state():
                self.start = FitState.from_file(found.state)
                n_done = steps_done(self.start)
        self._identity: Identity = {
            "net": identity_of_net(net),
            "data": sample_digests(data.parts),
            "fit": {
                "batch_size": data.batch_size,
                "shuffle": data.shuffle,
                "optimizer": repr(options.optimizer),
                "early_stopping": repr(options.early_stopping),
                "metrics": [] if options.metrics is None else options.metrics.names,
            },
        }
        further = {"weight decay": options.decay_factors, "dropout": options.dropout_factors}
        schedules = FitSchedules(schedule, options.factors, further, -(-data.training.n_samples // data.batch_size))
        where = f"after epoch {n_done // schedules.n_batches:,} of {options.epochs:,}"
        schedules.begin(file, self._identity, options.epochs, n_done, where)
        if self.start is not None:
            form = StateForm(
                n_padded=net.network.layout.padded(net.dtype).size,
                n_state=options.optimizer.rule.n_state,
                dtype=net.dtype,
                n_epochs=options.epochs,
                n_batches=schedules.n_batches,
                validates=data.held_out is not None,
                metrics=() if options.metrics is None else tuple(options.metrics.measured(0)),
            )
            with file.checking_state():
                check_state(self.start, form)

    def is_due(self, epochs_done: int) -> bool:
        return self._file.timer.is_due(epochs_done)

    def epochs_left(self, epochs_done: int) -> int | None:
        return self._file.timer.epochs_left(epochs_done)

    def save(self, state: FitState, epochs_done: int) -> None:
        self._file.write(
            Checkpoint(self._identity, self._random, self._epochs, state.to_file()),
            f"epoch {epochs_done:,}",
            epochs_done,
        )


def population_saver(
    file: CheckpointFile,
    pop: PopulationBase,
    task: PopulationTask,
    samples: dict[str, Samples | None],
    fit: dict[str, Any],
) -> PopulationSaver:
    """Return the saver of the fit of a population, in a file.

    samples : the samples by the name of their part
    fit : arguments of fit that the task does not have, epochs, restart_after and schedule, and on_workers, whether the
        workers of an executor train

    Raises
    ------
    ValueError
        If the file is of another fit, or of one with more epochs; or if workers cannot go on from it.
    """
    check_place_of_rows(file, on_disk=False)
    random, found = {"seed": pop.seed, "fits": pop.fits}, file.found
    start: PopulationFitState | None = None
    if found is not None:
        with file.checking_state():
            start = PopulationFitState.from_file(found.state)
    epochs, before = fit["epochs"], fit["epochs"] if found is None else found.epochs
    further = {"weight decay": task.optimizer.decay_factors, "dropout": task.dropout_factors}
    schedules = FitSchedules(fit["schedule"], task.factors, further, task.n_batches)
    identity: Identity = {
        "nets": identity_of_nets(pop),
        "data": sample_digests(samples),
        "fit": {
            "batch_size": task.batch_size,
            "shuffle": task.shuffle,
            **describe_optimizer(task.optimizer),
            "early_stopping": repr(task.early_stopping),
            "converged": repr(task.converged),
            "restart_after": fit["restart_after"],
            "kernel family": task.family,
            "epochs": before,
            **schedules.described(before),
        },
    }
    if start is not None:
        file.check_identity(identity)
        with file.checking_state():
            check_population_state(start, task, before, fit["restart_after"])
        if fit["on_workers"]:
            _check_for_workers(file, start, epochs)
        elif before != epochs:
            _check_longer(file, task, start, schedules, fit)
    file.begin(identity, "" if start is None else f"with {counted(start.n_ended, 'finished net')} of {pop.n_nets:,}")
    identity["fit"] |= {"epochs": epochs, **schedules.described(epochs)}

    def write(state: PopulationFitState) -> None:
        parts = state.to_file()
        parts.arrays["seeds"] = pop.seeds
        file.write(Checkpoint(identity, random, epochs, parts), counted(state.n_ended, "finished net"))

    return PopulationSaver(file.timer, write, start)


def _check_for_workers(file: CheckpointFile, start: PopulationFitState, epochs: int) -> None:
    """Raise ValueError if the workers of an executor cannot go on from a state; epochs : of this fit"""
    assert file.found is not None
    path = str(file.path)
    if start.on_workers != ALL:
        raise ValueError(
            f"{path!r} is a checkpoint of a fit without executor=, whose nets may be in the middle of their training. "
            "Go on without executor=, or name another file."
        )
    if file.found.epochs != epochs:
        raise ValueError(f"{path!r} {_not_extended(file.found.epochs, epochs, path)}")


def _not_extended(before: int, epochs: int, path: str) -> str:
    """Return what is said of a file with nets that were trained on workers; path : of the file"""
    return (
        f"has nets that workers of an executor have trained for {before:,} epochs, and which cannot go on to "
        f"epochs={epochs}. Give epochs={before} or, to train anew, remove it and {path + PREVIOUS!r}."
    )


def _check_longer(
    file: CheckpointFile, task: PopulationTask, start: PopulationFitState, schedules: FitSchedules, fit: dict[str, Any]
) -> None:
    """Check that a fit can go on to another number of epochs, and warn of schedules that depend on it.

    start : state in the file
    fit : as of population_saver

    Raises
    ------
    ValueError
        If the number is lower, or the file lacks what finished nets need to go on.
    """
    assert file.found is not None
    epochs, restart_after, before, path = fit["epochs"], fit["restart_after"], file.found.epochs, str(file.path)
    if epochs < before:
        raise ValueError(
            f"{path!r} is a checkpoint of a fit of {before:,} epochs, but epochs={epochs}. Give at least {before}, or "
            "name another file."
        )
    if start.on_workers:
        raise ValueError(f"{path!r} {_not_extended(before, epochs, path)}")
    length_before, length = (epochs_of_attempt(n, restart_after, start.attempt) for n in (before, epochs))
    if length > length_before and (n := start.n_without_state):
        raise ValueError(
            f"{path!r} has {counted(n, 'finished net')} without the optimiser state with which they could go on: an "
            f"older version wrote it. Give epochs={before} or, to train anew, remove it and {path + PREVIOUS!r}."
        )
    n_done = start.n_epochs(task.n_batches, start.attempt) * task.n_batches
    schedules.warn(length_before * task.n_batches, length * task.n_batches, n_done)


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the name and the settings of a population's optimiser, with digests of those that differ between nets."""
    settings = settings_of(optimizer).items()
    described = {name: digest_of(value) if is_per_net(value) else setting_text(value) for name, value in settings}
    return {"optimizer": type(optimizer).__name__, **described}


def identity_of_net(net: NetBase) -> dict[str, Any]:
    """Return settings, seed and kind of device of a net or population."""
    return {**net.get_settings(), "random_state": net.seed, "device": net.device.name.partition(":")[0]}


def identity_of_nets(pop: PopulationBase) -> dict[str, Any]:
    """Return identity_of_net of a population, with its number of nets and digests of what differs between them."""
    arrays = {name: digest_of(array) for name, array in pop.get_arrays().items() if name != "params"}
    return {"n_nets": pop.n_nets, **identity_of_net(pop), **arrays}


def check_place_of_rows(file: CheckpointFile, on_disk: bool) -> None:
    """Check that the fit in a file, if there is one, had its rows where this one has them.

    on_disk : whether rows are read from disk in each epoch

    Raises
    ------
    ValueError
        If one fit reads rows from disk, and the other has them in memory.
    """
    if file.found is None:
        return
    limit = file.found.identity.get("data", {}).get(MEMORY_LIMIT)
    if on_disk and limit is None:
        raise ValueError(
            f"{str(file.path)!r} is a checkpoint of a fit to rows in memory, but here they take more than "
            "memory_limit. Raise it, or name another file."
        )
    if limit is not None and not on_disk:
        raise ValueError(
            f"{str(file.path)!r} is a checkpoint of a fit that read its rows from disk, but here they are in memory. "
            f"Pass the same source, with memory_limit={limit}, or name another file."
        )


def memory_limit_of(file: CheckpointFile, row_bytes: int) -> int | None:
    """Return the memory limit of the fit in a file, in bytes; None if there is no fit.

    If it had its rows in memory, the limit holds as many, and is at least that of a fit by default.

    row_bytes : bytes of the features and targets of a row
    """
    if file.found is None:
        return None
    with file.checking_state():
        data = file.found.identity["data"]
        if MEMORY_LIMIT in data:
            check_count(MEMORY_LIMIT, data[MEMORY_LIMIT], 1, 2**63 - 1)
            return int(data[MEMORY_LIMIT])
        n_rows = data["number of training samples"] + data["number of validation samples"]
        check_count("the number of samples", n_rows, 1, 2**53)
    return max(checked_memory_limit(None), limit_to_hold(n_rows * row_bytes))
