"""Row file: checked rows of a source on disk, as kernels take them, in a folder that a later fit can use again.

A folder has X.bin (n_rows, n_features) and Y.bin (n_rows, n_outputs), row by row, and header.json; and held_out.npz, if
rows of the source were held out. It is written under another name and renamed when it is complete, so that one that
exists is whole.
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
from ..runtime.temporary_folder import TemporaryFolder

HEADER, X_FILE, Y_FILE, HELD_OUT_FILE = "header.json", "X.bin", "Y.bin", "held_out.npz"
HeldOut = Callable[[], "tuple[np.ndarray, np.ndarray]"]  # returns held-out rows (X, y), after the last row is written
ITEM_BYTES = {np.dtype(dtype).str: np.dtype(dtype).itemsize for dtype in ("float32", "float64")}
METRICS = (METRIC_NONE, METRIC_THRESHOLD, METRIC_ARGMAX, METRIC_MARGIN)
FORMAT = 2  # of the folder; another number is not read
CHUNK_BYTES = 2**20  # that are read at a time for a checksum
IS_WINDOWS = os.name == "nt"


class RowFile:
    """Rows on disk.

    Parameters
    ----------
    folder : Path
        The folder with the files.
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
    ValueError
        If the folder is damaged, or written by another version of fastmlp.
    """

    has_weights = False

    def __init__(self, folder: Path, temporary: TemporaryFolder | None = None):
        self.folder, self._temporary = folder, temporary
        header = _checked_header(folder)
        self.n_samples, self.metric, self.dtype = header["n_samples"], header["metric"], np.dtype(header["dtype"])
        self.widths = header["n_features"], header["n_outputs"]
        names = "training X", "training y"
        self.checksums = {name: _shown_checksum(n) for name, n in zip(names, header["crc32"], strict=True)}
        self._files: list[FileIO] = []
        self._open()

    def _open(self) -> None:
        try:
            for name in (X_FILE, Y_FILE):
                self._files.append(open(self.folder / name, "rb", buffering=0))  # noqa: SIM115  see close
        except BaseException:
            self._close_files()
            raise

    def _close_files(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    @property
    def is_kept(self) -> bool:
        """Whether the folder stays for later fits."""
        return self._temporary is None

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the held-out rows (X, y) that are kept beside these; None if there are none, or they are damaged."""
        try:
            with np.load(self.folder / HELD_OUT_FILE, allow_pickle=False) as found:
                return found["X"], found["y"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    @property
    def row_bytes(self) -> int:
        return sum(self.widths) * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        return self.n_samples * self.row_bytes

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

    def prefetch(self, first: int, n: int) -> None:
        """Start reading n rows from row number `first` on into the page cache, where the system can."""
        if hasattr(os, "posix_fadvise"):
            for file, width in zip(self._files, self.widths, strict=True):
                row_bytes = width * self.dtype.itemsize
                with suppress(OSError):  # of a file system that takes no advice
                    os.posix_fadvise(file.fileno(), first * row_bytes, n * row_bytes, os.POSIX_FADV_WILLNEED)

    def verify(self) -> None:
        """Read all rows once. Raises ValueError if they are not those that were written, by their checksums."""
        buffer = memoryview(bytearray(CHUNK_BYTES))
        for file, name, expected in zip(self._files, (X_FILE, Y_FILE), self.checksums.values(), strict=True):
            file.seek(0)
            found = 0
            while n := file.readinto(buffer):
                found = zlib.crc32(buffer[:n], found)
            if _shown_checksum(found) != expected:
                raise ValueError(_refusal(self.folder, f"the checksum of {name} is wrong"))

    def keep(self, place: Path) -> None:
        """Move the folder to a place where `close` leaves it. If another process has written the same rows there, it is
        not moved, and stays temporary.

        The files are open meanwhile: another process may remove the place as soon as it is there.
        """
        if IS_WINDOWS:  # which neither moves nor removes a folder with open files
            self._close_files()
        try:
            os.rename(self.folder, place)
        except OSError:
            if not place.is_dir():
                raise
        else:
            self.folder, self._temporary = place, None
        if IS_WINDOWS:
            self._open()

    def close(self) -> None:
        self._close_files()
        if self._temporary is not None:
            self._temporary.remove()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shown_checksum(crc: int) -> str:
    return f"{CRC}{crc:08x}"


def _refusal(folder: Path, reason: object) -> str:
    return f"The folder {str(folder)!r} of row_cache cannot be used: {reason}."


def _checked_header(folder: Path) -> dict[str, Any]:
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ValueError("another version of fastmlp has written it")
        sizes = [header[name] for name in ("n_samples", "n_features", "n_outputs")]
        are_sums = [type(n) for n in header["crc32"]] == [int, int]
        if not (all(type(size) is int and size > 0 for size in sizes) and are_sums and header["metric"] in METRICS):
            raise ValueError(f"{HEADER} is damaged")
        column_bytes = sizes[0] * ITEM_BYTES[header["dtype"]]
        for name, width in zip((X_FILE, Y_FILE), sizes[1:], strict=True):
            if (found := (folder / name).stat().st_size) != width * column_bytes:
                raise ValueError(f"{name} should have {width * column_bytes:,} bytes, but it has {found:,}")
    except (ValueError, KeyError, TypeError, RecursionError, FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(_refusal(folder, error)) from None
    return dict(header)


class RowFileWriter:
    """Writes a row file, piece by piece; `finish` returns it. Without it, `discard` removes what was written."""

    def __init__(self, parent: Path):
        make_folder(parent)
        self._temporary = make_draft(parent)
        self.folder = self._temporary.path
        self._files = [open(self.folder / name, "wb") for name in (X_FILE, Y_FILE)]  # noqa: SIM115  see finish, discard
        self._sums = [0, 0]  # CRC-32 of each file so far

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

    def finish(self, header: dict[str, Any], final: Path | None, held_out: tuple[np.ndarray, ...] = ()) -> RowFile:
        """Complete the files, and move them to the folder `final`; without one they are temporary.

        held_out : (X, y) of rows to keep beside them in that folder, or none
        """
        is_kept = final is not None
        for file in self._files:
            _close(file, is_kept)
        with open(self.folder / HEADER, "wb") as file:
            file.write(json.dumps({"format": FORMAT, "crc32": self._sums, **header}).encode())
            _close(file, is_kept)
        if is_kept and held_out:
            X, y = held_out
            with open(self.folder / HELD_OUT_FILE, "wb") as file:
                np.savez(file, X=X, y=y)
                _close(file, is_kept)
        rows = RowFile(self.folder, self._temporary)
        if final is not None:
            try:
                synchronise_folder(self.folder)  # of a folder with the name `final`, all is on the disk
                rows.keep(final)
                synchronise_folder(final.parent)
            except BaseException:
                rows.close()
                raise
        return rows

    def discard(self) -> None:
        for file in self._files:
            with suppress(OSError):  # a disk that is full refuses what is buffered, too
                file.close()
        self._temporary.remove()


def _close(file: BinaryIO, is_kept: bool) -> None:
    """Close a file; one that is kept is on the disk then, so that a crash of the machine leaves no part of it."""
    file.flush()
    if is_kept:
        os.fsync(file.fileno())
    file.close()


def temporary_folder() -> Path:
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


def make_draft(parent: Path) -> TemporaryFolder:
    """Make a folder for rows that are being written or removed."""
    return TemporaryFolder(parent, "rows-", ".partial")
