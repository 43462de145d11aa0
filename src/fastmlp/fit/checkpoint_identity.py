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
from ..interface.user_warnings import warn_user
from ..optimizers import setting_text
from ..persistence.checkpoint_files import PREVIOUS, CheckpointFile, Contents, Identity
from ..population_result.recorded_epochs import recorded_epochs
from ..runtime.memory_limits import checked_memory_limit
from ..schedules import Schedule, schedule_factors
from ..streams.row_loading import limit_to_hold
from .hooks.checkpoint import Saver
from .keywords import POPULATION_KEYWORDS
from .rows import InMemory
from .state import FitState, check_forms
from .task import FitTask, epochs_of_attempt

if TYPE_CHECKING:
    from ..nets.net_base import NetBase

# Keywords that identities have at their defaults, too; one of a later version is no difference while it has its own.
IN_ALL_FILES = "batch_size", "optimizer", "shuffle", "early_stopping", "metrics"
SAMPLED_STEPS = 1000  # steps at which two schedules are compared


def description(value: Any) -> str:
    """Return an optimiser, schedule or rule as text: its class, and the settings that are not their defaults. Metrics
    are a list of their names.

    A setting that a later version adds does not change the text while it has its default, so that the version goes on
    from the file. Whoever changes a default, in turn, has to make the text another one.

    >>> from fastmlp import Adam, EarlyStopping
    >>> description(Adam(0.01)), description(EarlyStopping()), description(None)
    ('Adam(learning_rate=0.01)', 'EarlyStopping()', 'None')
    """
    if not is_dataclass(value):
        return str([*value]) if isinstance(value, dict) else setting_text(value)
    settings = [(field.name, getattr(value, field.name), field.default) for field in fields(value)]
    changed = [(name, setting) for name, setting, default in settings if not is_per_net(setting) and setting != default]
    return f"{type(value).__name__}({', '.join(f'{name}={setting_text(setting)}' for name, setting in changed)})"


def file_of(keywords: dict[str, Any], kind: str) -> CheckpointFile:
    """Return the file of a fit's checkpoints; keywords : dict     checked keywords of fit, checkpoint among them"""
    return CheckpointFile(keywords["checkpoint"], kind, keywords["verbose"])


@contextmanager
def random_numbers_of(net: NetBase, file: CheckpointFile) -> Iterator[None]:
    """Context in which the net has the seed and the number of fits of a checkpoint; it keeps them without an error.

    A net with a seed of its own, its random_state, keeps it: another one is another fit.
    """
    saved = file.contents
    if saved is None:
        yield
        return
    before = {name: getattr(net, name) for name in ("seed", "fits", "seeds") if hasattr(net, name)}
    try:
        with file.checking_state():
            net.fits = saved.numbers["fits"]
            if net._has_drawn_seed:
                net.seed = saved.numbers["seed"]
                if "seeds" in before:
                    check_forms(saved.state, {"seeds": (np.int64, before["seeds"].shape)})
                    vars(net)["seeds"] = saved.state["seeds"]
        yield
    except BaseException:
        vars(net).update(before)
        raise


def identity_of(nets: Any, task: FitTask) -> Identity:
    """Return the identity of a fit, but for its schedule: settings as text, and digests of arrays.

    Settings of nets that are off, such as l2=0, are left out: a later version may have more of them.

    nets : MLP or Population
    """
    settings = {name: value for name, value in nets.get_settings().items() if value}
    identity: dict[str, Any] = settings | {"random_state": nets.seed, "device": nets.device.name.partition(":")[0]}
    if own := nets.network.own_formulas():
        identity["own_formulas"] = own
    if task.is_population:
        identity["n_nets"] = nets.n_nets
        identity |= {name: digest_of(array) for name, array in nets.get_arrays().items() if name != "params"}
    for name, row in POPULATION_KEYWORDS.rows.items():
        if row.in_task and row.in_identity:
            value = getattr(task, name)
            if name in IN_ALL_FILES or value != POPULATION_KEYWORDS.defaults[name]:
                identity[name] = description(value)
    identity |= {name: digest_of(value) for name, value in task.optimizer.settings.items() if is_per_net(value)}
    if isinstance(task.rows, InMemory):
        identity["memory_limit"] = "none, with all rows in memory"
        identity |= sample_digests({"training": task.rows.data, "validation": task.held_out})
    else:
        from ..streams.shuffled_blocks import block_sizes

        data, file, limit = task.rows.data, task.rows.file, task.rows.memory_limit
        identity |= {"memory_limit": limit, "number of training samples": data.n_samples, **file.checksums}
        identity["training weights"] = digest_of(data.weight) if data.has_weights else None
        identity |= sample_digests({"validation": task.held_out})
        identity["rows of a chunk and chunks of a block"] = block_sizes(file.row_bytes, task.batch_size, limit)
    if task.is_population:
        identity["kernel family"] = task.whole.family
    return {name: str(value) for name, value in identity.items()}


