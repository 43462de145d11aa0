"""Files of checkpoints: the state of a fit, with a description of net, settings and data, in the safetensors format.

A checkpoint is written beside the file, synchronised with the disk and renamed. The one before it is kept as
`FILE.previous`, to which reading falls back if the last one is damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.digest import CRC, PREFIX
from ..interface.user_warnings import warn_user
from ..kernels.system.atomic_file import draft_beside
from ..runtime.checkpoint_interval import Checkpoint, Timer, as_interval
from ..runtime.output_files import check_output, replacing
from .safetensors_file import DAMAGE, parts_of_file, reason_of
from .safetensors_file import read as read_file
from .saved_net import checksum, package_version

FORMAT = 1  # of a checkpoint
SEARCH = "sweep"  # kind of checkpoint; of its populations there are others beside it, FILE.0 and so on
PREVIOUS = ".previous"  # suffix of the checkpoint before the last one
Identity = dict[str, str]  # what must be the same for a fit to go on: settings as text, and digests of arrays


class Contents(NamedTuple):
    """Contents of a checkpoint's file."""

    identity: Identity
    numbers: dict[str, int]  # seed, number of fits before this one, and others that are no part of the identity
    state: dict[str, np.ndarray]


def write(path: Path, kind: str, checkpoint: Contents, keep_previous: bool = True) -> None:
    """Write a checkpoint, and keep the one that it replaces.

    kind : "net" or "population"
    keep_previous : False if the file that is replaced is damaged, so that the one before it is kept

    Raises
    ------
    OSError
        If the file cannot be written. The last checkpoint is then unchanged.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.state.items()}
    description: dict[str, Any] = {
        "format": FORMAT,
        "checkpoint": kind,
        "version": package_version(),
        "identity": checkpoint.identity,
        "numbers": checkpoint.numbers,
    }
    description["checksum"] = checksum(description, arrays)
    text = json.dumps(description, allow_nan=False)
    with replacing(path) as file:
        for part in parts_of_file(arrays, text):
            file.write(part)
        if keep_previous and path.is_file():
            _keep(path)


def _keep(path: Path) -> None:
    """Make `FILE.previous` a second name of the file, or a copy; other processes may do the same at the same time."""
    name = draft_beside(path)
    try:
        try:
            os.link(os.path.realpath(path), name)
        except OSError:  # file systems without hard links
            shutil.copyfile(path, name)
        os.replace(name, f"{path}{PREVIOUS}")
    finally:
        name.unlink(missing_ok=True)  # it is still there if it and `FILE.previous` were names of the same file


def read(path: Path, kind: str) -> Contents:
    """Return the checkpoint in a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or no checkpoint of this kind; the message completes "it is ...".
    """
    try:
        description, arrays = read_file(path)
        if "checkpoint" not in description:
            raise ValueError("it is a saved net, which fastmlp.load reads, and no checkpoint")
        if description["checkpoint"] != kind:
            raise ValueError(f"it is a checkpoint of a {description['checkpoint']}, and this is a {kind}")
        if description["format"] > FORMAT:
            raise ValueError(f"a newer fastmlp wrote it in format {description['format']} (upgrade it with pip)")
        _ = description["checksum"]  # read_file compares it where there is one
        return Contents(description["identity"], description["numbers"], arrays)
    except DAMAGE as error:
        raise ValueError(reason_of(error)) from None


class CheckpointFile:
    """The file of a fit's checkpoints: what it holds when the fit begins, and when it is written next.

    checkpoint : argument of fit
    kind : "net", "population" or SEARCH
    verbose : int     whether to say on standard error where the fit begins

    Raises
    ------
    OSError
        If the file cannot be written.
    FileExistsError
        If there is a checkpoint, and the fit is not to go on from it.
    ValueError
        If an argument is invalid, or the checkpoint and the one before it are damaged.
    """

    def __init__(self, checkpoint: Checkpoint, kind: str, verbose: int):
        path, resume = checkpoint.path, checkpoint.resume
        self.path, self.kind, self._verbose = Path(path), kind, verbose
        self.timer = Timer(as_interval(checkpoint.every))
        self._is_damaged = False
        check_output(self.path)
        exists = self.path.is_file() or Path(f"{self.path}{PREVIOUS}").is_file()
        if exists and not resume:
            others = f"{path}.*" if kind == SEARCH else f"{path}{PREVIOUS}"
            raise FileExistsError(
                f"There is a checkpoint {str(path)!r} already. Go on from it (Checkpoint(..., resume=True), on the "
                f"command line --resume), or name another file; to start anew, remove it and {others!r}."
            )
        self.contents = self._read() if exists else None
        if resume and not exists:
            self._say(f"There is no checkpoint {str(path)!r} yet: the fit starts anew.")

    def _read(self) -> Contents:
        """Return the last checkpoint or, if it is damaged, the one before it."""
        try:
            return read(self.path, self.kind)
        except (ValueError, FileNotFoundError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is missing"
        self._is_damaged, previous = True, Path(f"{self.path}{PREVIOUS}")
        if not previous.is_file():
            raise ValueError(
                f"{str(self.path)!r} should be a checkpoint, but {reason}, and there is none before it. Restore it "
                "from a copy, or remove it to start anew."
            )
        try:
            contents = read(previous, self.kind)
        except ValueError as error:
            raise ValueError(
                f"{str(self.path)!r} should be a checkpoint, but {reason}; of the one before it, {str(previous)!r}: "
                f"{error}. Restore one of them from a copy, or remove both to start anew."
            ) from None
        warn_user(
            f"{str(self.path)!r} should be a checkpoint, but {reason}. The fit goes on from the one before it, "
            f"{str(previous)!r}."
        )
        return contents

    @contextmanager
    def checking_state(self) -> Iterator[None]:
        """Context in which an exception that means a damaged state becomes the error that refuses the file."""
        try:
            yield
        except DAMAGE as error:
            raise ValueError(
                f"{str(self.path)!r} has a state that is none of this fit: {reason_of(error)}. Restore the file from a "
                "copy, or remove it to start anew."
            ) from None

    def _say(self, sentence: str) -> None:
        if self._verbose:
            print(sentence, file=sys.stderr, flush=True)

    def begin(self, where: str) -> None:
        """Start the timer; where : str     where the fit goes on, such as "after epoch 2 of 10", to say"""
        self.timer.restart(0)
        if self.contents is not None:
            self._say(f"The fit goes on {where}, from {str(self.path)!r}.")

    def check_identity(self, identity: Identity) -> None:
        """Raise ValueError if the checkpoint, if there is one, is not of the fit with this identity."""
        if self.contents is None:
            return
        if change := difference(self.contents.identity, identity):
            raise ValueError(
                f"{str(self.path)!r} is a checkpoint of another fit: {change}. Repeat the fit that wrote it, or name "
                "another file."
            )

    def write(self, checkpoint: Contents, reached: str, epochs_done: int = 0) -> None:
        """Write a checkpoint, and restart the timer. A file that cannot be written is a warning: the fit goes on.

        reached : str     what the fit has reached, for the warning
        """
        try:
            write(self.path, self.kind, checkpoint, keep_previous=not self._is_damaged)
            self._is_damaged = False
        except OSError as error:
            warn_user(f"The checkpoint after {reached} is missing, and the fit goes on. {error}")
        self.timer.restart(epochs_done)


def difference(there: Identity, here: Identity) -> str:
    """Return a clause with the first difference between a checkpoint's fit and this one, or ""."""
    for name in {**here, **there}:
        old, new = (fit.get(name, "None") for fit in (there, here))
        if old != new:
            if all(value.startswith((PREFIX, CRC)) for value in (old, new)):
                return f"{name} had other values"
            old, new = ("an array" if value.startswith((PREFIX, CRC)) else value for value in (old, new))
            return f"its {name} was {old}, and here it is {new}"
    return ""
