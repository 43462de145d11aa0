"""Row file: checked rows of a source in a temporary folder on disk, as kernels take them.

X.bin (n_rows, n_features) and Y.bin (n_rows, n_outputs), row by row.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..data.digest import CRC
from ..runtime.ctrl_c import raise_if_stopped
from ..runtime.temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    from ..data.standardization import Units

X_FILE, Y_FILE = "X.bin", "Y.bin"
CHUNK_BYTES = 2**20  # of rows that are copied at a time


class RowFile:
    """Rows on disk.

    Parameters
    ----------
    folder : Path
        The folder with the files.
    widths : tuple of int
        (n_features, n_outputs).
    dtype : dtype
        Of the numbers.
    metric : int
        METRIC_* code of all targets.
    checksums : dict of str to str
        Checksums of the files, by which a checkpoint recognises the rows.
    temporary : TemporaryFolder or None
        The same folder, which `close` removes; None where another process owns it.

    Attributes
    ----------
    n_samples : int
    """

    def __init__(
        self,
        folder: Path,
        widths: tuple[int, int],
        dtype: np.dtype,
        metric: int,
        checksums: dict[str, str],
        temporary: TemporaryFolder | None = None,
    ):
        self.folder, self.widths, self.dtype, self.metric, self.checksums = folder, widths, dtype, metric, checksums
        self._temporary, self._parts = temporary, list[RowFile]()
        self._files = [FileIO(folder / name) for name in (X_FILE, Y_FILE)]
        self.n_samples = (folder / X_FILE).stat().st_size // (widths[0] * dtype.itemsize)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to reopen the file."""
        return vars(self) | {"_files": [], "_parts": [], "_temporary": None}

    def reopened(self) -> RowFile:
        """Return the same file for another reader, who may be a process on another machine, and who closes it.

        Raises
        ------
        ValueError
            If the folder is not there.
        """
        try:
            return RowFile(self.folder, self.widths, self.dtype, self.metric, self.checksums)
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(
                f"The rows are in {str(self.folder)!r}, where a worker of the executor does not find them. Name a "
                "folder that all machines share by the environment variable TMPDIR, or give a memory_limit that all "
                "rows fit into."
            ) from None

    @property
    def row_bytes(self) -> int:
        return sum(self.widths) * self.dtype.itemsize

    def read(self, first: int, X: np.ndarray, Y: np.ndarray) -> None:
        """Read len(X) rows from row number `first` on into X (n, n_features) and Y (n, n_outputs)."""
        for file, rows in zip(self._files, (X, Y), strict=True):
            file.seek(first * rows.shape[1] * self.dtype.itemsize)
            view = rows.reshape(-1).view(np.uint8).data
            while len(view):
                n = file.readinto(view)
                if not n:
                    raise OSError(f"{str(self.folder)!r} is shorter than it was. Fit again, to write the rows anew.")
                view = view[n:]

    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all rows (X, Y), flat, as read-only maps of the files: the system reads a page when it is used."""
        X, Y = (np.asarray(np.memmap(file, self.dtype, "r")) for file in self._files)
        return X, Y

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return some rows (X, Y) by their numbers, each read by itself: a map would hold the pages around it."""
        X, Y = (np.empty((len(rows), width), self.dtype) for width in self.widths)
        for k, row in enumerate(rows.tolist()):
            self.read(row, X[k : k + 1], Y[k : k + 1])
        return X, Y

    def part(self, rows: np.ndarray) -> RowFile:
        """Return a temporary copy of some rows, by their ascending numbers, which is removed with this file."""
        writer = RowFileWriter(self.widths, self.dtype, self.folder.parent)
        try:
            arrays = [array.reshape(self.n_samples, -1) for array in self.maps()]
            for piece in np.array_split(rows, -(-len(rows) * self.row_bytes // CHUNK_BYTES)):
                raise_if_stopped()
                writer.write(*(array[piece] for array in arrays))
            self._parts.append(writer.finish(self.metric))
        except BaseException:
            writer.discard()
            raise
        return self._parts[-1]

    def standardize(self, units: Units) -> None:
        """Standardise all rows in place."""
        maps = [np.memmap(file.name, self.dtype, "r+") for file in self._files]
        X, Y = (rows.reshape(self.n_samples, -1) for rows in maps)
        units.apply(X, Y)
        for rows in maps:
            rows.flush()

    def prefetch(self, first: int, n: int) -> None:
        """Start reading n rows from row number `first` on into the page cache, where the system can."""
        if hasattr(os, "posix_fadvise"):
            for file, width in zip(self._files, self.widths, strict=True):
                row_bytes = width * self.dtype.itemsize
                with suppress(OSError):  # of a file system that takes no advice
                    os.posix_fadvise(file.fileno(), first * row_bytes, n * row_bytes, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        for part in self._parts:
            part.close()
        for file in self._files:
            file.close()
        if self._temporary is not None:
            self._temporary.remove()


class RowFileWriter:
    """Writes a row file, piece by piece; `finish` returns it. Without it, `discard` removes what was written.

    widths, dtype : as of RowFile
    parent : folder in which it is written; None for the folder for temporary files
    """

    def __init__(self, widths: tuple[int, int], dtype: np.dtype, parent: Path | None = None):
        self._temporary = TemporaryFolder(
            "rows-", ".partial", parent, "The rows take more than memory_limit, so they are written to a file"
        )
        self.folder = self._temporary.path
        self._rows, self._sums = (widths, dtype), [0, 0]  # CRC-32 of each file so far
        self._files: list[BinaryIO] = [open(self.folder / name, "wb") for name in (X_FILE, Y_FILE)]  # noqa: SIM115

    def write(self, X: np.ndarray, Y: np.ndarray) -> None:
        try:
            for k, (file, rows) in enumerate(zip(self._files, (X, Y), strict=True)):
                data = np.ascontiguousarray(rows).data
                file.write(data)
                self._sums[k] = zlib.crc32(data, self._sums[k])
        except OSError as error:
            raise OSError(
                f"The rows cannot be written to {str(self.folder)!r}: {error.strerror}. Choose a folder with more room "
                "by the environment variable TMPDIR."
            ) from None

    def finish(self, metric: int) -> RowFile:
        """Complete the files; metric : METRIC_* code of all targets"""
        for file in self._files:
            file.close()
        sums = dict(zip(("training X", "training y"), (f"{CRC}{crc:08x}" for crc in self._sums), strict=True))
        return RowFile(self.folder, *self._rows, metric, sums, self._temporary)

    def discard(self) -> None:
        for file in self._files:
            with suppress(OSError):  # a disk that is full refuses what is buffered, too
                file.close()
        self._temporary.remove()