def schedule_of(task: FitTask, n_steps: int) -> Identity:
    """Return the schedule of a fit of n_steps steps: in words, and as a digest, since functions cannot be compared."""
    schedule, factors = task.schedule, task.factors or schedule_factors(None)
    is_named = isinstance(schedule, (Schedule, type(None)))
    text = schedule if isinstance(schedule, str) else description(schedule) if is_named else "a function"
    return {"schedule": text, "factors of the schedule": digest_of(_sampled(factors, n_steps, n_steps))}


def _sampled(factors: Callable[[np.ndarray, int], Any], n_steps: int, n_done: int) -> np.ndarray:
    """Return factors of a fit of n_steps steps, at evenly spaced ones of the first n_done."""
    steps = np.unique(np.linspace(0, n_done - 1, SAMPLED_STEPS).astype(np.int64))
    return np.array(np.broadcast_to(np.asarray(factors(steps, n_steps), np.float64), steps.shape))


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
    saved, identity, start = file.contents, identity_of(nets, task), None
    n_before = task.epochs if saved is None else saved.numbers["epochs"]
    file.check_identity(identity | schedule_of(task, n_before * task.n_batches))
    if saved is not None:
        with file.checking_state():
            start = FitState.from_file(saved.state, task)
    file.begin("" if start is None else _place_to_go_on(file, start, task, n_before))
    identity |= schedule_of(task, task.epochs * task.n_batches)
    n_validation = 0 if task.held_out is None else task.held_out.n_samples
    numbers = {
        "seed": nets.seed,
        "fits": nets.fits,
        "epochs": task.epochs,
        "memory_limit": 0 if isinstance(task.rows, InMemory) else task.rows.memory_limit,
        "n_rows": task.rows.n_samples + n_validation,
    }

    def write(state: FitState, epochs: int) -> None:
        arrays = state.to_file()
        if task.is_population:
            arrays["seeds"] = nets.seeds
            reached = counted(state.n_ended, "finished net")
        else:
            reached = f"epoch {len(state.nets[0]['loss']) if 0 in state.nets else 0:,}"
        file.write(Contents(identity, numbers, arrays), reached, epochs)

    return Saver(file.timer, write, start)


def _place_to_go_on(file: CheckpointFile, start: FitState, task: FitTask, n_before: int) -> str:
    """Return the place from which a fit goes on, in words. A state is extended if the fit has more epochs now.

    n_before : argument epochs of the fit in the file

    Raises
    ------
    ValueError
        If the file has finished or begun more epochs than the fit is to have now, or lacks what finished nets need.
    """
    path, epochs = str(file.path), task.epochs
    length_before, length = (epochs_of_attempt(n, task.restart_after, start.attempt) for n in (n_before, epochs))
    n_steps = start.n_steps(task, start.attempt)
    finished, begun = n_steps // task.n_batches, ceil(n_steps / task.n_batches)
    if task.is_population and epochs < n_before:
        raise ValueError(
            f"{path!r} is a checkpoint of a fit of {n_before:,} epochs, but epochs={epochs}. Give at least "
            f"{n_before}, or name another file."
        )
    if not task.is_population and begun > epochs:
        has = counted(finished, "epoch") + (" and a part of the next" if begun > finished else "")
        raise ValueError(f"{path!r} has {has}, but epochs={epochs}. Give at least {begun}, or name another file.")
    ends_by_net = start.outcome.restarts.max() > start.attempt  # nets have ended in attempts of their own
    is_longer = length > length_before or (ends_by_net and epochs > n_before)
    if is_longer and (n := start.n_without_state):
        raise ValueError(
            f"{path!r} has {counted(n, 'finished net')} without the optimiser state with which they could go on, since "
            f"workers of an executor have trained them with restarts. Give epochs={n_before} or, to train anew, "
            f"remove it and {path + PREVIOUS!r}."
        )
    if length > length_before:
        recorded = recorded_epochs(epochs_of_attempt(epochs, task.restart_after, 0), task.whole.n_nets)
        start.extend(length, recorded, ceil(start.n_steps(task) / task.n_batches))
    if length != length_before and n_steps:
        factors = task.factors or schedule_factors(None)
        before, now = (_sampled(factors, n * task.n_batches, n_steps) for n in (length_before, length))
        if not np.array_equal(before, now):
            warn_user(
                "The schedule depends on the number of epochs, which is another one than before: the epochs done had "
                "the learning rates of the fit as it was begun, and the others have those of this one. The parameters "
                "will not be those of a fit that had this number of epochs from the start."
            )
    if task.is_population:
        return f"with {counted(start.n_ended, 'finished net')} of {task.n_nets:,}"
    return f"after epoch {finished:,} of {epochs:,}"


def memory_limit_of(file: CheckpointFile, row_bytes: int) -> int | None:
    """Return the memory limit of the fit in a file, in bytes; None if there is no fit.

    If it had its rows in memory, the limit holds as many, and is at least that of a fit by default.

    row_bytes : bytes of the features and targets of a row
    """
    if file.contents is None:
        return None
    with file.checking_state():
        limit, n_rows = (file.contents.numbers[name] for name in ("memory_limit", "n_rows"))
    return limit or max(checked_memory_limit(None), limit_to_hold(n_rows * row_bytes))
