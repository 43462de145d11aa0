"""The file of a fit's checkpoints, with its identity: nets, rows and settings that must be the same to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.digest import digest_of, sample_digests
from ..errors import counted, is_per_net
from ..optimizers import Optimizer, setting_text
from ..persistence.checkpoint_files import PREVIOUS, Checkpoint, CheckpointFile, Identity, warn_of_schedule
from ..population_result.recorded_epochs import recorded_epochs
from ..runtime.memory_check import checked_memory_limit
from ..schedules import Schedule, schedule_factors
from ..streams.row_loading import limit_to_hold
from .checkpoint import Saver
from .rows import InMemory, OnDisk
from .state import FitState
from .state_checks import check_count, check_integers, check_state
from .task import FitTask, epochs_of_attempt

if TYPE_CHECKING:
    from ..nets.net_base import NetBase, PopulationBase

SAMPLED_STEPS = 1000  # steps at which two schedules are compared
MEMORY_LIMIT = "memory_limit"  # of the data in an identity: only of fits that read rows from disk
BLOCKS = "sizes of blocks"  # in an identity, of such fits
BLOCKS_DEPEND_ON = ("data", MEMORY_LIMIT), ("fit", "batch_size")  # and on the size of a row


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


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the description of a population's optimiser, with digests of settings that differ between nets."""
    of_nets = {name: digest_of(value) for name, value in optimizer.settings.items() if is_per_net(value)}
    return {"optimizer": description(optimizer), **of_nets}


def identity_of_net(net: NetBase) -> dict[str, Any]:
    """Return seed, kind of device and settings of a net or population, but for those that are off, such as l2=0."""
    settings = {name: value for name, value in net.get_settings().items() if value}
    return {**settings, "random_state": net.seed, "device": net.device.name.partition(":")[0]}


def identity_of_nets(pop: PopulationBase) -> dict[str, Any]:
    """Return identity_of_net of a population, with its number of nets and digests of what differs between them."""
    arrays = {name: digest_of(array) for name, array in pop.get_arrays().items() if name != "params"}
    return {"n_nets": pop.n_nets, **identity_of_net(pop), **arrays}


def file_of(given: dict[str, Any], kind: str) -> CheckpointFile:
    """Return the file of a fit's checkpoints; given : checked keywords of fit, of which checkpoint is not None"""
    return CheckpointFile(given["checkpoint"], given["every"], given["resume"], kind, given["verbose"])


@contextmanager
def random_numbers_of(net: NetBase, file: CheckpointFile | None) -> Iterator[None]:
    """Context in which the net has the seed and the number of fits of a checkpoint; it keeps them without an error.

    A net with a seed of its own, given as random_state, keeps it: another one is another fit.
    """
    if file is None or file.found is None:
        yield
        return
    before = {name: getattr(net, name) for name in ("seed", "fits", "seeds") if hasattr(net, name)}
    try:
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


def identity_of(nets: Any, task: FitTask) -> Identity:
    """Return the identity of a fit, but for its schedules; nets : MLP or Population"""
    fit: dict[str, Any] = {
        "batch_size": task.batch_size,
        "shuffle": task.shuffle,
        **describe_optimizer(task.optimizer),
        "early_stopping": description(task.early_stopping),
        "metrics": [*task.metrics],
    }
    if task.is_population:
        fit |= {
            "converged": description(task.converged),
            "restart_after": task.restart_after,
            "kernel family": task.family,
        }
    if isinstance(task.rows, InMemory):
        data = sample_digests({"training": task.rows.data, "validation": task.held_out})
    else:
        data = {
            MEMORY_LIMIT: task.rows.memory_limit,
            "number of training samples": task.rows.n_samples,
            **task.rows.file.checksums,
            **({"training weights": digest_of(task.rows.data.weight)} if task.rows.data.has_weights else {}),
            **sample_digests({"validation": task.held_out}),
        }
        fit[BLOCKS] = [*blocks_of(task.rows, task.batch_size)]
    return {"net": identity_of_nets(nets) if task.is_population else identity_of_net(nets), "data": data, "fit": fit}


def blocks_of(rows: OnDisk, batch_size: int) -> tuple[int, int]:
    """Return the number of rows of a chunk, and the largest number of chunks of a block."""
    from ..streams.shuffled_blocks import block_sizes

    return block_sizes(rows.file.row_bytes, batch_size, rows.memory_limit)


def schedules_of(task: FitTask, n_steps: int) -> dict[str, Any]:
    """Return the schedules of a fit of n_steps steps, in words and as digests of their factors."""
    return describe_schedule(task.schedule, task.factors or schedule_factors(None), n_steps)


