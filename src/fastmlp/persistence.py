"""Saving and loading a net: its parameters as one safetensors tensor, its description as JSON in the file's metadata.

Nothing in such a file is ever run: the format holds numbers and text only.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from .layout import Layout

if TYPE_CHECKING:
    from .mlp import MLP

KEY = "fastmlp"
FORMAT = 1  # raise it when a file written today could no longer be read


def save(net: MLP, path: str | Path) -> None:
    """Write a net to a file, whole or not at all: a file that is there is replaced only once the new one is complete.

    Settings, parameters and the preprocessing of a table are kept; an optimizer's state is not.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If a setting is not a finite number.

    >>> import fastmlp, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     same = fastmlp.load(f"{folder}/net.safetensors")
    >>> bool((same.params == net.params).all())
    True
    """
    from safetensors.numpy import save as to_bytes

    preprocessing = None if net.preprocessing is None else net.preprocessing.to_dict()
    description = {"format": FORMAT, "settings": net.get_settings(), "preprocessing": preprocessing}
    metadata = {KEY: json.dumps(description, allow_nan=False)}
    _replace(Path(os.path.realpath(path)), to_bytes({"params": np.ascontiguousarray(net.params)}, metadata))


def _replace(path: Path, data: bytes) -> None:
    """Write beside `path`, reach the disk, then rename: the rename is what makes it atomic."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def load(path: str | Path, *, device: str = "auto") -> MLP:
    """The net in a file written by `save`.

    Parameters
    ----------
    path : str or Path
    device : "auto", "cpu" or "cuda"
        Where the net is to run; the device it was saved from need not exist here.

    Returns
    -------
    MLP
        With the saved settings, parameters and preprocessing.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, was not written by fastmlp, or was written by a newer version.
    """
    from .mlp import MLP

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    text, params = _read(path)
    description = _parse(path, text)
    settings = {**description["settings"], "device": device}
    _check_params(path, settings, params)
    try:
        net = MLP(**settings)
    except (TypeError, ValueError) as error:
        raise _damaged(path, f"its settings make no net ({error})") from None
    net.params[:] = params
    net.preprocessing = _preprocessing(path, description["preprocessing"], settings["layer_sizes"])
    return net


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"{str(path)!r} should be a net saved by fastmlp, but {reason}; save the net again.")


def _read(path: Path) -> tuple[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if KEY not in metadata or list(file.keys()) != ["params"]:
                raise _damaged(path, "it is a safetensors file of another program")
            return metadata[KEY], file.get_tensor("params")
    except (SafetensorError, AttributeError, TypeError) as error:  # the latter two: a dtype that NumPy does not have
        raise _damaged(path, f"it is damaged or of another format ({error})") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ValueError(f"{number} is not a finite number")
        return float(number)

    try:
        description = json.loads(text, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its description is damaged ({error})") from None
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise _damaged(path, "its description names no format")
    if description["format"] > FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {description['format']}, written by a newer fastmlp; this one reads up to format "
            f"{FORMAT}. Run `pip install --upgrade fastmlp`."
        )
    if not isinstance(description.get("settings"), dict) or "preprocessing" not in description:
        raise _damaged(path, "its description is incomplete")
    return description


def _check_params(path: Path, settings: dict[str, Any], params: np.ndarray) -> None:
    """Before the net is made, so that absurd sizes in a damaged file claim no memory."""
    sizes = settings.get("layer_sizes")
    if not isinstance(sizes, list) or len(sizes) < 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise _damaged(path, f"its layer sizes are {sizes!r}")
    expected, dtype = Layout(tuple(sizes)).n_params, settings.get("dtype")
    if params.shape != (expected,) or params.dtype != dtype:
        raise _damaged(path, f"it holds {params.dtype} {params.shape} where layers {sizes} need {dtype} ({expected},)")


def _preprocessing(path: Path, description: dict[str, Any] | None, layer_sizes: list[int]) -> Any:
    if description is None:
        return None
    from .tabular import Preprocessing

    preprocessing = Preprocessing.from_dict(description)
    ends = [len(preprocessing.feature_names), preprocessing.target.n_outputs]
    if ends != [layer_sizes[0], layer_sizes[-1]]:
        raise _damaged(path, f"its preprocessing makes {ends[0]} inputs and {ends[1]} outputs for layers {layer_sizes}")
    return preprocessing
