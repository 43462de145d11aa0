"""Code of checkpoints, imported on demand: only fits that have checkpoints need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..checkpoint_interval import DEFAULT
from .net_base import NetBase

if TYPE_CHECKING:
    from ..persistence.checkpoints import CheckpointFile
    from .stream_checkpoints import StreamFile


def module_of_checkpoints(checkpoint: Any, every: Any, resume: Any) -> Any:
    """Return the module `checkpoint_identity`, or None for a fit without checkpoints, which need not import it."""
    if checkpoint is None and not resume and every == DEFAULT:
        return None
    from . import checkpoint_identity

    return checkpoint_identity


def random_numbers_of(nets: NetBase, file: CheckpointFile | None) -> AbstractContextManager[None]:
    """Return the context of checkpoint_identity.random_numbers_of; without checkpoints, it does nothing."""
    if file is None:
        return nullcontext()
    from .checkpoint_identity import random_numbers_of

    return random_numbers_of(nets, file)


def stream_file(file: CheckpointFile | None, *arguments: Any) -> StreamFile | None:
    """Return the StreamFile with these further arguments, or None without checkpoints."""
    if file is None:
        return None
    from .stream_checkpoints import StreamFile

    return StreamFile(file, *arguments)
