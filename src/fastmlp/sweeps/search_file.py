"""Checkpoints of a search: the scores of its finished populations in a file, and beside it the one that is trained."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.digest import digest_of
from ..errors import counted
from ..optimizers import setting_text
from ..persistence.checkpoints import PREVIOUS, Checkpoint, CheckpointFile, Identity, refuse_without_file
from ..training.fit_state import Parts

if TYPE_CHECKING:
    from .search import Search


def search_file(checkpoint: Any, every: Any, resume: bool, verbose: int) -> SearchFile | None:
    """Return the file of a search's checkpoints, or None; arguments of sweep, checked as those of fit."""
    if checkpoint is not None:
        return SearchFile(checkpoint, every, resume, verbose)
    refuse_without_file(every, resume)
    return None


class SearchFile:
    """The file of a search's checkpoints. Several threads may save.

    path, every, resume, verbose : arguments of sweep

    Raises
    ------
    OSError, ValueError
        As CheckpointFile does.
    """

    def __init__(self, path: Any, every: Any, resume: bool, verbose: int):
        self._file = CheckpointFile(path, every, resume, "sweep", verbose)
        self._every, self._lock = every, Lock()
        self._search: Search | None = None
        self._identity: Identity = {}

    @property
    def seed(self) -> int | None:
        """Seed of the search in the file; None if there is none."""
        return None if self._file.found is None else int(self._file.found.random["seed"])

    def begin(self, search: Search) -> None:
        """Give a search the scores in the file.

        Raises
        ------
        FileExistsError
            If there is no such file, but one of a population in training beside it.
        ValueError
            If the file is of another search.
        """
        self._search, self._identity, found = search, _identity(search), self._file.found
        n_finished = 0 if found is None else int(found.state.arrays["is_finished"].sum())
        self._file.begin(self._identity, f"with {counted(n_finished, 'finished configuration')} of {search.n}")
        if found is not None:
            search.take(**found.state.arrays)
            return
        left = [number for number in range(len(search.groups)) if self._path_of(number).exists()]
        if left:  # of a search whose own file is missing
            raise FileExistsError(
                f"{str(self._path_of(left[0]))!r} is there, the state of a search without its checkpoint "
                f"{str(self._file.path)!r}: remove it, or name another file."
            )
        self._write()  # with the seed, before the first population is finished

    def options(self, number: int) -> dict[str, Any]:
        """Return the arguments of the fit of population number `number` about its own checkpoint."""
        path = self._path_of(number)
        exists = any(Path(f"{path}{suffix}").is_file() for suffix in ("", PREVIOUS))
        return {"checkpoint": path, "every": self._every, "resume": exists}

    def save(self, number: int) -> None:
        """Write the scores, with those of population number `number`, which then needs no checkpoint of its own."""
        with self._lock:
            self._write()
        for suffix in ("", PREVIOUS):
            Path(f"{self._path_of(number)}{suffix}").unlink(missing_ok=True)

    def _write(self) -> None:
        search = self._search
        assert search is not None
        state, random = Parts(search.scores(), {}), {"seed": search.seed}
        self._file.write(Checkpoint(self._identity, random, search.n, state), "a finished population")

    def _path_of(self, number: int) -> Path:
        return Path(f"{self._file.path}.{number}")


def _identity(search: Search) -> Identity:
    settings = [[f"{name}={setting_text(value)}" for name, value in sorted(row.items())] for row in search.rows]
    text = np.frombuffer(repr((settings, sorted(search.defaults.items()))).encode(), np.uint8)
    return {
        "search": {
            "n": search.n,
            "cv": search.cv,
            "random_state": search.seed,
            "dtype": str(np.dtype(search.dtype)),
            "space, with epochs and batch_size": digest_of(text),
        },
        "data": {"X": digest_of(np.asarray(search.features)), "y": digest_of(search.targets)},
    }
