"""Row file: checked rows of a source on disk, as kernels take them, in a folder that a later fit can use again.

A folder has X.bin (n_rows, n_features) and Y.bin (n_rows, n_outputs), row by row, and header.json. It is written under
another name and renamed when it is complete, so that one that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .. import errors
from ..data.digest import CRC
from ..kernels.structs import METRIC_ARGMAX, METRIC_MARGIN, METRIC_NONE, METRIC_THRESHOLD

HEADER, X_FILE, Y_FILE = "header.json", "X.bin", "Y.bin"
ITEM_BYTES = {np.dtype(dtype).str: np.dtype(dtype).itemsize for dtype in ("float32", "float64")}
METRICS = (METRIC_NONE, METRIC_THRESHOLD, METRIC_ARGMAX, METRIC_MARGIN)
FORMAT = 2  # of the folder; another number is not read


class RowFile:
    """Rows on disk.

    Parameters
    ----------
    folder : Path
        The folder with the files.
    is_temporary : bool
        Whether `close` removes the folder.

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

    def __init__(self, folder: Path, is_temporary: bool):
        self.folder, self._is_temporary = folder, is_temporary
        header = _checked_header(folder)
        self.n_samples, self.metric, self.dtype = header["n_samples"], header["metric"], np.dtype(header["dtype"])
        self.widths = header["n_features"], header["n_outputs"]
        names = "training X", "training y"
        self.checksums = {name: f"{CRC}{n:08x}" for name, n in zip(names, header["crc32"], strict=True)}
        self._files = [open(folder / name, "rb", buffering=0) for name in (X_FILE, Y_FILE)]  # noqa: SIM115  see close

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
                    raise OSError(f"{str(self.folder)!r} is shorter than it was. Delete it, and fit again.")
                view = view[n:]

    def close(self) -> None:
        for file in self._files:
            file.close()
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise ValueError(
            f"The folder {str(folder)!r} of row_cache cannot be used: {error}. Delete it, and fit again."
        ) from None
    return dict(header)


class RowFileWriter:
    """Writes a row file, piece by piece; `finish` returns it. Without it, `discard` removes what was written."""

    def __init__(self, parent: Path):
        parent.mkdir(parents=True, exist_ok=True)
        remove_stale_folders(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", suffix=".partial", dir=parent))
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

    def finish(self, header: dict[str, Any], final: Path | None) -> RowFile:
        """Complete the files, and move them to the folder `final`; without one they are temporary."""
        text = json.dumps({"format": FORMAT, "crc32": self._sums, **header})
        (self.folder / HEADER).write_text(text, encoding="utf-8")
        for file in self._files:
            file.flush()
            if final is not None:
                os.fsync(file.fileno())
            file.close()
        if final is None:
            return RowFile(self.folder, is_temporary=True)
        try:
            os.rename(self.folder, final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(self.folder, ignore_errors=True)  # another process has written the same rows
        return RowFile(final, is_temporary=False)

    def discard(self) -> None:
        for file in self._files:
            with suppress(OSError):  # a disk that is full refuses what is buffered, too
                file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def cached_folder(cache: Path, identity: tuple, *settings: Any) -> Path:
    """Return the folder in `cache` for rows with this identity and these settings of the net."""
    digest = hashlib.sha256(repr((identity, settings, FORMAT)).encode()).hexdigest()[:32]
    return cache / f"rows-{digest}"


def as_cache(value: Any) -> Path | None:
    """Return the folder for row files that are kept, None for none.

    Raises
    ------
    ValueError
        If value is no path.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"row_cache must be the path of a folder or None, but it is {errors.shown(value)}.")
    return Path(value)


def _prefix() -> str:
    """Return the beginning of the names of folders that are being written, which processes of this machine share."""
    return f"rows-{re.sub(r'[^a-zA-Z0-9.]', '_', platform.node())}-"


def remove_stale_folders(parent: Path) -> None:
    """Remove the unfinished and temporary folders in `parent` of processes of this machine that were killed."""
    if os.name != "posix":  # os.kill would do more than ask
        return
    for folder in parent.glob(f"{_prefix()}*.partial"):
        with suppress(OSError, ValueError):
            if not _is_running(int(folder.name.split("-")[2])) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
