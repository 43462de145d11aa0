"""Where this package keeps on disk what one process has found out for the next ones, and whether that can be trusted.

Machine code is read from there and run, so nobody but this user and root may have written it. Checked are the folder of
the kernels, the one above it, and every file as it is opened: each must belong to this user or to root, and nobody else
may be able to write to it. The folder above may be one like /tmp, with the sticky bit, in which nobody can rename what
belongs to others. Folders further up are not looked at: who may write there can put another folder in the place of this
one, but that folder is his own, and refused. Windows has neither these owners nor modes, and its folder lies in the
user's profile: there, nothing is checked but that files are files.
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
READ |= getattr(os, "O_NONBLOCK", 0)  # to open a FIFO would wait for a writer
FOLDER_MODE, FILE_MODE = 0o755, 0o644  # less what the umask withholds; never writable for others, whatever the umask


def base_folder() -> Path:
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fastmlp"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"


def make_folder(folder: Path) -> None:
    """Make it and those above it that are not there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)


def reason_against(folder: Path) -> str | None:
    """Why others may have written what is in a folder, in words; None where only this user and root can.

    Raises
    ------
    FileNotFoundError
        If the folder, or the one above it, is not there.
    """
    for place in (folder.parent, folder):
        found = os.lstat(place)
        if stat.S_ISLNK(found.st_mode):
            if foreign := _owner_refused(found):
                return f"{str(place)!r} is a link that {foreign}"
            found = os.stat(place)
        if not stat.S_ISDIR(found.st_mode):
            return f"{str(place)!r} is no folder"
        if foreign := _owner_refused(found):
            return f"{str(place)!r} {foreign}"
        is_sticky = place != folder and found.st_mode & stat.S_ISVTX
        if _others_write(found) and not is_sticky:
            return f"others may write to {str(place)!r}"
    return None


def read_file(path: Path) -> bytes:
    """What is in a regular file that only this user and root can have written.

    Raises
    ------
    OSError
        If there is none.
    """
    with open(os.open(path, READ), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(EINVAL, "it is no regular file", str(path))
        if _owner_refused(found) or _others_write(found):
            raise PermissionError(EPERM, "others can have written it", str(path))
        return file.read()


def _owner_refused(found: os.stat_result) -> str | None:
    """What is wrong with the owner of a file or folder, as a verb phrase."""
    if not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid()):
        return None
    return f"belongs to another user ({_user_name(found.st_uid)})"


def _others_write(found: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return False
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid, os.geteuid()):
        return True
    return bool(found.st_mode & stat.S_IWOTH)


@lru_cache(maxsize=16)
def _is_own_group(group_id: int, user_id: int) -> bool:
    """Whether a group has no members but this user and root.

    Most Linux distributions give each user a group of his own, with his name, and a umask of 002, under which all that
    he makes is writable for that group. So the group must have the user's name, or be root's, and list nobody else.
    That it is the primary group of another account, which the list would not show, is not looked for: it takes reading
    all accounts, and no tool sets it up.
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

    with suppress(KeyError):  # as where a container runs under a number
        return pwd.getpwuid(user_id).pw_name
    return str(user_id)
