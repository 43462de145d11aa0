"""Arrays that all workers read: memory-mapped files for processes of one machine, each written once."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..runtime.temporary_folder import TemporaryFolder

MOST_MAPPED = 16  # arrays that a worker keeps mapped: those of a fit are X, y and weights, and as many held-out ones


class MappedArray(NamedTuple):
    """Array in a file, as a task names it; `read` maps it."""

    path: str

    def read(self) -> np.ndarray:
        """Return the array, mapped once in each process. Writes to it would stay in this process."""
        return _mapped(self.path)


@lru_cache(MOST_MAPPED)
def _mapped(path: str) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="c")
    return array


class ArrayFolder:
    """Folder of files with arrays, in the folder for temporary files; `remove` deletes it."""

    def __init__(self) -> None:
        try:
            parent = tempfile.gettempdir()
        except OSError as error:
            raise OSError(
                "Data for worker processes are written to files, but there is no folder for temporary files "
                f"({error.strerror or error}). Name a folder by the environment variable TMPDIR."
            ) from None
        self._folder = TemporaryFolder(parent, "fastmlp-arrays-")
        self.path = self._folder.path
        self._n_files = 0

    def write(self, array: np.ndarray) -> MappedArray:
        """Write an array to a new file.

        Raises
        ------
        OSError
            If it cannot be written; the message says where, and what to do.
        """
        path = self.path / f"{self._n_files}.npy"
        self._n_files += 1
        try:
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            raise OSError(
                f"The data for worker processes cannot be written to {str(self.path)!r}: {error.strerror or error}. "
                "Choose a folder with more room by the environment variable TMPDIR."
            ) from None
        return MappedArray(str(path))

    def remove(self) -> None:
        """Delete the folder. Processes that have mapped a file keep its pages until they forget it."""
        self._folder.remove()


def as_array(shared: Any) -> np.ndarray:
    """Return the array of what a task names: a mapped one, or the array itself where the executor has brought it."""
    return shared.read() if isinstance(shared, MappedArray) else shared
