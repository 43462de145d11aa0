"""The folder of data sets that experiments of the literature read: `--data`, or FASTMLP_DATA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.npz import read_npz

if TYPE_CHECKING:
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
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"There is no file {str(folder / name)!r}; --data must name the folder that has {name}."
        )
    return read_npz(folder / name, needed)
