"""Savers, which write the states of fits of MLP and Population to a file, with the identity of the fit.

How often they write is decided by runtime/checkpoint_interval.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..data.digest import sample_digests
from ..errors import counted
from ..kernels.structs import Samples
from ..persistence.checkpoint_files import PREVIOUS, Checkpoint, CheckpointFile, Identity, refuse_without_file
from ..population_training.checkpoint_saver import PopulationSaver
from ..population_training.fit_state import ALL, PopulationFitState
from ..population_training.state_checks import check_population_state
from ..population_training.task_and_outcome import PopulationTask, epochs_of_attempt
from ..training.fit_options import Options
from ..training.fit_state import FitState
from ..training.state_checks import StateForm, check_integers, check_state, steps_done
from .checkpoint_identity import (
    FitSchedules,
    check_place_of_rows,
    describe_optimizer,
    description,
    identity_of_net,
    identity_of_nets,
)

if TYPE_CHECKING:
    from .fit_preparation import FitData
    from .net_base import NetBase
    from .population_base import PopulationBase


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
                "optimizer": description(options.optimizer),
                "early_stopping": description(options.early_stopping),
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
            "early_stopping": description(task.early_stopping),
            "converged": description(task.converged),
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
