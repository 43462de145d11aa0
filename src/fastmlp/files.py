"""Output files: each appears whole or not at all, in the place of a regular file or of none, and never of an input.

Every file that this package writes for its users goes through `replacing`: nets, tables of predictions, reports,
benchmark results, animations.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .kernels.jit import atomic_file

KINDS = {stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
PRIVATE = 0o600  # of a draft that replaces a file, until it has that file's permissions


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of `path` at the end of the block.

    It is written as a draft in the same folder, synchronised with the disk, and renamed. After an error, an interrupt
    or SIGKILL, the file that was there is as it was. A symbolic link is followed: the file it leads to is replaced. The
    new file has the permissions of the one it replaces and, where this process may give it them, its owner and group.

    Raises
    ------
    OSError
        In a sentence, if the file cannot be written.
    """
    path, before = Path(path), _file_at(path)
    try:
        with atomic_file.replacing(Path(os.path.realpath(path)), 0o666 if before is None else PRIVATE) as file:
            yield file
            if before is not None:
                _keep_owner_and_permissions(file.fileno(), before)
    except OSError as error:
        if error.errno is None:  # it is a sentence already
            raise
        state = "no file was made" if before is None else "the file that was there is as it was"
        sentence = f"The output {str(path)!r} could not be written ({error.strerror}); {state}."
        found = type(OSError(error.errno, ""))(sentence)  # such as a PermissionError
        found.errno = error.errno
        raise found from None


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    write_bytes(path, text.encode())


def check_output(path: str | os.PathLike, *inputs: str | os.PathLike | None, else_leave_out: str = "") -> None:
    """Refuse a path where `replacing` could write no file, before there is anything to write.

    inputs : files that are read for the output, which must not be one of them, by whatever name; None stands for none
    else_leave_out : an option that can be left out instead of naming a device or a pipe, and what happens then

    Raises
    ------
    OSError
        For a folder, a device, a pipe, a read-only file, or a folder that is not there or cannot be written to.
    ValueError
        If the output is an input.
    """
    path = Path(path)
    _file_at(path, else_leave_out)
    folder = Path(os.path.realpath(path)).parent
    try:  # a folder's permissions do not say it on every system
        from tempfile import TemporaryFile

        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PermissionError(
            f"The output cannot be written to the folder {str(folder)!r} ({error.strerror}); choose another."
        ) from None
    for read in inputs:
        if read is not None and _is_same_file(path, read):
            raise ValueError(
                f"The output {str(path)!r} is the same file as the input {str(read)!r}, which it would replace; "
                "choose another name for the output."
            )


def _is_same_file(one: str | os.PathLike, other: str | os.PathLike) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False


def _file_at(path: Path, else_leave_out: str = "") -> os.stat_result | None:
    """The regular file that will be replaced; None if there is none, and its folder is there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        real = Path(os.path.realpath(path))
        if not real.parent.is_dir():
            folder = real.parent if path.is_symlink() else path.parent
            raise FileNotFoundError(f"There is no folder {str(folder)!r} for the output; make it first.") from None
        return None
    except OSError as error:  # such as links in a circle
        raise type(error)(f"The output {str(path)!r} could not be written ({error.strerror}).") from None
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(f"The output should be a file, but {str(path)!r} is a folder; add a file name.")
    if kind != stat.S_IFREG:
        advice = f", or leave out {else_leave_out}" if else_leave_out else ""
        raise OSError(
            f"The output should be a file, but {str(path)!r} is {KINDS.get(kind, 'none')}; give the name of a file"
            f"{advice}."
        )
    if not os.access(path, os.W_OK):
        raise PermissionError(
            f"The output {str(path)!r} is a file that you may not write to; make it writable or choose another."
        )
    return found


def _keep_owner_and_permissions(fd: int, before: os.stat_result) -> None:
    """Those of the file that is replaced. Where its group cannot be kept, the group has the rights of all others."""
    if not hasattr(os, "fchown"):  # Windows
        return
    mode, draft = before.st_mode & 0o777, os.fstat(fd)
    if (draft.st_uid, draft.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(fd, before.st_uid, before.st_gid)
        except OSError:
            try:
                os.fchown(fd, -1, before.st_gid)
            except OSError:
                mode = mode & 0o707 | (mode & 0o007) << 3
    with suppress(OSError):  # file systems without permissions
        os.fchmod(fd, mode)
