"""Arguments of MLP and Population for data that are read piece by piece, checked."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..streams.memory_limit import checked_memory_limit
from ..streams.row_cache import as_cache
from .net_base import NetBase

if TYPE_CHECKING:
    from ..persistence.checkpoint_files import CheckpointFile

NEED_ALL_ROWS = (
    "sample_weight",
    "class_weight",
    "validation_fraction",
    "metrics",
    "converged",
    "restart_after",
    "monitor",
    "executor",
)  # arguments of fit


class StreamArguments(NamedTuple):
    """Checked arguments of fit, of MLP or Population, for data that are read piece by piece."""

    memory_limit: int  # bytes
    row_cache: Path | None
    announces: bool = True  # whether a fit with verbose above 0 says that it reads from disk

    @classmethod
    def checked(
        cls, memory_limit: Any, row_cache: Any, file: CheckpointFile | None = None, net: NetBase | None = None
    ) -> StreamArguments:
        """Return the arguments after a check.

        file : CheckpointFile or None     checkpoint of the fit; its limit is that of a fit whose memory_limit is None
        net : MLP or Population     that is fitted; needed with a file
        """
        if memory_limit is None and file is not None:
            from .checkpoint_identity import memory_limit_of

            assert net is not None, "given with a file"
            row_bytes = (net.network.n_features + net.network.n_outputs) * net.dtype.itemsize
            memory_limit = memory_limit_of(file, row_bytes)
        return cls(checked_memory_limit(memory_limit), as_cache(row_cache))


def needing_all_rows(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments of fit that need all rows in memory."""
    return {name: given[name] for name in NEED_ALL_ROWS if name in given}


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
