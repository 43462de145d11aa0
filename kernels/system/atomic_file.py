"""Atomic file replacement: a file is written under a temporary name in the same folder, then renamed.

Its name is random, so that several processes may write the same file at once: the last one counts. A process that is
killed by SIGKILL leaves it behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# O_EXCL and O_NOFOLLOW: never write through a link, or into a file, that someone else has put there.
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends; after an error, nothing has changed.

    mode : permissions of the file, before the umask is applied
    """
    draft = draft_beside(path)
    try:
        with open(draft, "wb", opener=lambda name, _: os.open(name, CREATE, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    synchronise_folder(path.parent)


def draft_beside(path: Path) -> Path:
    """Return a name that no other file has, in the same folder."""
    return path.with_name(f".fastmlp-{os.urandom(8).hex()}.tmp")


def synchronise_folder(folder: Path) -> None:
    """Flush a folder, so that the new name also survives a power failure. Not all file systems can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
