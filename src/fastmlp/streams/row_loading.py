"""Loading of rows: one pass over a source, which leaves checked rows in memory if they fit, else in a row file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ..data.checked_samples import as_features
from ..data.targets import as_targets, metric_of, smoothed
from ..errors import WrongArgument, about_arguments
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD
from ..kernels.system import interrupts
from ..network.spec import Network
from .memory_limit import bytes_for_rows, limit_for_rows, return_freed_memory
from .row_cache import RowCache, is_trusted, is_whole, kept_rows
from .row_file import HeldOut, RowFile, RowFileWriter, temporary_folder
from .sources import Source

SHARE_IN_MEMORY = 0.5  # of the bytes for rows: pieces are put together, which takes them twice


def limit_to_hold(n_bytes: int) -> int:
    """Return the memory limit, in bytes, with which rows of n_bytes stay in memory."""
    return limit_for_rows(ceil(n_bytes / SHARE_IN_MEMORY) + 1)


def bytes_to_hold(memory_limit: int) -> int:
    """Return how many bytes of rows stay in memory with a memory limit."""
    return int(SHARE_IN_MEMORY * bytes_for_rows(memory_limit))


class RowsInMemory:
    """Rows of a source that fit into memory: X (n, n_features) and y as the source has it."""

    def __init__(self, X: np.ndarray, y: np.ndarray):
        self.X, self.y = X, y

    def __enter__(self) -> RowsInMemory:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Loader:
    """Takes pieces of rows: keeps them in memory up to a limit, and writes all to a row file beyond it.

    n_bytes : largest number of bytes of rows in memory
    folder : where a row file is written; None for the folder for temporary files
    before_file : function that is called before a row file is begun, and may refuse it
    """

    def __init__(
        self, network: Network, dtype: np.dtype, n_bytes: int, folder: Path | None, before_file: Callable[[], None]
    ):
        self._network, self._dtype, self._n_bytes, self._folder = network, dtype, n_bytes, folder
        self._before_file = before_file
        self._pieces: list[tuple[np.ndarray, np.ndarray]] = []
        self._in_memory = 0
        self._metric: int | None = None
        self.writer: RowFileWriter | None = None
        self.n_samples = 0

    def add(self, X: Any, y: Any) -> None:
        """Check a piece, and keep or write it."""
        features = as_features(X, self._network.n_features, self._dtype)
        raw = np.asarray(y)
        targets = as_targets(raw, self._network, self._dtype, len(features))
        self._metric = common_metric(self._metric, metric_of(targets, self._network))
        self.n_samples += len(features)
        if self.writer is None:
            self._pieces.append((np.array(features), np.array(raw)))  # a source may use its buffers again
            self._in_memory += features.nbytes + targets.nbytes
            if self._in_memory <= self._n_bytes:
                return
            with about_arguments():
                self._before_file()
            with interrupts.deferred():  # from here on, `load` discards it
                self.writer = RowFileWriter(temporary_folder() if self._folder is None else self._folder)
            for kept, kept_targets in self._pieces:
                self._write(kept, as_targets(kept_targets, self._network, self._dtype, len(kept)))
            self._pieces = []
        else:
            self._write(features, targets)

    def _write(self, features: np.ndarray, targets: np.ndarray) -> None:
        assert self.writer is not None
        self.writer.write(features, smoothed(targets, self._network))

    def finish(self, cache: RowCache | None, place: Path | None, held_out: HeldOut | None) -> RowsInMemory | RowFile:
        """Return the rows.

        place : folder in the cache that keeps a row file, or None for a temporary one
        held_out : rows to keep beside a row file
        """
        if self.writer is None:
            X, y = zip(*self._pieces, strict=True)
            return RowsInMemory(np.concatenate(X), np.concatenate(y))
        network, dtype = self._network, self._dtype
        header = {
            "n_samples": self.n_samples,
            "n_features": network.n_features,
            "n_outputs": network.n_outputs,
            "dtype": dtype.str,
            "metric": self._metric,
        }
        n_bytes = self.n_samples * (network.n_features + network.n_outputs) * dtype.itemsize
        if cache is None or place is None:
            return self.writer.finish(header, None)
        beside: tuple[np.ndarray, ...] = () if held_out is None else held_out()
        if not cache.holds(n_bytes + sum(array.nbytes for array in beside)):
            return self.writer.finish(header, None)
        rows = self.writer.finish(header, place, beside)
        with closed_after_error(rows):
            cache.drop_unused(place)
        return rows


@contextmanager
def rows_named(source: Source, first: int, last: int) -> Iterator[None]:
    """Add the rows of a piece to the message of a ValueError about them."""
    try:
        yield
    except WrongArgument as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"In {source.rows_shown(first, last)}: {error}") from None


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
    source: Source,
    network: Network,
    dtype: np.dtype,
    memory_limit: int,
    cache: RowCache | None,
    before_file: Callable[[], None] = lambda: None,
    held_out: HeldOut | None = None,
) -> RowsInMemory | RowFile:
    """Read a source once; return its rows, checked.

    memory_limit : int     bytes
    cache : RowCache or None     keeps the row file for later fits; None for a temporary one
    before_file : function that raises ValueError where rows on disk are not wanted
    held_out : returns rows that the source does not give, after the last one, to keep beside a row file

    Raises
    ------
    ValueError
        If rows do not fit the net or are not finite; the message says which rows of the source.
    """
    place: Path | None = None
    n_bytes = bytes_to_hold(memory_limit)
    if cache is not None and source.identity is not None:
        of_net = dtype.str, network.n_features, network.n_outputs, network.loss, network.label_smoothing
        known = cache.place_of(source.identity(), *of_net, network.output_row.name)
        if is_trusted(known):
            place = known
            earlier = _rows_of_earlier_fit(cache, place, n_bytes, before_file)
            if earlier is not None:
                return earlier
    loader = Loader(network, dtype, n_bytes, None if cache is None else cache.folder, before_file)
    try:
        for X, y in source.pieces():
            first = loader.n_samples
            with rows_named(source, first, first + len(X)):
                if len(X):
                    check_piece(X, y, network, is_first=first == 0)
                    loader.add(X, y)
        if loader.n_samples == 0:
            raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
        rows = loader.finish(cache, place, held_out)
    except BaseException:
        if loader.writer is not None:
            loader.writer.discard()
        raise
    if isinstance(rows, RowFile):
        with closed_after_error(rows):
            return_freed_memory()  # of the pieces, to the blocks
    return rows


def _rows_of_earlier_fit(cache: RowCache, place: Path, n_bytes: int, before_file: Callable[[], None]) -> RowFile | None:
    """Return the rows that an earlier fit has kept in a folder, if they take more than n_bytes.

    With a higher limit than when they were written, rows are read from the source, and trained on in memory.
    """
    rows = kept_rows(place)
    if rows is None:
        return None
    with closed_after_error(rows):
        if rows.n_bytes > n_bytes:
            before_file()
            if is_whole(rows):
                cache.drop_unused(place)
                return rows
    rows.close()
    return None


@contextmanager
def closed_after_error(rows: RowFile) -> Iterator[None]:
    try:
        yield
    except BaseException:
        rows.close()
        raise
