"""Loggers: callbacks that write the records of each epoch to a file, to standard output, or to another program."""

from __future__ import annotations

import csv
import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .errors import counted
from .interface.docstrings import with_entries_of
from .interface.user_warnings import warn_user
from .runtime.checkpoint_interval import Timer, as_interval
from .runtime.output_files import append, check_output

if TYPE_CHECKING:
    from .history import History

Row = dict[str, Any]
DEFAULT_INTERVAL = "1 s"
START = b"epoch,"  # of the files of CSVLogger
LONGEST_LINE = 65_536  # bytes at the beginning and at the end of a file in which its first and last line are looked for
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

    def __init__(self, *, every: int | str = DEFAULT_INTERVAL):
        self._timer = Timer(as_interval(every))
        self._history: Any = None
        self._n_written = 0
        self._called_at, self._n_seen, self._ahead = 0.0, 0, 1

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
        return self._timer.epochs_left(self._n_seen) or self._ahead

    def __call__(self, epoch: int, history: History) -> None:
        """Write the rows that are due."""
        self._take(history)
        n, seconds = history.epochs, self._timer.interval.seconds
        is_due = self._timer.is_due(n)
        if seconds is not None:  # the call may come sooner than it asked for: with validation, after each epoch
            now = time.monotonic()
            per_epoch = max(now - self._called_at, 1e-9) / max(1, n - self._n_seen)
            left = seconds if is_due else self._timer.seconds_left()
            self._called_at, self._ahead = now, max(1, min(int(left / per_epoch), MOST_GROWTH * self._ahead))
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
            self._timer.restart(self._n_seen)
            self._called_at, self._ahead = time.monotonic(), 1
            self.begin(history)

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
            self.write(rows)
            self._n_written = n
        except OSError as error:
            n_left = n - self._n_written
            warn_user(f"{type(self).__name__} could not write {counted(n_left, 'row')}; {else_}: {error}")
        self._timer.restart(self._n_written)


@with_entries_of(Logger)
class CSVLogger(Logger):
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

    def __init__(self, path: str | os.PathLike, *, every: int | str = DEFAULT_INTERVAL):
        super().__init__(every=every)
        check_output(path)
        self._path = os.path.abspath(path)
        if not START.startswith(self._ends()[0][: len(START)]):  # a crash may have left a part of it
            raise ValueError(
                f"{self._path!r} is there and does not begin as the files of {type(self).__name__} do, so that nothing "
                "is appended to it: name another file."
            )

    def begin(self, history: History) -> None:
        if history.epochs_before:  # the call before may have come further than its checkpoint
            with suppress(ValueError, IndexError, StopIteration):
                self._n_written = int(next(csv.reader([self._ends()[1]]))[0]) + 1

    def write(self, rows: Sequence[Row]) -> None:
        names, first = list(rows[0]), self._ends()[0].decode(errors="replace")
        header = next(csv.reader([first])) if first.endswith("\n") else []
        if header not in ([], names):
            raise ValueError(
                f"{self._path!r} has the columns {', '.join(header)}, but this fit has the records {', '.join(names)}. "
                "Name another file."
            )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*([] if header else [names]), *(row.values() for row in rows)])
        append(self._path, text.getvalue().encode())

    def _ends(self) -> tuple[bytes, str]:
        """Return the first line of the file, with its end, and the last whole one; empty ones if there are none."""
        try:
            with open(self._path, "rb") as file:
                first = file.readline(LONGEST_LINE)
                file.seek(max(0, os.path.getsize(self._path) - LONGEST_LINE))
                return first, (b"\n" + file.read()).decode(errors="replace").split("\n")[-2]
        except OSError:  # there is none, or it can only be written
            return b"", ""
