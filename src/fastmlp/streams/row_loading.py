"""Loading of rows: one pass over a source, which leaves checked rows in memory if they fit, else in a row file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from ..data.checked_samples import as_features
from ..data.targets import as_targets, metric_of, smoothed
from ..errors import WrongArgument, about_arguments, place_in_errors
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD
from ..network.spec import Network
from ..runtime.ctrl_c import raise_if_stopped
from ..runtime.memory_limits import bytes_for_rows, limit_for_rows, return_freed_memory
from .row_file import RowFile, RowFileWriter
from .sources import Source

SHARE_IN_MEMORY = 0.5  # of the bytes for rows: pieces are put together, which takes them twice


def limit_to_hold(n_bytes: int) -> int:
    """Return the memory limit, in bytes, with which rows of n_bytes stay in memory."""
    return limit_for_rows(ceil(n_bytes / SHARE_IN_MEMORY) + 1)


class RowsInMemory(NamedTuple):
    """Rows of a source that fit into memory: X (n, n_features) and y as the source has it."""

    X: np.ndarray
    y: np.ndarray


def check_piece(X: Any, y: Any, network: Network, is_first: bool) -> None:
    """Raise WrongArgument if the first rows are not what the net takes, which is then so for all.

    Raises
    ------
    ValueError
        If there are no targets.
    """
    check_targets_given(y, is_first)
    shape, k = getattr(X, "shape", None), network.n_features
    if is_first and shape is not None and shape[1:] not in ((k,), () if k == 1 else (k,)):
        with about_arguments():
            as_features(X, k, np.dtype(np.float64))


def check_targets_given(y: Any, is_first: bool) -> None:
    """Raise ValueError if a piece has no targets; is_first : whether no piece before it has any"""
    if y is None:
        message = "y is None, but the source has no targets: name their column, or pass an array."
        raise (WrongArgument if is_first else ValueError)(message)


def common_metric(first: int | None, second: int) -> int:
    """Return what counts as a correct sample of two pieces together, as targets.metric_of says of each."""
    if first is None or first == second:
        return second
    return METRIC_NONE if METRIC_NONE in (first, second) else METRIC_THRESHOLD


def load(
    source: Source, network: Network, dtype: np.dtype, memory_limit: int, before_file: Callable[[], None] = lambda: None
) -> RowsInMemory | RowFile:
    """Read a source once; return its rows, checked.

    memory_limit : int     bytes
    before_file : function that raises ValueError where rows on disk are not wanted

    Raises
    ------
    ValueError
        If rows do not fit the net or are not finite; the message says which rows of the source.
    """
    n_bytes, widths = int(SHARE_IN_MEMORY * bytes_for_rows(memory_limit)), (network.n_features, network.n_outputs)
    pieces: list[tuple[np.ndarray, np.ndarray]] = []  # of rows in memory
    writer: RowFileWriter | None = None
    metric, n_samples = None, 0
    try:
        for X, y in source.pieces():
            raise_if_stopped()
            if not len(X):
                continue
            with place_in_errors(source.rows_shown(n_samples, n_samples + len(X))):
                check_piece(X, y, network, is_first=n_samples == 0)
                features, raw = as_features(X, network.n_features, dtype), np.asarray(y)
                targets = as_targets(raw, network, dtype, len(features))
                metric = common_metric(metric, metric_of(targets, network))
                n_samples, n_bytes = n_samples + len(features), n_bytes - features.nbytes - targets.nbytes
                if writer is not None:
                    writer.write(features, smoothed(targets, network))
                else:
                    pieces.append((np.array(features), np.array(raw)))  # a source may use its buffers again
                del features, raw, targets  # before the next piece is read
                if writer is None and n_bytes < 0:
                    with about_arguments():
                        before_file()
                    writer = RowFileWriter(widths, dtype)
                    for features, raw in pieces:
                        writer.write(features, smoothed(as_targets(raw, network, dtype, len(features)), network))
                    pieces.clear()
                    del features, raw
        if metric is None:
            raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
        if writer is None:
            features, raw = map(np.concatenate, zip(*pieces, strict=True))
            return RowsInMemory(features, raw)
        rows = writer.finish(metric)
        return_freed_memory()  # of the pieces, to the blocks
        return rows
    except BaseException:
        if writer is not None:
            writer.discard()
        raise


@contextmanager
def closed_after_error(rows: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        rows.close()
        raise
