"""Atomic output files: a file is written completely or not at all, and never replaces an input or a special file.

All files that this package writes for its users go through `replacing`: nets, tables of predictions, reports, benchmark
results, animations. Logs, which grow, go through `append`.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from ..kernels.system import atomic_file

KINDS = {stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
PRIVATE = 0o600  # permissions of a temporary file until it gets those of the file that it will replace
ENDED_EARLY = "interrupted", "diverged"  # endings of the files beside an output for what ended early


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Context manager with a binary file to write to, which replaces `path` at the end of the block.

    The data go to a temporary file in the same folder, which is synchronised with the disk and renamed. After an error,
    an interrupt or SIGKILL, an existing file is unchanged. A symbolic link is followed: the file it points to is
    replaced. The new file gets the permissions of the replaced one and, if this process may set them, its owner and
    group; a file for what ended early gets those of the output that it is beside.

    Raises
    ------
    OSError
        If the file cannot be written, with a full sentence as its message.
    """
    path = Path(path)
    replaced = _file_at(path)
    model = _output_beside(path) or replaced
    try:
        with atomic_file.replacing(Path(os.path.realpath(path)), 0o666 if model is None else PRIVATE) as file:
            yield file
            if model is not None:
                _keep_owner_and_permissions(file.fileno(), model)
    except OSError as error:
        if error.errno is None:  # the message is a full sentence already
            raise
        state = "no file was written" if replaced is None else "the existing file is unchanged"
        sentence = f"The output {str(path)!r} could not be written ({error.strerror}); {state}."
        full_error = type(OSError(error.errno, ""))(sentence)  # such as a PermissionError
        full_error.errno = error.errno
        raise full_error from None


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    write_bytes(path, text.encode())


class LinesMissing(OSError):
    """Not all lines could be appended to a file: the first n_lines of them were."""

    n_lines = 0


def append(path: str | os.PathLike, lines: Sequence[bytes]) -> None:
    """Append whole lines to a file, which is made if there is none.

    If the last line of the file has no end, as a crash of the machine may leave it, it is ended first.

    Raises
    ------
    LinesMissing
        If the disk has no room for all lines; those that it has room for are in the file.
    OSError
        If the file cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size = os.fstat(fd).st_size
        if size:
            os.lseek(fd, size - 1, os.SEEK_SET)
            if os.read(fd, 1) != b"\n":
                size += os.write(fd, b"\n")
        ends = [*accumulate(map(len, lines), initial=size)]  # of the file, with so many of the lines
        left, end = b"".join(lines), size
        try:
            while left:
                n = os.write(fd, left)
                end, left = end + n, left[n:]
        except OSError as error:
            missing = LinesMissing(error.errno, error.strerror)
            missing.n_lines = bisect_right(ends, end) - 1
            os.ftruncate(fd, ends[missing.n_lines])
            raise missing from None
        except BaseException:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def check_output(path: str | os.PathLike, *inputs: str | os.PathLike | None, else_leave_out: str = "") -> None:
    """Check, before there is anything to write, that `replacing` can write to a path.

    inputs : paths of the files from which the output is computed; the output must not be one of them, under any name.
        None is ignored
    else_leave_out : str     for the message about a device or a pipe: an option that can be left out instead, and what
        happens then

    Raises
    ------
    OSError
        If path is a folder, a device, a pipe or a read-only file, or its folder does not exist or cannot be written to.
    ValueError
        If the output is one of the inputs.
    """
    path = Path(path)
    _file_at(path, else_leave_out)
    folder = Path(os.path.realpath(path)).parent
    try:  # a trial, since on some systems the permissions do not show whether a folder is writable
        from tempfile import TemporaryFile

        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PermissionError(
            f"The output cannot be written to the folder {str(folder)!r} ({error.strerror}); choose another."
        ) from None
    for input_path in inputs:
        if input_path is not None and _is_same_file(path, input_path):
            raise ValueError(
                f"The output {str(path)!r} is the same file as the input {str(input_path)!r}, which it would replace; "
                "choose another name for the output."
            )


def file_beside(output: Path, ending: str) -> Path:
    """Return the file beside an output for what ended early; ending : one of ENDED_EARLY"""
    return output.with_name(f"{output.name}.{ending}")


def files_beside(output: Path) -> list[Path]:
    """Return the files beside an output that a command may write if it ends early."""
    return [file_beside(output, ending) for ending in ENDED_EARLY]


def _output_beside(path: Path) -> os.stat_result | None:
    """Return the stat result of the output that a file for what ended early is beside, or None."""
    name, _, ending = path.name.rpartition(".")
    if not name or ending not in ENDED_EARLY:
        return None
    try:
        status = os.stat(path.with_name(name))
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def left_alone(path: str | os.PathLike) -> str:
    """Return the end of a sentence on an output that was not written."""
    return f"{str(path)!r} is as it was" if os.path.lexists(path) else f"nothing was written to {str(path)!r}"


def _is_same_file(path: str | os.PathLike, other_path: str | os.PathLike) -> bool:
    try:
        return os.path.samefile(path, other_path)
    except OSError:  # one of the files does not exist
        return False


def _file_at(path: Path, else_leave_out: str = "") -> os.stat_result | None:
    """Return the stat result of the regular file that will be replaced; None if only its folder exists.

    Raises OSError if `path` is something else, or its folder does not exist.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        real = Path(os.path.realpath(path))
        if not real.parent.is_dir():
            folder = real.parent if path.is_symlink() else path.parent
            raise FileNotFoundError(f"There is no folder {str(folder)!r} for the output; make it first.") from None
        return None
    except OSError as error:  # such as a loop of symbolic links
        raise type(error)(f"The output {str(path)!r} could not be written ({error.strerror}).") from None
    kind = stat.S_IFMT(status.st_mode)
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
    return status


def _keep_owner_and_permissions(descriptor: int, replaced: os.stat_result) -> None:
    """Give the open file the owner, group and permissions of the replaced file, as in its stat result `replaced`.

    If the group cannot be kept, the new group gets the permissions of "others".
    """
    if not hasattr(os, "fchown"):  # Windows
        return
    mode, current = replaced.st_mode & 0o777, os.fstat(descriptor)
    if (current.st_uid, current.st_gid) != (replaced.st_uid, replaced.st_gid):
        try:
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        except OSError:
            try:
                os.fchown(descriptor, -1, replaced.st_gid)
            except OSError:
                mode = mode & 0o707 | (mode & 0o007) << 3
    with suppress(OSError):  # file systems without permissions
        os.fchmod(descriptor, mode)
