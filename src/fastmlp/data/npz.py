"""Reader of .npz files, NumPy's format for named arrays."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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


def read_npz(path: Path, required: Sequence[str]) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file by name.

    path : path     file to read
    required : names of the arrays to return

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not an .npz file, contains Python objects, or lacks one of the arrays.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    expected = f"{', '.join(required[:-1])} and {required[-1]}"
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            names = list(arrays.files)
            if set(required) <= set(names):
                return {name: arrays[name] for name in required}
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which offsets before the file's start cause
            raise
        raise ValueError(
            f"{str(path)!r} should be a file of arrays {expected}, as numpy.savez writes it, but it is damaged or of "
            "another kind."
        ) from None
    raise ValueError(f"{str(path)!r} must hold arrays {expected}, but it holds {', '.join(names) or 'none'}.")
