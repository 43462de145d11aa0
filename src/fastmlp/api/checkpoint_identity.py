"""The identity of a fit in a checkpoint: net, data and settings that must be the same for the fit to go on from it.

And the savers, which add the identity to the states that fits of MLP and Population write. How often they write is
decided by checkpoint_interval.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.digest import digest_of, sample_digests
from ..errors import counted, is_per_net
from ..kernels.structs import Samples
from ..optimizers import setting_text, settings_of
from ..persistence.checkpoints import Checkpoint, CheckpointFile, Identity, refuse_without_file, warn_of_schedule
from ..population_training.fit_state import PopulationFitState
from ..population_training.saving import PopulationSaver
from ..population_training.task import PopulationTask
from ..schedules import Schedule
from ..training.fit_options import Options
from ..training.fit_state import FitState

if TYPE_CHECKING:
    from ..mlp import MLP
    from ..population import Population
    from .fit_preparation import FitData
    from .net_base import NetBase

SAMPLED_STEPS = 1000  # steps at which two schedules are compared


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
    if file is not None and file.found is not None:
        net.fits = file.found.random["fits"]
        if net._has_drawn_seed:
            net.seed = file.found.random["seed"]
            if "seeds" in before:
                vars(net)["seeds"] = file.found.state.arrays["seeds"]
    try:
        yield
    except BaseException:
        vars(net).update(before)
        raise


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


class NetSaver:
    """Saver of the fit of one net, in a file.

    file : CheckpointFile
    net : MLP     after the choice of its device
    data : FitData
    options : Options     of the fit
    schedule : fit's schedule argument
    """

    def __init__(self, file: CheckpointFile, net: MLP, data: FitData, options: Options, schedule: Any):
        self._file, self._epochs, found = file, options.epochs, file.found
        self._random = {"seed": net.seed, "fits": net.fits}
        self.start = None if found is None else FitState.from_file(found.state)
        n_batches = -(-data.training.n_samples // data.batch_size)
        epochs_before = options.epochs if found is None else found.epochs
        further = {"weight decay": options.decay_factors, "dropout": options.dropout_factors}
        self._identity: Identity = {
            "net": identity_of_net(net),
            "data": sample_digests(data.parts),
            "fit": {
                "batch_size": data.batch_size,
                "shuffle": data.shuffle,
                "optimizer": repr(options.optimizer),
                **describe_schedule(schedule, options.factors, epochs_before * n_batches),
                **describe_further(further, epochs_before * n_batches),
                "early_stopping": repr(options.early_stopping),
                "metrics": [] if options.metrics is None else options.metrics.names,
            },
        }
        done = 0 if self.start is None else len(self.start.loss)
        if done > options.epochs:
            raise ValueError(
                f"{str(file.path)!r} has {counted(done, 'epoch')}, but epochs={options.epochs}. Give at least as many, "
                "or name another file."
            )
        file.begin(self._identity, f"after epoch {done:,} of {options.epochs:,}", done)
        if epochs_before != options.epochs:
            n_steps_before, n_steps = epochs_before * n_batches, options.epochs * n_batches
            self._identity["fit"] |= describe_schedule(schedule, options.factors, n_steps)
            self._identity["fit"] |= describe_further(further, n_steps)
            lengths = n_steps_before, n_steps, done * n_batches
            warn_of_schedule(options.factors, *lengths)
            for name, factors in further.items():
                if factors is not None:
                    warn_of_schedule(factors, *lengths, scheduled=f"factors on the {name}")

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
    file: CheckpointFile, pop: Population, task: PopulationTask, samples: dict[str, Samples | None], fit: dict[str, Any]
) -> PopulationSaver:
    """Return the saver of the fit of a population, in a file.

    samples : the samples by the name of their part
    fit : arguments of fit that the task does not have, by name
    """
    random, found = {"seed": pop.seed, "fits": pop.fits}, file.found
    start = None if found is None else PopulationFitState.from_file(found.state)
    n_steps = fit["epochs"] * task.n_batches
    settings = settings_of(task.optimizer).items()
    arrays = {name: digest_of(array) for name, array in pop.get_arrays().items() if name != "params"}
    further = {"weight decay": task.optimizer.decay_factors, "dropout": task.dropout_factors}
    identity: Identity = {
        "nets": {"n_nets": pop.n_nets, **identity_of_net(pop), **arrays},
        "data": sample_digests(samples),
        "fit": {
            "batch_size": task.batch_size,
            "shuffle": task.shuffle,
            "optimizer": type(task.optimizer).__name__,
            **{name: digest_of(value) if is_per_net(value) else setting_text(value) for name, value in settings},
            **describe_schedule(fit.pop("schedule"), task.factors, n_steps),
            **describe_further(further, n_steps),
            "early_stopping": repr(task.early_stopping),
            "converged": repr(task.converged),
            "kernel family": task.family,
            **fit,
        },
    }
    file.begin(identity, "" if start is None else f"with {counted(start.n_ended, 'finished net')} of {pop.n_nets:,}")

    def write(state: PopulationFitState) -> None:
        parts = state.to_file()
        parts.arrays["seeds"] = pop.seeds
        file.write(Checkpoint(identity, random, fit["epochs"], parts), counted(state.n_ended, "finished net"))

    return PopulationSaver(file.timer, write, start)


def identity_of_net(net: Any) -> dict[str, Any]:
    """Return settings, seed and kind of device of a net or population."""
    return {**net.get_settings(), "random_state": net.seed, "device": net.device.name.partition(":")[0]}
