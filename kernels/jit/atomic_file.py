"""Files that appear whole or not at all: written as a draft beside their place, then renamed, which is atomic.

A draft's name says which process writes it: host, process id and when that process began. The draft of a process that
died meanwhile, as by SIGKILL, is removed when a file is next written to the same folder; that of a process that lives,
or of another host on a shared file system, is not touched.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

DRAFT = re.compile(r"\.fastmlp-([0-9a-f]{12})-(\d{1,9})-(\d{1,19})-[0-9a-f]{16}\.tmp")
# O_EXCL and O_NOFOLLOW: a draft is never written through a link, or into a file, that someone has put there.
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
OLD = 86_400.0  # seconds after which a draft counts as left behind where processes cannot be asked (Windows)
SHARE = 0.1  # of a process's time that sweeping a folder of very many files may take
SHORT = 0.01  # seconds of a sweep after which the next one need not wait
_rest: tuple[str, float] = "", 0.0  # the folder that was swept last, and until when it is not swept again


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the place of `path` when the block ends; after an error, nothing has changed.

    mode : its permissions, less those that the umask withholds
    """
    sweep(path.parent)
    draft = path.with_name(f".fastmlp-{_host()}-{os.getpid()}-{_began(os.getpid())}-{os.urandom(8).hex()}.tmp")
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
    _synchronise_folder(path.parent)


def _synchronise_folder(folder: Path) -> None:
    """So that the new name, too, survives a power failure. Not all systems and file systems can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sweep(folder: Path) -> None:
    """Remove the drafts of processes that have died."""
    global _rest
    began = time.monotonic()
    if _rest[0] == str(folder) and began < _rest[1]:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".fastmlp-") and (found := DRAFT.fullmatch(entry.name)):
                with suppress(OSError):
                    if _is_left_behind(entry, found[1], int(found[2]), int(found[3])):
                        os.unlink(entry.path)
    took = time.monotonic() - began
    _rest = str(folder), began + (took / SHARE if took > SHORT else 0.0)


def _is_left_behind(entry: os.DirEntry, host: str, pid: int, began: int) -> bool:
    if host != _host() or not entry.is_file(follow_symlinks=False):
        return False
    if os.name == "nt":  # where os.kill(pid, 0) ends the process
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD
    return not _is_alive(pid, began)


def _is_alive(pid: int, began: int) -> bool:
    """Whether this process, not a later one with its number, is there; yes where that is unknown."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    state = _state(pid)
    return state is None or (state[0] not in "ZX" and began in (0, state[1]))


def _state(pid: int) -> tuple[str, int] | None:
    """Of a process on Linux: the letter of its state, and when it began, in clock ticks since the system did."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _began(pid: int) -> int:
    state = _state(pid)
    return 0 if state is None else state[1]


@cache
def _host() -> str:
    """A tag of what process ids are numbers in: this machine or, in a container, its namespace of processes."""
    import platform
    from hashlib import sha256

    known = [platform.node()]
    with suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="utf-8").strip())
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return sha256("\n".join(known).encode()).hexdigest()[:12]
