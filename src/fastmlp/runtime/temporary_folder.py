"""Temporary folder, which is removed by its owner or, whatever comes between, at the end of the process."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from ..kernels.system import interrupts


class TemporaryFolder:
    """Folder with a name of its own, which this user alone can read.

    prefix, suffix : beginning and end of its name
    parent : the folder in which it is made; None for the system's folder for temporary files
    why : for the message where the system has none: a sentence that says why there should be one

    A process that is killed by SIGKILL leaves it behind.

    Attributes
    ----------
    path : Path

    Raises
    ------
    OSError
        If there is no folder for temporary files that can be written to.
    """

    def __init__(self, prefix: str, suffix: str = "", parent: Path | None = None, why: str = ""):
        try:
            parent = Path(tempfile.gettempdir()) if parent is None else parent
        except OSError as error:
            raise OSError(
                f"{why}, but there is no folder for temporary files ({error.strerror or error}). Name a folder by the "
                "environment variable TMPDIR."
            ) from None
        self.path = parent / f"{prefix}{os.urandom(8).hex()}{suffix}"
        # Before there is a folder, so that no interrupt comes between. It takes effect when the owner is lost to an
        # exception, and at the end of the process.
        self._finalizer = weakref.finalize(self, _remove, self.path, os.getpid())
        os.mkdir(self.path, 0o700)

    def remove(self) -> None:
        """Remove the folder, if it is there; a Ctrl-C comes afterwards."""
        with interrupts.deferred():
            self._finalizer()


def _remove(path: Path, pid: int) -> None:
    """Remove a folder that process number `pid` has made; in a forked one that ends, nothing is done."""
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)
