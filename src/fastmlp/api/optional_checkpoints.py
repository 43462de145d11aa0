"""Code of checkpoints, imported on demand: only fits that have checkpoints need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..runtime.checkpoint_interval import DEFAULT
from .fit_keywords import CheckpointKeywords
from .net_base import NetBase

if TYPE_CHECKING:
    from ..persistence.checkpoint_files import CheckpointFile
    from ..population_training.checkpoint_saver import PopulationSaver
    from .checkpoint_savers import NetSaver
    from .stream_checkpoints import StreamFile


def checkpoint_file(given: CheckpointKeywords, kind: str, verbose: int) -> CheckpointFile | None:
    """Return what checkpoint_savers.checkpoint_file does; None for a fit without checkpoints.

    given : arguments of fit
    """
    checkpoint, every, resume = given["checkpoint"], given["every"], given["resume"]
    if checkpoint is None and not resume and every == DEFAULT:
        return None
    from . import checkpoint_savers

    return checkpoint_savers.checkpoint_file(checkpoint, every, resume, kind, verbose)


def random_numbers_of(nets: NetBase, file: CheckpointFile | None) -> AbstractContextManager[None]:
    """Return the context of checkpoint_savers.random_numbers_of; without checkpoints, it does nothing."""
    if file is None:
        return nullcontext()
    from . import checkpoint_savers

    return checkpoint_savers.random_numbers_of(nets, file)


def net_saver(file: CheckpointFile | None, *arguments: Any) -> NetSaver | None:
    """Return the NetSaver with these further arguments, or None without checkpoints."""
    if file is None:
        return None
    from .checkpoint_savers import NetSaver

    return NetSaver(file, *arguments)


def population_saver(file: CheckpointFile | None, *arguments: Any) -> PopulationSaver | None:
    """Return checkpoint_savers.population_saver with these further arguments, or None without checkpoints."""
    if file is None:
        return None
    from . import checkpoint_savers

    return checkpoint_savers.population_saver(file, *arguments)


def stream_file(file: CheckpointFile | None, *arguments: Any) -> StreamFile | None:
    """Return the StreamFile with these further arguments, or None without checkpoints."""
    if file is None:
        return None
    from .stream_checkpoints import StreamFile

    return StreamFile(file, *arguments)
