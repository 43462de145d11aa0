"""Loggers: callbacks that write the records of each epoch to a file, or to another program."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

from .errors import counted
from .interface.docstrings import with_entries_of
from .interface.user_warnings import warn_user
from .kernels.system import interrupts
from .runtime.checkpoint_interval import as_interval
from .runtime.output_files import append, check_output

if TYPE_CHECKING:
    from .history import History

Row = dict[str, Any]
DEFAULT_INTERVAL = "1 s"
MOST_GROWTH = 4  # factor between the numbers of epochs to two successive calls, if a time decides


class Logger(ABC):
    """Base class of loggers, which are callbacks: fit(..., callbacks=[logger]).

    A subclass has a method `write(rows)`, and may have `begin(history)` and `end(history)`. Every epoch becomes a row,
    also the last ones of a fit that Ctrl-C or an error has ended. A fit that goes on from a checkpoint logs the epochs
    of this call.

    Parameters
    ----------
    every : int or str, default "1 s"
        Interval at which rows are written, several at a time: a number of epochs, or a duration in s, min or h. Kernel
        calls train the epochs in between at once, which matters where an epoch takes microseconds.

    Raises
    ------
    ValueError
        If the interval is invalid.

    Warns
    -----
    UserWarning
        If rows cannot be written. The fit goes on, and they are written with the next ones.

    Examples
    --------
    >>> import fastmlp
    >>> class Printer(Logger):
    ...     def write(self, rows):
    ...         print([row["epoch"] for row in rows], sorted(rows[0]))
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=5, callbacks=[Printer(every=3)])
    [0, 1, 2] ['epoch', 'loss']
    [3, 4] ['epoch', 'loss']
    """

    _defers_interrupts = False  # whether Ctrl-C waits until rows are written

    def __init__(self, *, every: int | str = DEFAULT_INTERVAL):
        self._interval = as_interval(every)
        self._history: Any = None
        self._n_written = 0
        self._written_at, self._called_at, self._n_seen, self._ahead = 0.0, 0.0, 0, 1

    # ---- methods of the subclasses

    def begin(self, history: History) -> None:  # noqa: B027
        """Prepare for the rows of a fit; called before its first row, by default without an effect.

        Parameters
        ----------
        history : History
            Its `settings` are the arguments of the fit, `net` is the net.
        """

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Write rows.

        Parameters
        ----------
        rows : sequence of dict
            One row per epoch: "epoch", counted from 0, and the records by name, as floats.

        Raises
        ------
        OSError
            If they cannot be written now; the same rows come again with the next ones.
        """

    def end(self, history: History) -> None:  # noqa: B027
        """Finish the log of a fit, however the fit ended; called after its last row, by default without an effect.

        Parameters
        ----------
        history : History
            All records; `stopped_by` says why the fit ended.
        """

    # ---- the callback

    def epochs_ahead(self) -> int:
        """Return after how many epochs to call again.

        Returns
        -------
        int
            At least 1.
        """
        if self._interval.epochs is not None:
            return max(1, self._interval.epochs - (self._n_seen - self._n_written))
        return self._ahead

    def __call__(self, epoch: int, history: History) -> None:
        """Write the rows that are due."""
        self._take(history)
        n = history.epochs
        if self._interval.epochs is not None:
            is_due = n - self._n_written >= self._interval.epochs
        else:
            is_due = self._time_is_over(n)
        self._n_seen = n
        if is_due:
            self._write_up_to(n)

    def fit_ended(self, history: History) -> None:
        """Write the rows that are left; every fit calls this at its end.

        Parameters
        ----------
        history : History
            Records of the fit.
        """
        self._take(history)
        try:
            self._write_up_to(history.epochs, "they are lost")
        finally:
            self.end(history)
            self._history = None

    def _take(self, history: History) -> None:
        """Begin with another fit, if this is one."""
        if history is not self._history:
            self._history, self._n_written, self._n_seen = history, history.epochs_before, history.epochs_before
            self._written_at = self._called_at = time.monotonic()
            self._ahead = 1
            self.begin(history)

    def _time_is_over(self, n: int) -> bool:
        """Return whether the interval is over after n epochs, and estimate after how many it will be over next.

        The call may come sooner than it asked for: with validation, after each epoch.
        """
        assert self._interval.seconds is not None
        now, n_before = time.monotonic(), self._n_written
        per_epoch = max(now - self._called_at, 1e-9) / max(1, n - self._n_seen)
        is_over = now - self._written_at >= self._interval.seconds
        left = self._interval.seconds - (0.0 if is_over else now - self._written_at)
        self._called_at = now
        self._ahead = max(1, min(int(left / per_epoch), MOST_GROWTH * self._ahead))
        return is_over and n > n_before

    def _write_up_to(self, n: int, else_: str = "they come again with the next ones") -> None:
        if n <= self._n_written:
            return
        records = {name: values[self._n_written : n] for name, values in self._history.records().items() if len(values)}
        epochs = range(self._n_written, n)
        rows = [
            {"epoch": epoch, **{name: float(values[i]) for name, values in records.items() if i < len(values)}}
            for i, epoch in enumerate(epochs)
        ]
        try:
            with interrupts.deferred() if self._defers_interrupts else nullcontext():
                self.write(rows)
                self._n_written = n
        except OSError as error:
            n_left = n - self._n_written
            warn_user(f"{type(self).__name__} could not write {counted(n_left, 'row')}; {else_}: {error}")
        self._written_at = time.monotonic()


