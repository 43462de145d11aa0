"""Row cache: a folder that keeps row files for later fits, each under a name made of what its rows depend on.

What the pass before them has found lies in files beside them; see kept_values.

Rows that somebody but this user and root can have written are not used, and damaged ones are written anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import shown
from ..interface.user_warnings import warn_user
from ..kernels.jit.cache_dir import distrust_reason
from .memory_limit import bytes_of
from .row_file import FORMAT, HEADER, RowFile, make_draft

KEPT = re.compile(r"(rows|found)-[0-9a-f]{32}")  # names of the folders of row files, and of files beside them


def digest_of_value(value: Any) -> str:
    """Return a digest of a value whose parts have a `repr` of their content, such as tuples and arrays of numbers."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # all numbers of an array, with all digits
        return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


class RowCache(NamedTuple):
    """Folder that keeps row files.

    folder : Path
    limit : most bytes of all row files together, beside those that this process uses; None for no limit

    Rows that another process has open stay readable to it when they are removed, but on network file systems may not.
    """

    folder: Path
    limit: int | None = None

    def place_of(self, identity: tuple, *settings: Any, kind: str = "rows") -> Path:
        """Return the folder for the rows of a source with this identity, for nets with these settings.

        kind : "rows", or "found" for the file of a kept value
        """
        return self.folder / f"{kind}-{digest_of_value((identity, settings, FORMAT))}"

    def holds(self, n_bytes: int) -> bool:
        """Return whether rows of this size may be kept."""
        return self.limit is None or n_bytes <= self.limit

    def drop_unused(self, used: Path) -> None:
        """Remove the row files that were not used for the longest time, until the others are within the limit.

        used : folder of the rows in use, which stay
        """
        if self.limit is None:
            return
        found = []
        for place in self.folder.iterdir():
            if KEPT.fullmatch(place.name):
                with suppress(OSError):  # another process has removed it
                    files = [place] if place.is_file() else place.iterdir()
                    size = sum(file.stat().st_size for file in files if file.name != HEADER)
                    found.append((place.stat().st_mtime_ns, size, place))
        total = sum(size for _, size, _ in found)
        for _, size, place in sorted(found):
            if total > self.limit and place != used:
                with suppress(OSError):  # such as rows of another user
                    discard(place)
                    total -= size


def is_trusted(place: Path) -> bool:
    """Return whether only this user and root can have written rows in a folder, and can replace it; else warn."""
    try:
        reason = distrust_reason(place)
    except FileNotFoundError:  # nothing is there yet
        return True
    if reason is not None:
        warn_user(
            f"The rows of this fit are neither taken from row_cache nor kept there: {reason}. Choose a folder that "
            "only you can write to."
        )
    return reason is None


def kept_rows(place: Path) -> RowFile | None:
    """Return the rows that an earlier fit has kept in a folder, for is_whole to check; None if there are none.

    Damaged ones are removed, with a warning.
    """
    if not place.is_dir():
        return None
    try:
        return RowFile(place)
    except (ValueError, FileNotFoundError) as error:
        if place.is_dir():  # no other process has removed it meanwhile
            _discard_damaged(place, error)
        return None


def is_whole(rows: RowFile) -> bool:
    """Return whether kept rows are those that were written; if not, they are closed and removed, with a warning."""
    try:
        rows.verify()
    except ValueError as error:
        rows.close()
        _discard_damaged(rows.folder, error)
        return False
    with suppress(OSError):  # of a cache that this process may only read
        os.utime(rows.folder)  # the time of the last use
    return True


def _discard_damaged(place: Path, error: Exception) -> None:
    warn_user(f"{str(error).removesuffix('.')}. The rows are read and written again.")
    with suppress(OSError):  # of a cache that this process may only read
        discard(place)


def discard(place: Path) -> None:
    """Remove a folder of rows, as part of a draft: if this process is killed meanwhile, no half of it stays. Or a file
    beside them.
    """
    if place.is_file():
        place.unlink(missing_ok=True)
        return
    draft = make_draft(place.parent)
    try:
        with suppress(FileNotFoundError):  # another process has removed it
            os.rename(place, draft.path / place.name)
    finally:
        draft.remove()


def as_cache(value: Any) -> RowCache | None:
    """Return the cache that an argument row_cache names, None for none.

    value : path of a folder, or (path, most bytes), such as ("folder", "20GB")

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None:
        return None
    folder, limit = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    n_bytes = bytes_of(limit)
    if not isinstance(folder, (str, os.PathLike)) or (limit is not None and (n_bytes is None or n_bytes < 0)):
        raise ValueError(
            "row_cache must be the path of a folder, a pair of it and the most bytes, such as ('folder', '20GB'), or "
            f"None, but it is {shown(value)}."
        )
    return RowCache(Path(folder), n_bytes)
