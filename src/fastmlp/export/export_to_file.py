"""A predictor to a file, whose suffix decides the format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..runtime.output_files import check_output, write_bytes
from .predictor import Predictor

ONNX, C = ".onnx", ".h"
SUFFIXES = (ONNX, C)


def export(
    make_predictor: Callable[[], Predictor], path: str | os.PathLike, member: int | None = None, prefix: str = ""
) -> None:
    """Write a predictor to a file, completely or not at all.

    make_predictor : returns what to export; called after the path is checked
    path : file to write, which ends in .onnx or .h
    member : number of the net of several that is exported alone; None for all
    prefix : beginning of the names in a C file

    Raises
    ------
    ImportError
        If the file ends in .onnx, and onnx is not installed.
    OSError
        If the file cannot be written, or is a C file that fastmlp has not written.
    ValueError
        If the suffix or another argument is invalid, or the format cannot express the predictor.
    """
    suffix = checked_suffix(path, prefix)
    check_output(path)
    check_replaced(path)
    if suffix == ONNX:
        from .onnx_model import model_bytes

        data = model_bytes(make_predictor().member(member))
    else:
        from .c_source import c_source

        data = c_source(make_predictor().member(member), prefix).encode()
    write_bytes(path, data)


def check_replaced(path: str | os.PathLike) -> None:
    """Raise FileExistsError if a C file is there that fastmlp has not written: it may be work of somebody."""
    from .c_source import WRITTEN_BY

    path = Path(path)
    if path.suffix.lower() != C or not path.is_file():
        return
    with open(path, "rb") as file:
        begin = file.read(10_000).lstrip()  # an empty file is nobody's work
    if begin and WRITTEN_BY.encode() not in begin.splitlines()[0]:
        raise FileExistsError(
            f"{str(path)!r} is there and was not written by fastmlp, so it is left alone: choose another name, or "
            "remove it first."
        )


def checked_suffix(path: str | os.PathLike, prefix: str = "") -> str:
    """Return the suffix of a path in lower case, after a check of it and of the prefix."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"The name of an exported file should end in .onnx, for ONNX, or .h, for C, but it is {str(path)!r}."
        )
    if prefix and suffix != C:
        raise ValueError(f"prefix is {prefix!r}, but only a C file (.h) has names that begin with it; leave it out.")
    return suffix