def saver_of(file: CheckpointFile, nets: Any, task: FitTask) -> Saver:
    """Return the saver of a fit.

    nets : MLP or Population, whose seed and number of fits are those of the fit

    Raises
    ------
    ValueError
        If the file is of another fit, or has finished or begun more epochs than this one has.
    """
    if not task.is_population:
        _ = task.optimizer.hyper  # settings of several nets are an error
    check_place_of_rows(file, not isinstance(task.rows, InMemory))
    found, random = file.found, {"seed": nets.seed, "fits": nets.fits}
    identity, start = identity_of(nets, task), None
    before = task.epochs if found is None else found.epochs
    length_before, length = before, task.epochs  # epochs of an attempt
    if found is not None:
        with file.checking_state():
            start = FitState.from_file(found.state)
            length_before, length = (epochs_of_attempt(n, task.restart_after, start.attempt) for n in (before, length))
        _check_blocks(file, identity)
    identity["fit"] |= schedules_of(task, before * task.n_batches)
    file.check_identity(identity)
    where = ""
    if start is not None:
        rows_of_block = 0 if isinstance(task.rows, InMemory) else int(np.prod(blocks_of(task.rows, task.batch_size)))
        subsets = ["training"] if task.held_out is None else ["training", "validation"]
        metrics = tuple(f"{subset}.{name}" for subset in subsets for name in task.metrics)
        with file.checking_state():
            check_state(start, task, before, metrics, rows_of_block)
        n_steps = start.n_steps(task.n_batches, task.batch_size, start.attempt)
        of_workers = start.restarts.max() > start.attempt  # nets have ended in attempts of their own
        _check_epochs(file, task, start, n_steps, length > length_before or (of_workers and task.epochs > before))
        if length > length_before:
            recorded = recorded_epochs(epochs_of_attempt(task.epochs, task.restart_after, 0), task.whole.n_nets)
            start.extend(length, recorded, ceil(start.n_steps(task.n_batches, task.batch_size) / task.n_batches))
        where = f"with {counted(start.n_ended, 'finished net')} of {task.n_nets:,}"
        if not task.is_population:
            where = f"after epoch {n_steps // task.n_batches:,} of {task.epochs:,}"
        if length != length_before:
            factors = task.factors or schedule_factors(None)
            warn_of_schedule(factors, length_before * task.n_batches, length * task.n_batches, n_steps)
    file.begin(identity, where)
    identity["fit"] |= schedules_of(task, task.epochs * task.n_batches)

    def write(state: FitState, epochs: int) -> None:
        parts = state.to_file()
        if task.is_population:
            parts.arrays["seeds"] = nets.seeds
            reached = counted(state.n_ended, "finished net")
        else:
            reached = f"epoch {state.nets[0].n_epochs if 0 in state.nets else 0:,}"
        file.write(Checkpoint(identity, random, task.epochs, parts), reached, epochs)

    return Saver(file.timer, write, start)


def _check_epochs(file: CheckpointFile, task: FitTask, start: FitState, n_steps: int, is_longer: bool) -> None:
    """Raise ValueError if a file has finished or begun more epochs than its fit is to have now, or lacks what finished
    nets need to go on.

    n_steps : done
    is_longer : whether nets are to have more epochs than before
    """
    assert file.found is not None
    path, epochs, finished, begun = (
        str(file.path),
        task.epochs,
        n_steps // task.n_batches,
        ceil(n_steps / task.n_batches),
    )
    if task.is_population and epochs < file.found.epochs:
        raise ValueError(
            f"{path!r} is a checkpoint of a fit of {file.found.epochs:,} epochs, but epochs={epochs}. Give at least "
            f"{file.found.epochs}, or name another file."
        )
    if not task.is_population and begun > epochs:
        has = counted(finished, "epoch") + (" and a part of the next" if begun > finished else "")
        raise ValueError(f"{path!r} has {has}, but epochs={epochs}. Give at least {begun}, or name another file.")
    if is_longer and (n := start.n_without_state):
        raise ValueError(
            f"{path!r} has {counted(n, 'finished net')} without the optimiser state with which they could go on, since "
            f"workers of an executor have trained them with restarts. Give epochs={file.found.epochs} or, to train "
            f"anew, remove it and {path + PREVIOUS!r}."
        )


def _check_blocks(file: CheckpointFile, identity: Identity) -> None:
    """Raise ValueError if a file has other blocks than this fit at the same limit, as another version chooses them."""
    assert file.found is not None
    found = file.found.identity
    before, here = found.get("fit", {}).get(BLOCKS), identity["fit"].get(BLOCKS)
    is_same = all(found[part].get(name) == identity[part].get(name) for part, name in BLOCKS_DEPEND_ON)
    if before != here and is_same:
        raise ValueError(
            f"{str(file.path)!r} was written by another version of fastmlp, whose blocks of rows have other sizes: "
            f"{before} instead of {here} rows and chunks. Go on with that version, or train anew with another file."
        )


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
