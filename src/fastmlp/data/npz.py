"""Reader of .npz files, NumPy's format for named arrays."""

from __future__ import annotations

import errno
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import no_file

DAMAGE = (  # errors that damaged files raise in NumPy and in the standard library
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
MOST_EXPANSION = 1032  # bytes that a byte can stand for in a member that deflate has compressed


def read_npz(path: Path, required: Sequence[str]) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file by name.

    path : path     file to read
    required : names of the arrays to return

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If the file is damaged, is not an .npz file, contains Python objects, or lacks one of the arrays.
    """
    if not path.is_file():
        raise no_file(path)
    expected = f"{', '.join(required[:-1])} and {required[-1]}"
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            names = list(arrays.files)
            if set(required) <= set(names):
                for name in required:
                    _check_size(arrays.zip, name, MOST_EXPANSION * path.stat().st_size)
                return {name: arrays[name] for name in required}
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which offsets before the file's start cause
            raise
        raise ValueError(
            f"{str(path)!r} should be a file of arrays {expected}, as numpy.savez writes it, but it is damaged or of "
            "another kind."
        ) from None
    raise ValueError(f"{str(path)!r} must hold arrays {expected}, but it holds {', '.join(names) or 'none'}.")


def _check_size(archive: zipfile.ZipFile, name: str, max_bytes: int) -> None:
    """Raise ValueError if an array would take more bytes than its member has, or than max_bytes.

    NumPy allocates what the header announces before it reads.
    """
    info = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        # version 3 differs from 2 in the encoding of names alone
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    if math.prod(shape) * dtype.itemsize > min(info.file_size, max_bytes):
        raise ValueError(f"the header of {name!r} announces more than there is")
