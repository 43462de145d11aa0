"""Reading of the files that fastmlp writes: safetensors files with a description of their arrays in the metadata.

And writing of large ones, array by array. The library's own function makes one copy of all arrays first, which takes as
as long as the writing, and as much memory again.

What is wrong with a file is a clause, such as "it is damaged (its checksum does not match)". Modules that read a file
raise ValueError with such a clause, or another exception of DAMAGE, and the caller who knows the path makes the error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .saved_net import FORMAT, KEY, checksum, package_version

MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors format

# Exceptions that mean a damaged file. RuntimeError (device not available), ImportError and OSError do not.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
DTYPES = {"f8": "F64", "i8": "I64", "f4": "F32", "i4": "I32", "i1": "I8"}  # NumPy's names of dtypes, and the format's


def parts_of_file(arrays: dict[str, np.ndarray], text: str) -> Iterator[Any]:
    """Yield the parts of a safetensors file, as bytes and arrays of bytes: the header, and the arrays one by one.

    arrays : C-contiguous arrays of DTYPES by name
    text : description, an entry of the metadata
    """
    header: dict[str, Any] = {"__metadata__": {KEY: text}}
    names, end = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)), 0  # so that each is aligned
    for name in names:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.str[1:]], "shape": list(array.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    yield len(encoded).to_bytes(8, "little") + encoded
    for name in names:
        yield arrays[name].reshape(-1).view(np.uint8)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return (description, arrays by name) of a file; the message of a ValueError names the defect only.

    Format and checksum are checked; files of the first versions have no checksum.

    The file is read, not memory-mapped: if another process truncated a mapped file, SIGBUS would end this process. The
    header is read first, so that a large file of another program is refused before its data are read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    with open(path, "rb") as file:
        header = _header(file)
        metadata = header.get("__metadata__")
        if not isinstance(metadata, dict) or KEY not in metadata:
            raise ValueError("it is a safetensors file of another program")
        file.seek(0)
        data = file.read()
    try:
        arrays = from_bytes(data)
    except (SafetensorError, *DAMAGE) as error:
        raise ValueError(f"it is not a safetensors file, or it is damaged ({error})") from None
    description = _parse(metadata[KEY])
    has_checksum = "version" in description or "checksum" in description
    if has_checksum and description["checksum"] != checksum(description, arrays):
        raise ValueError("it is damaged (its checksum does not match)")
    return description, arrays


def _header(file: BinaryIO) -> dict[str, Any]:
    """Return the header of a safetensors file."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(MAX_HEADER, size - 8):
        raise ValueError(
            "it is not a safetensors file, or it is damaged (it does not begin with the length of a header)"
        )
    try:
        header = json.loads(file.read(length))
    except (RecursionError, ValueError) as error:
        raise ValueError(f"it is not a safetensors file, or it is damaged (in its header: {error})") from None
    if not isinstance(header, dict):
        raise ValueError("it is not a safetensors file, or it is damaged (its header is not a JSON object)")
    return header


def _parse(text: str) -> dict[str, Any]:
    def finite(number: str) -> float:
        if math.isfinite(value := float(number)):
            return value
        raise ValueError(f"its description holds {number}, which is not a finite number")

    description = json.loads(text, parse_float=finite, parse_constant=finite)
    if not isinstance(description, dict):
        raise ValueError("its description is not a JSON object")
    file_format, writer = description["format"], description.get("version")
    if type(file_format) is not int or file_format < 1:
        raise ValueError(f"its format is {file_format!r}")
    if file_format > FORMAT:
        program = f" ({writer})" if isinstance(writer, str) else ""
        raise ValueError(
            f"a newer fastmlp{program} wrote it in format {file_format}, and this one, {package_version()}, reads "
            f"formats up to {FORMAT} (upgrade it with pip)"
        )
    return description


# ---- damaged files


def refusal(path: str | os.PathLike, kind: str, error: Exception) -> ValueError:
    """Return the error for a file that is refused.

    kind : what the file should hold: "a net" or "an estimator"
    error : exception of DAMAGE that reading has raised
    """
    return ValueError(
        f"{str(path)!r} should be {kind} saved by fastmlp, but {reason_of(error)}. Restore it from a copy, or train "
        "and save again."
    )


def reason_of(error: Exception) -> str:
    """Return what is wrong with a file, as a clause."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    return f"its description is not valid ({error})"
