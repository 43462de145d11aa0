"""Row file: checked rows of a source on disk, as kernels take them, in a folder that a later fit can use again.

A folder has X.bin (n_rows, n_features) and Y.bin (n_rows, n_outputs), row by row, and header.json; and held_out.npz, if
rows of the source were held out. It is written under another name and renamed when it is complete, so
that one that exists is whole. How wide rows are follows from the net, how many there are from the size of the files.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..data.digest import CRC
from ..kernels.jit.cache_dir import make_folder
from ..kernels.structs import METRIC_ARGMAX, METRIC_MARGIN, METRIC_NONE, METRIC_THRESHOLD
from ..kernels.system.atomic_file import synchronise_folder
from ..runtime.ctrl_c import raise_if_stopped
from ..runtime.temporary_folder import TemporaryFolder

HEADER, X_FILE, Y_FILE, HELD_OUT_FILE = "header.json", "X.bin", "Y.bin", "held_out.npz"
HeldOut = Callable[[], "tuple[np.ndarray, np.ndarray]"]  # returns held-out rows (X, y), after the last row is written
METRICS = (METRIC_NONE, METRIC_THRESHOLD, METRIC_ARGMAX, METRIC_MARGIN)
CHUNK_BYTES = 2**20  # that are read at a time for a checksum


class DamagedRows(ValueError):
    """A row file is not what was written."""

    def __init__(self, folder: Path, reason: object):
        super().__init__(f"The folder {str(folder)!r} of row_cache cannot be used: {reason}.")


class RowFile:
    """Rows on disk.

    Parameters
    ----------
    folder : Path
        The folder with the files.
    widths : tuple of int
        (n_features, n_outputs), which the net has.
    dtype : dtype
        Of the numbers.
    temporary : TemporaryFolder or None
        The same folder, if `close` removes it.

    Attributes
    ----------
    n_samples : int
    metric : int
        METRIC_* code of all targets.
    checksums : dict of str to str
        Checksums of the files, by which a checkpoint recognises the rows.

    Raises
    ------
    DamagedRows
        If the folder is damaged.
    """

    def __init__(
        self, folder: Path, widths: tuple[int, int], dtype: np.dtype, temporary: TemporaryFolder | None = None
    ):
        self.folder, self.widths, self.dtype, self._temporary = folder, widths, dtype, temporary
        self._parts: list[RowFile] = []
        try:
            header = json.loads((folder / HEADER).read_bytes())
            self.metric, sums = header["metric"], header["crc32"]
            if self.metric not in METRICS or list(map(type, sums)) != [int, int]:
                raise ValueError(f"{HEADER} is damaged")
            self.checksums = {"training X": _shown(sums[0]), "training y": _shown(sums[1])}
            self.n_samples = (folder / X_FILE).stat().st_size // (widths[0] * dtype.itemsize)
            self._files: list[FileIO] = []
            for name in (X_FILE, Y_FILE):
                self._files.append(open(folder / name, "rb", buffering=0))  # noqa: SIM115  see close
        except (ValueError, KeyError, TypeError, RecursionError, FileNotFoundError, NotADirectoryError) as error:
            raise DamagedRows(folder, error) from None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to reopen the file."""
        return vars(self) | {"_files": [], "_parts": [], "_temporary": None}

    def reopened(self) -> RowFile:
        """Return the same file for another reader, who may be a process on another machine, and who closes it.

        Raises
        ------
        ValueError
            If the folder is not there, or holds other rows.
        """
        try:
            found = RowFile(self.folder, self.widths, self.dtype)
            if found.checksums == self.checksums:
                return found
            found.close()
        except DamagedRows:
            pass
        raise ValueError(
            f"The rows are in {str(self.folder)!r}, where a worker of the executor does not find them. Name a folder "
            "that all machines share by row_cache, or give a memory_limit that all rows fit into."
        )

    @property
    def is_kept(self) -> bool:
        """Whether the folder stays for later fits."""
        return self._temporary is None

    @property
    def row_bytes(self) -> int:
        return sum(self.widths) * self.dtype.itemsize

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the held-out rows (X, y) that are kept beside these; None if there are none, or they are damaged."""
        try:
            with open(self.folder / HELD_OUT_FILE, "rb") as file, np.load(file, allow_pickle=False) as found:
                return found["X"], found["y"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

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
        writer = RowFileWriter(self.folder.parent, self.widths, self.dtype)
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

    def prefetch(self, first: int, n: int) -> None:
        """Start reading n rows from row number `first` on into the page cache, where the system can."""
        if hasattr(os, "posix_fadvise"):
            for file, width in zip(self._files, self.widths, strict=True):
                row_bytes = width * self.dtype.itemsize
                with suppress(OSError):  # of a file system that takes no advice
                    os.posix_fadvise(file.fileno(), first * row_bytes, n * row_bytes, os.POSIX_FADV_WILLNEED)

    def verify(self) -> None:
        """Read all rows once. Raises DamagedRows if they are not those that were written, by their checksums."""
        buffer = memoryview(bytearray(CHUNK_BYTES))
        for file, name, expected in zip(self._files, (X_FILE, Y_FILE), self.checksums.values(), strict=True):
            file.seek(0)
            found = 0
            while n := file.readinto(buffer):
                found = zlib.crc32(buffer[:n], found)
            if _shown(found) != expected:
                raise DamagedRows(self.folder, f"the checksum of {name} is wrong")

    def close(self) -> None:
        for part in self._parts:
            part.close()
        for file in self._files:
            file.close()
        if self._temporary is not None:
            self._temporary.remove()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shown(crc: int) -> str:
    return f"{CRC}{crc:08x}"


class RowFileWriter:
    """Writes a row file, piece by piece; `finish` returns it. Without it, `discard` removes what was written.

    parent : Path or None     folder in which it is written; None for the folder for temporary files
    widths, dtype : as of RowFile
    """

    def __init__(self, parent: Path | None, widths: tuple[int, int], dtype: np.dtype):
        parent = _temporary_folder() if parent is None else parent
        make_folder(parent)
        self._temporary = TemporaryFolder(parent, "rows-", ".partial")
        self.folder = self._temporary.path
        self._rows, self._files = (widths, dtype), list[BinaryIO]()
        for name in (X_FILE, Y_FILE):
            self._open(name)
        self._sums = [0, 0]  # CRC-32 of each file so far

    def _open(self, name: str) -> BinaryIO:
        self._files.append(open(self.folder / name, "wb"))  # noqa: SIM115  see finish, discard
        return self._files[-1]

    def write(self, X: np.ndarray, Y: np.ndarray) -> None:
        try:
            for k, (file, rows) in enumerate(zip(self._files, (X, Y), strict=True)):
                data = np.ascontiguousarray(rows).data
                file.write(data)
                self._sums[k] = zlib.crc32(data, self._sums[k])
        except OSError as error:
            raise OSError(
                f"The rows cannot be written to {str(self.folder)!r}: {error.strerror}. Choose a folder with more room "
                "by row_cache, or by the environment variable TMPDIR."
            ) from None

    def finish(self, metric: int, final: Path | None = None, held_out: HeldOut | None = None) -> RowFile:
        """Complete the files, and move them to the folder `final`; without one they are temporary.

        If another process has written the same rows there, they stay temporary, too.

        metric : METRIC_* code of all targets
        held_out : returns rows to keep beside them in that folder
        """
        self._open(HEADER).write(json.dumps({"metric": metric, "crc32": self._sums}).encode())
        if final is not None and held_out is not None:
            X, y = held_out()
            np.savez(self._open(HELD_OUT_FILE), X=X, y=y)
        for file in self._files:
            file.flush()
            if final is not None:  # of a folder with that name, all is on the disk, also after a crash of the machine
                os.fsync(file.fileno())
            file.close()
        if final is not None:
            synchronise_folder(self.folder)
            try:
                os.rename(self.folder, final)
            except OSError:
                if not final.is_dir():
                    raise
            else:
                synchronise_folder(final.parent)
                return RowFile(final, *self._rows)
        return RowFile(self.folder, *self._rows, self._temporary)

    def discard(self) -> None:
        for file in self._files:
            with suppress(OSError):  # a disk that is full refuses what is buffered, too
                file.close()
        self._temporary.remove()


def _temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises
    ------
    OSError
        If there is none that can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise OSError(
            "The rows take more than memory_limit, so they are written to a file, but there is no folder for temporary "
            f"files ({error.strerror or error}). Name a folder by row_cache, or by the environment variable TMPDIR."
        ) from None
