"""Cache folder: where machine code and measurements are stored for later processes, and whether it can be trusted.

Machine code from this folder is executed, so nobody but this user and root may have written it. Three things are
checked: the folder of the files, its parent, and every file when it is opened. Each must belong to this user or to
root, and nobody else may be able to write to it. The parent may also be a folder like /tmp, with the sticky bit, where
nobody can rename other users' files. Folders further up are not checked: somebody who can write there can replace this
folder, but the new one belongs to that user, and is refused. Windows has neither these owners nor modes, and its folder
lies in the user's profile: there, only the file type is checked.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from errno import EINVAL, EPERM
from functools import lru_cache
from pathlib import Path

READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
READ |= getattr(os, "O_NONBLOCK", 0)  # opening a FIFO would wait for a writer
FOLDER_MODE, FILE_MODE = 0o755, 0o644  # before the umask; never writable by others, whatever the umask


def base_folder() -> Path:
    """Return the folder of all caches: NUMBA_CACHE_DIR itself, or `fastmlp` in the user's cache folder."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fastmlp"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"


def make_folder(folder: Path) -> None:
    """Create the folder and its missing parents."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)


def distrust_reason(folder: Path) -> str | None:
    """Return why a folder cannot be trusted, in words; None if only this user and root can write to it.

    Raises
    ------
    FileNotFoundError
        If the folder or its parent does not exist.
    """
    for place in (folder.parent, folder):
        status = os.lstat(place)
        if stat.S_ISLNK(status.st_mode):
            if problem := _owner_problem(status):
                return f"{str(place)!r} is a link that {problem}"
            status = os.stat(place)
        if not stat.S_ISDIR(status.st_mode):
            return f"{str(place)!r} is not a folder"
        if problem := _owner_problem(status):
            return f"{str(place)!r} {problem}"
        is_sticky = place != folder and status.st_mode & stat.S_ISVTX
        if _others_write(status) and not is_sticky:
            return f"others may write to {str(place)!r}"
    return None


def read_file(path: Path) -> bytes:
    """Return the content of a regular file that only this user and root can have written.

    Raises
    ------
    OSError
        If there is no such file.
    """
    with open(os.open(path, READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "it is not a regular file", str(path))
        if _owner_problem(status) or _others_write(status):
            raise PermissionError(EPERM, "others may have written it", str(path))
        return file.read()


def _owner_problem(status: os.stat_result) -> str | None:
    """Return what is wrong with the owner of a file or folder, as a verb phrase; None if nothing is."""
    if not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid()):
        return None
    return f"belongs to another user ({_user_name(status.st_uid)})"


def _others_write(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return False
    if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid, os.geteuid()):
        return True
    return bool(status.st_mode & stat.S_IWOTH)


@lru_cache(maxsize=16)
def _is_own_group(group_id: int, user_id: int) -> bool:
    """Whether a group has no members but this user and root.

    Most Linux distributions give each user a private group of the same name, and a umask of 002, which makes new files
    writable for that group. So the group must have the user's name, or be root's, and list nobody else. The list would
    not show another account that has this group as its primary group. That is not checked: it requires reading all
    accounts, and no tool sets it up.
    """
    import grp

    own = {"root", _user_name(user_id)}
    try:
        group = grp.getgrgid(group_id)
    except KeyError:
        return False
    return group.gr_name in own and set(group.gr_mem) <= own


def _user_name(user_id: int) -> str:
    import pwd

    with suppress(KeyError):  # no such account, for example in a container that runs under a bare number
        return pwd.getpwuid(user_id).pw_name
    return str(user_id)
