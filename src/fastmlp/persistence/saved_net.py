"""Saving nets and populations: arrays in the safetensors format, with a JSON description in the metadata.

The file format is defined here, including which fields of a history or result it contains; loading.py reads it. The
description contains a checksum of itself and of all arrays, so that a damaged file is refused and never loaded with
wrong numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..history import RECORDS, History
from ..interface.user_warnings import warn_user
from ..runtime.output_files import write_bytes

KEY = "fastmlp"
# The highest format that this version reads. A file has the lowest one that can hold its net, so that earlier versions
# read all that they can. Format 2 is that of classes that are dates or durations.
FORMAT = 2
DATES = "Mm"  # kinds of NumPy dtypes: dates and durations, whose numbers are in a file
# Fields of the last fit in the description, with their types; records and per-net results are arrays.
HISTORY = {
    "seconds": (int, float),
    "compile_seconds": (int, float),
    "best_epoch": (int, type(None)),
    "epochs_before": (int,),
    "stopped_by": (str,),
    "settings": (dict,),
}
RESULT = {
    "seconds": (int, float),
    "compile_seconds": (int, float),
    "monitor": (str, type(None)),
    "interrupted": (bool,),
    "judged_by": (str,),
    "arguments": (dict,),
}
OTHER_FORMATS = ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".h5", ".json"  # suffixes that promise another format
RANDOM = {"seed": (int,), "fits": (int,)}
METRIC_RECORDS = "metrics", "validation_metrics"  # dictionaries: their arrays are named "history.metrics.NAME"
PREFIX, RESULT_PREFIX = "history.", "result."  # of the names of arrays


def save(net: Any, path: str | os.PathLike, estimator: dict[str, Any] | None = None) -> None:
    """Write a net or population to a file, atomically: the file is written completely or not at all.

    The file contains settings, parameters, table preprocessing, the history or result of the last fit, the state of the
    random numbers of later fits, the version of fastmlp, and a checksum, by which `load` detects damage. A replaced
    file keeps its permissions. A symbolic link is followed: the file it points to is replaced.

    Parameters
    ----------
    net : MLP or Population
        What to save; the methods MLP.save and Population.save call this function.
    path : str or path
        File to write.
    estimator : dict, optional
        Description of the net's estimator, as estimators/serialization.py makes it.

    Warns
    -----
    UserWarning
        If the suffix of the path is that of another format, such as pickle's.

    Raises
    ------
    OSError
        If the file cannot be written, or path is a folder, a device or a pipe. An existing file is then unchanged.

    See Also
    --------
    fastmlp.load : Read the file.

    Examples
    --------
    >>> import fastmlp, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, f"{folder}/net.safetensors")
    ...     same = fastmlp.load(f"{folder}/net.safetensors")
    >>> bool((same.params == net.params).all())
    True
    """
    from safetensors.numpy import save as to_bytes

    if (name := Path(os.fsdecode(path))).suffix.lower() in OTHER_FORMATS:
        warn_user(f"{name.name!r} has the safetensors format, whatever its name says: read it with fastmlp.load.")
    table = None if net.preprocessing is None else net.preprocessing.to_dict()
    classes = (estimator or {}).get("classes")
    has_dates = classes is not None and np.dtype(classes["dtype"]).kind in DATES
    description = {"format": 2 if has_dates else 1, "settings": net.get_settings(), "preprocessing": table}
    if own := net.network.own_formulas():
        description["own_formulas"] = own
    description["random"] = {"seed": net.seed, "fits": net.fits}
    if estimator is not None:
        description["estimator"] = estimator
    arrays = {name: np.ascontiguousarray(array) for name, array in net.get_arrays().items()}
    if (history := getattr(net, "history", None)) is not None:
        description["history"] = {name: getattr(history, name) for name in HISTORY}
        arrays |= {f"{PREFIX}{name}": values.copy() for name, values in _records(history).items()}
    if (result := getattr(net, "result", None)) is not None:
        description["result"] = {name: getattr(result, name) for name in RESULT}
        arrays |= {f"{RESULT_PREFIX}{name}": np.ascontiguousarray(array) for name, array in result.arrays().items()}
    description["version"] = package_version()
    description["checksum"] = checksum(description, arrays)
    write_bytes(path, to_bytes(arrays, {KEY: json.dumps(description, allow_nan=False)}))


@cache
def package_version() -> str:
    """Return the version of this package, which is written to files."""
    from .. import __version__

    return __version__


def checksum(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Return the checksum of a file: over the description without its checksum, and the arrays' names, dtypes, shapes
    and values.
    """
    content = {name: value for name, value in description.items() if name != "checksum"}
    digest = hashlib.blake2b(digest_size=32)
    digest.update(json.dumps(json.loads(json.dumps(content)), allow_nan=False).encode())  # as load reads it
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return f"blake2b:{digest.hexdigest()}"


def _records(history: History) -> dict[str, np.ndarray]:
    """Return all records of a history by the names of their arrays in a file, without the prefix."""
    records = {name: getattr(history, name) for name in RECORDS}
    for group in METRIC_RECORDS:
        records |= {f"{group}.{name}": values for name, values in getattr(history, group).items()}
    return {name: values for name, values in records.items() if values is not None}
