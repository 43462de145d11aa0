"""Atomic file replacement: a file is written under a temporary name in the same folder, then renamed.

The temporary name contains the host, the process id and the start time of the process. Temporary files of processes
that have died, for example by SIGKILL, are removed when a file is next written to the same folder. Temporary files of
living processes, or of another host on a shared file system, are left alone.
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

PROCESS = r"([0-9a-f]{12})-(\d{1,9})-(\d{1,19})"  # host, process id and start time, as process_name() has them
DRAFT = re.compile(rf"\.fastmlp-{PROCESS}-[0-9a-f]{{16}}\.tmp")
# O_EXCL and O_NOFOLLOW: never write through a link, or into a file, that someone else has put there.
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
OLD = 86_400.0  # seconds after which a temporary file counts as abandoned on Windows, where processes cannot be queried
SHARE = 0.1  # fraction of a process's time that sweeping a very large folder may take
SHORT = 0.01  # seconds; after a sweep shorter than this, the next one need not wait
_rest: tuple[str, float] = "", 0.0  # the folder that was swept last, and the time before which it is not swept again


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends; after an error, nothing has changed.

    mode : permissions of the file, before the umask is applied
    """
    sweep(path.parent)
    draft = path.with_name(f".fastmlp-{process_name()}-{os.urandom(8).hex()}.tmp")
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


def synchronise_folder(folder: Path) -> None:
    """Flush a folder, so that the new name also survives a power failure. Not all file systems can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sweep(folder: Path) -> None:
    """Remove temporary files of processes that have died."""
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


def process_name() -> str:
    """Return a part of the names of temporary files, by which other processes find out whether this one has ended."""
    return f"{_host()}-{os.getpid()}-{_began(os.getpid())}"


def has_ended(host: str, pid: int, began: int) -> bool:
    """Return whether the process of a process_name() has ended; False on another host, and on Windows."""
    return os.name != "nt" and host == _host() and not _is_alive(pid, began)


def _is_left_behind(entry: os.DirEntry, host: str, pid: int, began: int) -> bool:
    if host != _host() or not entry.is_file(follow_symlinks=False):
        return False
    if os.name == "nt":  # there, os.kill(pid, 0) ends the process
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD
    return has_ended(host, pid, began)


def _is_alive(pid: int, began: int) -> bool:
    """Whether the process with this id and start time is running; True if that cannot be known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        pass
    state = _state(pid)
    return state is None or (state[0] not in "ZX" and began in (0, state[1]))


def _state(pid: int) -> tuple[str, int] | None:
    """Return a Linux process's state letter and its start time in clock ticks since boot."""
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
    """Return a tag of the namespace of process ids: this machine or, in a container, its process namespace."""
    import platform
    from hashlib import sha256

    known = [platform.node()]
    with suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="utf-8").strip())
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return sha256("\n".join(known).encode()).hexdigest()[:12]
