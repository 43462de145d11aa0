"""The identity of a fit in a checkpoint: net, data and settings that must be the same for the fit to go on from it.

checkpoint_savers.py adds it to the states of fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.digest import digest_of
from ..errors import counted, is_per_net
from ..optimizers import Optimizer, setting_text, settings_of
from ..persistence.checkpoint_files import CheckpointFile, Identity, warn_of_schedule
from ..schedules import Schedule
from ..streams.memory_limit import checked_memory_limit
from ..streams.row_loading import limit_to_hold
from ..training.state_checks import check_count

if TYPE_CHECKING:
    from .net_base import NetBase
    from .population_base import PopulationBase

SAMPLED_STEPS = 1000  # steps at which two schedules are compared
MEMORY_LIMIT = "memory_limit"  # of the data in an identity: only of fits that read rows from disk


def description(value: Any) -> str:
    """Return an optimiser, schedule or rule as text: its class, and the settings that are not their defaults.

    A setting that a later version adds does not change the text while it has its default, so that the version goes on
    from the file. Whoever changes a default, in turn, has to make the text another one.

    >>> from fastmlp import Adam, EarlyStopping
    >>> description(Adam(0.01)), description(EarlyStopping()), description(None)
    ('Adam(learning_rate=0.01)', 'EarlyStopping()', 'None')
    """
    if not is_dataclass(value):
        return setting_text(value)
    settings = [(field.name, getattr(value, field.name), field.default) for field in fields(value)]
    changed = [(name, setting) for name, setting, default in settings if not is_per_net(setting) and setting != default]
    return f"{type(value).__name__}({', '.join(f'{name}={setting_text(setting)}' for name, setting in changed)})"


def describe_schedule(schedule: Any, factors: Callable[[np.ndarray, int], Any], n_steps: int) -> dict[str, Any]:
    """Return the schedule in words, and a digest of its factors, since functions cannot be compared."""
    steps = np.unique(np.linspace(0, n_steps - 1, SAMPLED_STEPS).astype(np.int64))
    sampled = np.broadcast_to(np.asarray(factors(steps, n_steps), np.float64), steps.shape)
    named = isinstance(schedule, (str, Schedule, type(None)))
    return {
        "schedule": schedule if isinstance(schedule, str) else description(schedule) if named else "a function",
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


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the description of a population's optimiser, with digests of settings that differ between nets."""
    of_nets = {name: digest_of(value) for name, value in settings_of(optimizer).items() if is_per_net(value)}
    return {"optimizer": description(optimizer), **of_nets}


def identity_of_net(net: NetBase) -> dict[str, Any]:
    """Return seed, kind of device and settings of a net or population, but for those that are off, such as l2=0."""
    settings = {name: value for name, value in net.get_settings().items() if value}
    return {**settings, "random_state": net.seed, "device": net.device.name.partition(":")[0]}


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
