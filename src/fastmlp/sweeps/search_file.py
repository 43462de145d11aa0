"""Checkpoints of a search: the scores of its finished populations in a file, and beside it one of each population."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..data.digest import digest_of
from ..errors import counted
from ..fit.checkpoint_identity import description
from ..fit.keywords import refuse_without_file
from ..fit.state_checks import check_form, check_integers
from ..persistence.checkpoint_files import PREVIOUS, SEARCH, Checkpoint, CheckpointFile, Identity
from ..persistence.parts import Parts
from .search import Group, Search


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
        self._file = CheckpointFile(path, every, resume, SEARCH, verbose)
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
        self._file.check_identity(self._identity)
        if found is not None:
            with self._file.checking_state():
                _check_scores(search, found.state.arrays)
                search.take(**found.state.arrays)
        n_finished = int(search.scores()["is_finished"].sum())
        self._file.begin(self._identity, f"with {counted(n_finished, 'finished configuration')} of {search.n}")
        if found is not None:
            return
        left = [number for number in range(len(search.groups)) if self._path_of(number).exists()]
        if left:  # of a search whose own file is missing
            path = str(self._file.path)
            raise FileExistsError(
                f"{str(self._path_of(left[0]))!r} is there, the checkpoint of a population, but none of its search, "
                f"{path!r}. Name another file or, to start anew, remove {path + '.*'!r}."
            )
        self._write()  # with the seed, before the first population is finished

    def options(self, group: Group) -> dict[str, Any]:
        """Return the arguments of the fit of a population about its own checkpoint."""
        path = self._path_of(group.number)
        exists = any(Path(f"{path}{suffix}").is_file() for suffix in ("", PREVIOUS))
        return {"checkpoint": path, "every": self._every, "resume": exists}

    def save(self, number: int) -> None:
        """Write the scores, with those of population number `number`, of which the last checkpoint is enough."""
        with self._lock:
            self._write()
        path = self._path_of(number)
        if path.is_file():
            Path(f"{path}{PREVIOUS}").unlink(missing_ok=True)

    def _write(self) -> None:
        search = self._search
        assert search is not None
        state = Parts(search.scores(), {})
        self._file.write(Checkpoint(self._identity, {"seed": search.seed}, search.n, state), "a finished population")

    def _path_of(self, number: int) -> Path:
        return Path(f"{self._file.path}.{number}")


def _check_scores(search: Search, arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError, or KeyError, if the scores in a file have other dtypes or shapes than those of a search."""
    check_integers("is_finished", arrays["is_finished"], 0, 1, search.n)
    check_form("", arrays, {"fold_scores": (np.float64, (search.n, search.cv)), "losses": (np.float64, (search.n,))})


def _identity(search: Search) -> Identity:
    """Return the identity of a search."""
    settings = [[f"{name}={description(value)}" for name, value in sorted(row.items())] for row in search.rows]
    defaults = sorted(search.defaults.items())
    text = np.frombuffer(repr((settings, defaults)).encode(), np.uint8)
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
