"""The folder of data sets that experiments of the literature read: `--data`, or FASTMLP_DATA."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np


def data_folder(data: Path | None) -> Path | None:
    """The folder that was named, or else the one that FASTMLP_DATA names; None if there is neither.

    Raises
    ------
    FileNotFoundError
        If a folder was named that does not exist.
    """
    named = data or (Path(os.environ["FASTMLP_DATA"]) if os.environ.get("FASTMLP_DATA") else None)
    if named is not None and not named.is_dir():
        option = "--data" if data else "FASTMLP_DATA"
        raise FileNotFoundError(f"There is no folder {str(named)!r}; {option} must name the folder that has the data.")
    return named


def arrays(data: Path | None, name: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file below the folder of data."""
    folder = data_folder(data)
    if folder is None:
        raise FileNotFoundError(f"This experiment needs {name}: name the folder of it with --data or FASTMLP_DATA.")
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}; --data must name the folder that has {name}.")
    try:
        with np.load(path) as arrays:
            return {key: arrays[key] for key in needed}
    except (KeyError, AttributeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"{str(path)!r} should be an .npz file with the arrays {', '.join(needed)}.") from None
