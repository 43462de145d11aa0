"""Write a net or population to a file: arrays in the safetensors format, described by JSON in its metadata. The file's
format, and what of a history or result is in it, are defined here; loading.py reads it.

The description has a checksum of itself and of all arrays, so that a file which was damaged is refused, never loaded
with other numbers than were saved.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import write_bytes
from .history import RECORDS, History

if TYPE_CHECKING:
    from .mlp import MLP
    from .population import Population

KEY = "fastmlp"
FORMAT = 1  # raise it when a file written today could no longer be read
# What of the last fit is in the description, and of which types; the records and results are arrays.
HISTORY = {
    "seconds": (int, float), "compile_seconds": (int, float), "best_epoch": (int, type(None)), "stopped_by": (str,),
    "settings": (dict,),
}  # fmt: skip
RESULT = {
    "seconds": (int, float), "compile_seconds": (int, float), "monitor": (str, type(None)), "interrupted": (bool,),
    "judged_by": (str,),
}  # fmt: skip
RANDOM = {"seed": (int,), "fits": (int,)}
METRIC_RECORDS = "metrics", "validation_metrics"  # dictionaries: a tensor is "history.metrics.NAME"
PREFIX, RESULT_PREFIX = "history.", "result."  # of their names


def save(net: MLP | Population, path: str | os.PathLike, estimator: dict[str, Any] | None = None) -> None:
    """Write a net's or population's settings, parameters and table preprocessing to a file, whole or not at all.

    A net's last history goes with it, or a population's last result, what later fits draw at random, the version of
    fastmlp, and a checksum of all of these, by which `load` knows a damaged file. A file that is replaced keeps its
    permissions, and a symbolic link its place: the file it leads to is replaced.

    Raises
    ------
    OSError
        If the file cannot be written, or is a folder, a device or a pipe; one that was there before is then untouched.

    >>> import fastmlp, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     same = fastmlp.load(f"{folder}/net.safetensors")
    >>> bool((same.params == net.params).all())
    True
    """
    from safetensors.numpy import save as to_bytes

    table = None if net.preprocessing is None else net.preprocessing.to_dict()
    description: dict[str, Any] = {"format": FORMAT, "settings": net.get_settings(), "preprocessing": table}
    description["random"] = {"seed": net.seed, "fits": net.fits}
    if estimator is not None:  # what estimators.saving says of the estimator that the net belongs to
        description["estimator"] = estimator
    arrays = {name: np.ascontiguousarray(array) for name, array in net.get_arrays().items()}
    if (history := getattr(net, "history", None)) is not None:
        description["history"] = {name: getattr(history, name) for name in HISTORY}
        arrays |= {f"{PREFIX}{name}": values.copy() for name, values in _records(history).items()}
    if (result := getattr(net, "result", None)) is not None:
        description["result"] = {name: getattr(result, name) for name in RESULT}
        arrays |= {f"{RESULT_PREFIX}{name}": np.ascontiguousarray(array) for name, array in result.arrays().items()}
    description["version"] = written_by()
    description["checksum"] = checksum(description, arrays)
    write_bytes(path, to_bytes(arrays, {KEY: json.dumps(description, allow_nan=False)}))


@cache
def written_by() -> str:
    """The version of this package, as files name it."""
    from . import __version__

    return __version__


def checksum(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Of the description, but for the checksum in it, and of the arrays' names, types, shapes and numbers."""
    own = {name: value for name, value in description.items() if name != "checksum"}
    digest = hashlib.blake2b(digest_size=32)
    digest.update(json.dumps(json.loads(json.dumps(own)), allow_nan=False).encode())  # as it will be read
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return f"blake2b:{digest.hexdigest()}"


def _records(history: History) -> dict[str, np.ndarray]:
    """All records of a history, by the names that they have in a file."""
    found = {name: getattr(history, name) for name in RECORDS}
    for group in METRIC_RECORDS:
        found |= {f"{group}.{name}": values for name, values in getattr(history, group).items()}
    return {name: values for name, values in found.items() if values is not None}
