"""Checkpoints of a search: a file with its seed, and beside it one of each of its populations, as `fit` writes it.

A population that is finished ends at once when it goes on from its file, and is scored again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.digest import digest_of
from ..errors import counted
from ..fit.checkpoint_identity import description
from ..persistence.checkpoint_files import PREVIOUS, SEARCH, CheckpointFile, Contents, Identity
from ..runtime.checkpoint_interval import Checkpoint
from .search import Group, Search


class SearchFile:
    """The file of a search's checkpoints.

    checkpoint, verbose : arguments of sweep

    Raises
    ------
    OSError, ValueError
        As CheckpointFile does.
    """

    def __init__(self, checkpoint: Checkpoint, verbose: int):
        self._file, self._every = CheckpointFile(checkpoint, SEARCH, verbose), checkpoint.every

    @property
    def seed(self) -> int | None:
        """Seed of the search in the file; None if there is none."""
        return None if self._file.contents is None else int(self._file.contents.numbers["seed"])

    def begin(self, search: Search) -> None:
        """Write the file of a search, or check that it is of this one.

        Raises
        ------
        FileExistsError
            If there is no such file, but one of a population beside it.
        ValueError
            If the file is of another search.
        """
        identity, begun = _identity(search), [group for group in search.groups if self._exists(group)]
        self._file.check_identity(identity)
        self._file.begin(f"with {counted(len(begun), 'population')} of {len(search.groups)}")
        if self._file.contents is not None:
            return
        if begun:  # of a search whose own file is missing
            path = str(self._file.path)
            raise FileExistsError(
                f"{str(self._path_of(begun[0]))!r} is there, the checkpoint of a population, but none of its search, "
                f"{path!r}. Name another file or, to start anew, remove {path + '.*'!r}."
            )
        self._file.write(Contents(identity, {"seed": search.seed}, {}), "the beginning")

    def options(self, group: Group) -> dict[str, Any]:
        """Return the arguments of the fit of a population about its own checkpoint."""
        return {"checkpoint": Checkpoint(self._path_of(group), self._every, self._exists(group))}

    def keep_last(self, group: Group) -> None:
        """Remove the checkpoint before the last one of a population that is finished."""
        Path(f"{self._path_of(group)}{PREVIOUS}").unlink(missing_ok=True)

    def _exists(self, group: Group) -> bool:
        return any(Path(f"{self._path_of(group)}{suffix}").is_file() for suffix in ("", PREVIOUS))

    def _path_of(self, group: Group) -> Path:
        return Path(f"{self._file.path}.{group.number}")


def _identity(search: Search) -> Identity:
    """Return the identity of a search."""
    settings = [[f"{name}={description(value)}" for name, value in sorted(row.items())] for row in search.rows]
    text = np.frombuffer(repr((settings, sorted(search.defaults.items()))).encode(), np.uint8)
    return {
        "n": str(search.n),
        "cv": str(search.cv),
        "random_state": str(search.seed),
        "dtype": str(np.dtype(search.dtype)),
        "space, with epochs and batch_size": digest_of(text),
        "X": digest_of(np.asarray(search.features)),
        "y": digest_of(search.targets),
    }
