"""Attributes that a first pass over a source sets, as JSON, so that a row cache can keep them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tables.column_kinds import column_from_dict
from .serialization import LABELS, PLAIN

NUMBERS = {"n_features_in_": int, "n_outputs_": int, "_is_multilabel": bool, "_takes_more_columns": bool}
ARRAYS = ("classes_", "_mean", "_std", "feature_names_in_")
LEARNED = (*NUMBERS, *ARRAYS, "_input_dtype", "_names", "notes_", "columns_")


def learned_by(estimator: Any) -> dict[str, Any]:
    """Return the attributes of an estimator after a first pass, for JSON.

    Raises
    ------
    TypeError
        If a class is neither text nor a number.
    """
    attributes, found = vars(estimator), dict[str, Any]()
    for name in LEARNED:
        if name in attributes:
            found[name] = _as_json(name, attributes[name])
    return found


def take_learned(estimator: Any, found: dict[str, Any]) -> None:
    """Set the attributes that `learned_by` returned, and remove others that an earlier fit has set.

    Raises
    ------
    AttributeError, KeyError, TypeError, ValueError
        If they are none of this version. The estimator is unchanged then.
    """
    values = {name: _from_json(name, value) for name, value in found.items()}
    for name in LEARNED:
        vars(estimator).pop(name, None)
    vars(estimator).update(values)


def _as_json(name: str, value: Any) -> Any:
    if name in NUMBERS:
        return NUMBERS[name](value)
    if name in ARRAYS:
        array = np.asarray(value)
        labels = array.reshape(-1).tolist()
        if array.dtype.kind not in LABELS or not all(isinstance(label, PLAIN) for label in labels):
            raise TypeError(f"{name} has {array.dtype}")
        return {"dtype": array.dtype.str, "shape": array.shape, "values": labels}
    if name == "_input_dtype":
        return value.str
    return [column.to_dict() for column in value] if name == "columns_" else list(map(str, value))


def _from_json(name: str, value: Any) -> Any:
    if name in NUMBERS:
        return NUMBERS[name](value)
    if name in ARRAYS:
        return np.array(value["values"], dtype=np.dtype(value["dtype"])).reshape(value["shape"])
    if name == "_input_dtype":
        return np.dtype(value)
    if name == "columns_":
        return tuple(map(column_from_dict, value))
    if name not in LEARNED:
        raise KeyError(name)
    return list(value) if name == "_names" else tuple(value)
