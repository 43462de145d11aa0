"""Row cache: a folder that keeps row files for later fits, each under a name made of what its rows depend on.

Rows that somebody but this user and root can have written are not used, and damaged ones are written anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import shown
from ..interface.user_warnings import warn_user
from ..kernels.jit.cache_dir import distrust_reason
from .row_file import DamagedRows, RowFile

FORMAT = 3  # of the files, on which their names depend


def as_cache(value: Any) -> Path | None:
    """Return the folder that an argument row_cache names, None for none. Raises ValueError if it is no path."""
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"row_cache must be the path of a folder, or None, but it is {shown(value)}.")
    return None if value is None else Path(value)


def digest_of_value(value: Any) -> str:
    """Return a digest of a value whose parts have a `repr` of their content, such as tuples and arrays of numbers."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # all numbers of an array, with all digits
        return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


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