class _FileLogger(Logger):
    """Base class of loggers that append lines to a text file, which is open only while they do."""

    _defers_interrupts = True
    _start = b""  # how files of this kind begin

    def __init__(self, path: str | os.PathLike, *, every: int | str = DEFAULT_INTERVAL):
        super().__init__(every=every)
        check_output(path)
        self._path = os.path.abspath(path)
        if not self._start.startswith(self._ends()[0][: len(self._start)]):  # a crash may have left a part of it
            raise ValueError(
                f"{self._path!r} is there and does not begin as the files of {type(self).__name__} do, so that nothing "
                "is appended to it: name another file."
            )

    def begin(self, history: History) -> None:
        if history.epochs_before:  # the call before may have come further than its checkpoint
            with suppress(ValueError, TypeError, KeyError, IndexError):
                self._n_written = self._epoch_of(self._ends()[1]) + 1

    def write(self, rows: Sequence[Row]) -> None:
        append(self._path, self._lines(rows).encode())

    @abstractmethod
    def _lines(self, rows: Sequence[Row]) -> str:
        """Return rows as lines of text, each with its end of line."""

    @abstractmethod
    def _epoch_of(self, line: str) -> int:
        """Return the epoch of a line of the file. ValueError, TypeError, KeyError or IndexError: it has none."""

    def _ends(self) -> tuple[bytes, str]:
        """Return the first line of the file, with its end, and the last whole one; empty ones if there are none."""
        try:
            with open(self._path, "rb") as file:
                first = file.readline(LONGEST_LINE)
                file.seek(max(0, os.path.getsize(self._path) - LONGEST_LINE))
                return first, (b"\n" + file.read()).decode(errors="replace").split("\n")[-2]
        except OSError:  # there is none, or it can only be written
            return b"", ""


LONGEST_LINE = 65_536  # bytes at the beginning and at the end of a file in which its first and last line are looked for


@with_entries_of(Logger)
class CSVLogger(_FileLogger):
    """Logger that appends the records of each epoch to a CSV file: fit(..., callbacks=[CSVLogger("run.csv")]).

    The first line has the names: "epoch", counted from 0, and the records. The rows of a further fit follow those of
    the fit before; one that goes on from a checkpoint leaves out the epochs that the file has. Lines are whole at any
    time, after Ctrl-C and after a kill, too.

    Parameters
    ----------
    path : str or path
        File to append to; it is made if there is none.

    Raises
    ------
    OSError
        If the file cannot be written, or is a folder, a device or a pipe.
    ValueError
        If the file is no log of this kind or, in fit, has other columns.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.csv")
    ...     history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=3, callbacks=[CSVLogger(path)])
    ...     with open(path) as file:
    ...         print(file.readline().strip(), sum(1 for line in file))
    epoch,loss 3
    """

    _start = b"epoch,"

    def _lines(self, rows: Sequence[Row]) -> str:
        names, first = list(rows[0]), self._ends()[0].decode(errors="replace")
        header = next(csv.reader([first])) if first.endswith("\n") else []
        if header not in ([], names):
            raise ValueError(
                f"{self._path!r} has the columns {', '.join(header)}, but this fit has the records {', '.join(names)}. "
                "Name another file."
            )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*([] if header else [names]), *(row.values() for row in rows)])
        return text.getvalue()

    def _epoch_of(self, line: str) -> int:
        return int(next(csv.reader([line]))[0])


@with_entries_of(Logger)
class JSONLinesLogger(_FileLogger):
    """Logger that appends a JSON object per epoch to a file: fit(..., callbacks=[JSONLinesLogger("run.jsonl")]).

    Each line is an object with "epoch", counted from 0, and the records; a number that is not finite is null. Lines are
    appended as by CSVLogger.

    Parameters
    ----------
    path : str or path
        File to append to; it is made if there is none.

    Raises
    ------
    OSError
        If the file cannot be written, or is a folder, a device or a pipe.
    ValueError
        If the file does not begin as a JSON object in one line does.

    Examples
    --------
    >>> import fastmlp, json, os, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.jsonl")
    ...     history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=3, callbacks=[JSONLinesLogger(path)])
    ...     with open(path) as file:
    ...         rows = [json.loads(line) for line in file]
    >>> [row["epoch"] for row in rows], rows[0]["loss"] == float(history.loss[0])
    ([0, 1, 2], True)
    """

    _start = b'{"'

    def _lines(self, rows: Sequence[Row]) -> str:
        finite = ({name: value if isfinite(value) else None for name, value in row.items()} for row in rows)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in finite)

    def _epoch_of(self, line: str) -> int:
        return int(json.loads(line)["epoch"])
