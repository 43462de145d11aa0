"""Row cache: a folder that keeps row files for later fits, each under a name made of what its rows depend on.

Beside them lies what the passes over their sources have found, as JSON with a digest before it. Rows and values that
somebody but this user and root can have written are not used, and damaged ones are written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import shown
from ..interface.user_warnings import warn_user
from ..kernels.jit.cache_dir import FILE_MODE, distrust_reason, make_folder, read_file
from ..kernels.system.atomic_file import replacing
from .row_file import DamagedRows, RowFile

FORMAT = 3  # of the files, on which their names depend
DIGEST_BYTES = 16


def as_cache(value: Any) -> Path | None:
    """Return the folder that an argument row_cache names, None for none. Raises ValueError if it is no path."""
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"row_cache must be the path of a folder, or None, but it is {shown(value)}.")
    return None if value is None else Path(value)


def digest_of_value(value: Any) -> str:
    """Return a digest of a value whose parts have a `repr` of their content, such as tuples and arrays of numbers."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # all numbers of an array, with all digits
        return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


# ---- rows


def place_of_rows(cache: Path, *key: Any) -> Path | None:
    """Return the folder for rows that depend on the key; None, with a warning, if others can write there."""
    place = cache / f"rows-{digest_of_value((key, FORMAT))}"
    try:
        reason = distrust_reason(place)
    except FileNotFoundError:  # nothing is there yet
        return place
    if reason is not None:
        warn_user(
            f"The rows of this fit are neither taken from row_cache nor kept there: {reason}. Choose a folder that "
            "only you can write to."
        )
    return place if reason is None else None


def rows_of_earlier_fit(
    place: Path, widths: tuple[int, int], dtype: np.dtype, n_bytes: int, before: Callable[[], None]
) -> RowFile | None:
    """Return the rows that an earlier fit has kept in a folder, if they take more than n_bytes.

    With a higher limit than when they were written, rows are read from the source, and trained on in memory. Damaged
    ones are removed, with a warning.

    before : called before the rows are used, and may refuse it
    """
    if not place.is_dir():
        return None
    try:
        rows = RowFile(place, widths, dtype)
        try:
            if rows.n_samples * rows.row_bytes > n_bytes:
                before()
                rows.verify()
                return rows
        except BaseException:
            rows.close()
            raise
        rows.close()
    except DamagedRows as error:
        warn_user(f"{str(error).removesuffix('.')}. The rows are read and written again.")
        shutil.rmtree(place, ignore_errors=True)
    return None


# ---- values beside them


class KeptValue:
    """Value of JSON in a row cache: what a first pass over a source has found, for later fits to the same source.

    cache : Path
    key : what the value depends on
    """

    def __init__(self, cache: Path, key: tuple):
        self._file = cache / f"found-{digest_of_value((key, FORMAT))}"

    def read(self) -> Any:
        """Return the value; None if there is none, or what is there is damaged or not to be trusted."""
        with suppress(OSError, ValueError, RecursionError):
            if distrust_reason(self._file.parent) is None:
                content = read_file(self._file)
                digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
                return json.loads(data) if digest == _digest(data) else None
        return None

    def write(self, value: Any) -> None:
        """Write the value, in place of an earlier one. Where that fails, a later fit finds it again."""
        data = json.dumps(value).encode()
        with suppress(OSError):
            make_folder(self._file.parent)
            if distrust_reason(self._file.parent) is None:
                with replacing(self._file, FILE_MODE) as file:
                    file.write(_digest(data) + data)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
