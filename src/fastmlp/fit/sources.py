"""Rows of a fit from a source that is read piece by piece: in memory if they fit, else on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..optimizers.base import takes_all
from ..runtime.memory_check import checked_memory_limit
from ..streams.source_kinds import is_source, names_columns
from .rows import OnDisk

if TYPE_CHECKING:
    from ..nets.net_base import NetBase
    from ..persistence.checkpoint_files import CheckpointFile


@contextmanager
def rows_of(X: Any, y: Any, net: NetBase, given: dict[str, Any], file: CheckpointFile | None) -> Iterator[Any]:
    """Context with the rows of a fit: (X, y) as arrays, or (rows on disk, None), which are removed at its end.

    given : arguments of fit
    file : of the fit's checkpoints; its memory limit is that of a fit whose memory_limit is None
    """
    if isinstance(X, OnDisk) or not (is_source(X) or names_columns(X, y)):
        yield X, y
        return
    from ..streams.row_file import RowFile
    from ..streams.row_loading import load
    from ..streams.sources import as_source, with_weights

    weights: list[np.ndarray] = []
    named = given["sample_weight"] if isinstance(given["sample_weight"], str) else None
    source = as_source(X, y) if named is None else with_weights(X, y, named, weights)
    limit = given["memory_limit"]
    if limit is None and file is not None:
        from .checkpoint_identity import memory_limit_of

        limit = memory_limit_of(file, (net.network.n_features + net.network.n_outputs) * net.dtype.itemsize)
    limit = checked_memory_limit(limit)
    rows = load(source, net.network, net.dtype, limit, lambda: _check_for_disk(given))
    if named is not None:
        given["sample_weight"] = np.concatenate(weights)
    if isinstance(rows, RowFile):
        with rows:
            yield OnDisk.of(rows, limit), None
    else:
        yield rows.X, rows.y


def _check_for_disk(given: dict[str, Any]) -> None:
    """Refuse, before rows are written to disk, what needs all of them in memory."""
    if given["batch_size"] is None:
        raise ValueError(
            "batch_size is None, all samples in one batch, but they take more than memory_limit. Pass the number "
            "of samples in a step, such as batch_size=256."
        )
    if takes_all(given["batch_size"], given["optimizer"].rule):
        raise ValueError(
            f"{type(given['optimizer']).__name__} needs all samples in one batch, but they take more than "
            "memory_limit. Choose an optimizer that is trained in batches, such as 'adam'."
        )


def refuse_with_stream(**given: Any) -> None:
    """Raise ValueError if one of these arguments is given, which need all data in memory."""
    is_zero = lambda value: isinstance(value, Real) and not value
    is_empty = lambda value: value is None or is_zero(value) or (hasattr(value, "__len__") and len(value) == 0)
    names = [name for name, value in given.items() if not is_empty(value)]
    if names:
        raise ValueError(
            f"{' and '.join(names)} cannot be used with data that are read piece by piece. Leave out what cannot be "
            "used, pass arrays, or give fit a memory_limit that all rows fit into."
        )
