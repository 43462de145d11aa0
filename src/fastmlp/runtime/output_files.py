"""Atomic output files: a file is written completely or not at all, and never replaces an input or a special file.

All files that this package writes for its users go through `replacing`: nets, tables of predictions, reports, benchmark
results. Logs, which grow, go through `append`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    replaced. The new file gets the permissions of the replaced one; a file for what ended early gets those of the
    output that it is beside.

    Raises
    ------
    OSError
        If the file cannot be written, with a full sentence as its message.
    """
    path = Path(path)
    replaced = _file_at(path)
    beside = path.with_suffix("") if path.suffix[1:] in ENDED_EARLY else path
    model = beside.stat() if beside.is_file() else replaced
    try:
        with atomic_file.replacing(Path(os.path.realpath(path)), 0o666 if model is None else PRIVATE) as file:
            yield file
            if model is not None and hasattr(os, "fchmod"):  # not so on Windows
                with suppress(OSError):  # file systems without permissions
                    os.fchmod(file.fileno(), model.st_mode & 0o777)
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


def append(path: str | os.PathLike, lines: bytes) -> None:
    """Append whole lines to a file, which is made if there is none: all of them or, after an error, none.

    If the last line of the file has no end, as a crash of the machine may leave it, it is ended first.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size = os.fstat(fd).st_size
        if size:
            os.lseek(fd, size - 1, os.SEEK_SET)
            if os.read(fd, 1) != b"\n":
                lines = b"\n" + lines
        try:
            while lines:
                lines = lines[os.write(fd, lines) :]
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
        if input_path is not None and path.exists() and os.path.exists(input_path) and path.samefile(input_path):
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


def left_alone(path: str | os.PathLike) -> str:
    """Return the end of a sentence on an output that was not written."""
    return f"{str(path)!r} is as it was" if os.path.lexists(path) else f"nothing was written to {str(path)!r}"


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
