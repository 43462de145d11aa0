"""Data sets of `fastmlp reproduce`, read from the folder that `--data` or FASTMLP_DATA names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.npz import read_npz

if TYPE_CHECKING:
    import numpy as np


def data_folder(data: Path | None) -> Path | None:
    """Return the folder of data sets: `data` if given, else the value of FASTMLP_DATA, else None.

    Raises
    ------
    FileNotFoundError
        If the named folder does not exist.
    """
    named = data or (Path(os.environ["FASTMLP_DATA"]) if os.environ.get("FASTMLP_DATA") else None)
    if named is not None and not named.is_dir():
        option = "--data" if data else "FASTMLP_DATA"
        raise FileNotFoundError(f"There is no folder {str(named)!r}; {option} must name the folder that has the data.")
    return named


def arrays(data: Path | None, name: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file in the folder of data sets.

    data : folder given with --data, or None
    name : path of the file, relative to the folder
    needed : names of the arrays

    Raises
    ------
    FileNotFoundError
        If no folder is named, or the file is not in it.
    ValueError
        If the file is damaged or lacks one of the arrays.
    """
    folder = data_folder(data)
    if folder is None:
        raise FileNotFoundError(f"This experiment needs {name}: name the folder of it with --data or FASTMLP_DATA.")
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"There is no file {str(folder / name)!r}; --data must name the folder that has {name}."
        )
    return read_npz(folder / name, needed)
