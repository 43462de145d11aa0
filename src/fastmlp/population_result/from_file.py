"""A PopulationResult from the arrays of a file, which are checked."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from . import PopulationResult
from .stopped_by import STOPPED_BY

# Dtype kinds of the arrays that are not floating-point, and the arrays that not every result has.
KINDS = {"converged": "b", "epochs": "iu", "best_epoch": "iu", "restarts": "iu", "status": "iu", "record_epochs": "iu"}
OPTIONAL = {"accuracy", "best_value", "best_epoch"}


def result_from_arrays(arrays: dict[str, np.ndarray], n_nets: int, **other_fields: Any) -> PopulationResult:
    """Return the result of n_nets nets, of the arrays that PopulationResult.arrays returned, and of its other fields.

    Arrays with unknown names are ignored, since files of a later version may have more of them.

    Raises
    ------
    ValueError
        If an array is missing, or has values, a shape or a dtype that no result of n_nets nets has.
    """
    contents: dict[str, Any] = {**dict.fromkeys(OPTIONAL), "settings": {}, **other_fields}
    required = {field.name for field in fields(PopulationResult) if field.default is field.default_factory is MISSING}
    known = required - contents.keys() | OPTIONAL
    for name, values in arrays.items():
        setting = name.removeprefix("settings.")
        if setting != name:
            contents["settings"][setting] = _checked_array(name, values, (n_nets,))
        elif name in known:
            n_records = arrays["record_epochs"].size if "record_epochs" in arrays else 0
            shapes = {"record_epochs": (n_records,), "records": (n_records, n_nets)}
            contents[name] = _checked_array(name, values, shapes.get(name, (n_nets,)))
    if contents["best_epoch"] is not None:  # files count epochs from 1, and 0 is none
        contents["best_epoch"] = np.maximum(contents["best_epoch"], 0) - 1
    if missing := sorted(known - contents.keys()):
        raise ValueError(f"its result lacks {', '.join(missing)}")
    if not np.isin(contents["status"], list(STOPPED_BY)).all():
        raise ValueError("its result holds an unknown status")
    if len({contents[name] is None for name in ("monitor", "best_value", "best_epoch")}) > 1:
        raise ValueError("its result names a monitored record without its values, or has values without a name")
    return PopulationResult(**contents)


def _checked_array(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    kinds = "biuf" if name.startswith("settings.") else KINDS.get(name, "f")
    if values.shape != shape or values.dtype.kind not in kinds:
        raise ValueError(f"its result holds {values.dtype} {values.shape} as {name}")
    return values
