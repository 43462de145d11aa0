"""Serialization of fitted tabular estimators to JSON, stored in the description of a net's file. No pickle.

The rest of the file is the same as `fastmlp train` writes, so `fastmlp predict` reads the files of both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import counted
from ..interface.user_warnings import warn_user
from ..persistence.saved_net import DATES
from ..tables.features import column_from_dict
from ..tables.target import CLASSIFICATION

PLAIN = (bool, int, float, str, type(None))
LABELS = "biufUO" + DATES  # for class labels: bool, numbers, text and dates
# Attributes of fitted estimators other than the classes, with the types that a file may hold.
FITTED: dict[str, tuple[type, ...]] = {
    "n_features_in_": (int,),
    "n_outputs_": (int,),
    "n_iter_": (int,),
    "loss_curve_": (list,),
    "validation_loss_curve_": (list, type(None)),
    "temperature_": (float,),
    "_is_multilabel": (bool,),
}
ARRAYS = ("_mean", "_std")
# Records of the training, which predictions do not need: versions before 0.3 pass over them.
RECORDS = "best_settings_", "tuning_results_"


def description_of(estimator: Any) -> dict[str, Any]:
    """Return a JSON description of a fitted estimator; `restored` rebuilds the estimator from it and the saved net.

    Parameters that JSON cannot express, such as functions, are left out with a warning.

    Raises
    ------
    ValueError
        If the classes are neither text nor numbers nor dates.
    """
    attributes = vars(estimator)
    classes = {"classes": _labels(attributes["classes_"])} if "classes_" in attributes else {}
    params, left_out = {}, []
    for name, value in estimator.get_params(deep=False).items():
        try:
            params[name] = _to_json(value)
        except TypeError:
            left_out.append(f"{name}={value!r}")
    if left_out:
        warn_user(f"{' and '.join(left_out)} cannot be written to a file; after loading, the default stands there.")
    description = {
        **classes,
        "class": type(estimator).__name__,
        "params": params,
        "records": {name: _to_json(attributes[name]) for name in RECORDS if attributes.get(name) is not None},
        "fitted": {name: attributes[name] for name in FITTED if name in attributes},
        "arrays": {name: np.asarray(attributes[name]).tolist() for name in ARRAYS if attributes.get(name) is not None},
        "names": list(estimator._names),
        "has_names": "feature_names_in_" in attributes,
        "notes": list(estimator.notes_),
        "takes_more_columns": estimator._takes_more_columns,
    }
    if estimator.net_.preprocessing is None:  # of several targets, since a preprocessing has a single one
        description["columns"] = [column.to_dict() for column in estimator.columns_]
    return description


def _labels(classes: np.ndarray) -> dict[str, Any]:
    if classes.dtype.kind in DATES:
        return {"dtype": classes.dtype.str, "labels": classes.astype(np.int64).tolist()}
    if classes.dtype.kind not in LABELS or not all(isinstance(label, PLAIN) for label in classes.tolist()):
        raise ValueError(
            f"Classes can be saved if they are text, true or false, numbers or NumPy's dates; they hold {classes[0]!r}."
        )
    return {"dtype": classes.dtype.str, "labels": classes.tolist()}


def restored(net: Any, description: dict[str, Any], classes: dict[str, Any]) -> Any:
    """Return the fitted estimator, from a loaded net and the description that `description_of` returned.

    Parameters and records that estimators do not have, such as those of earlier versions, are passed over.

    net : MLP or Population
    classes : the tabular estimator classes, by name

    Raises
    ------
    AttributeError, KeyError, TypeError, ValueError
        If the description is damaged.
    """
    kind = classes[description["class"]]
    params, names = description["params"], set(kind._get_param_names())
    estimator: Any = kind(**{name: _from_json(params[name]) for name in names & params.keys()})
    for name, value in description.get("records", {}).items():  # older files have none
        if name in RECORDS:
            setattr(estimator, name, _from_json(value))
    for name, value in description["fitted"].items():
        if not isinstance(value, FITTED[name]):
            raise ValueError(f"its estimator has the {name} {value!r}")
        setattr(estimator, name, value)
    for name, values in description["arrays"].items():
        if name not in ARRAYS:
            raise ValueError(f"its estimator has an unknown array {name!r}")
        setattr(estimator, name, np.array(values, np.float64))
    columns = [str(name) for name in description["names"]]
    if len(columns) != estimator.n_features_in_ or estimator.n_outputs_ < 1:
        raise ValueError(
            f"its estimator has {counted(len(columns), 'name')} for {counted(estimator.n_features_in_, 'column')}"
        )
    estimator._names = columns
    if description["has_names"]:
        estimator.feature_names_in_ = np.array(columns, dtype=object)
    estimator.notes_ = tuple(map(str, description["notes"]))
    estimator._takes_more_columns = bool(description.get("takes_more_columns", False))  # older files lack it
    if net.preprocessing is not None:
        estimator.columns_ = net.preprocessing.columns
    else:
        estimator.columns_ = tuple(column_from_dict(column) for column in description["columns"])
    if "classes" in description:
        dtype = np.dtype(description["classes"]["dtype"])
        if dtype.kind not in LABELS:
            raise ValueError(f"its classes have the dtype {dtype}")
        estimator.classes_ = np.array(description["classes"]["labels"], dtype=dtype)
        if estimator.classes_.shape != (estimator.n_outputs_,):
            raise ValueError(f"its estimator has {len(estimator.classes_)} classes for {estimator.n_outputs_} outputs")
    n_features = sum(len(column.feature_names) for column in estimator.columns_)
    if (n_features, estimator.n_outputs_) != (net.network.n_features, net.network.n_outputs):
        raise ValueError(f"its estimator does not fit a net with layers {net.network.layer_sizes}")
    estimator.net_, estimator.history_ = net, getattr(net, "history", None) or getattr(net, "result", None)
    return estimator


def from_table_net(net: Any, classes: dict[str, Any]) -> Any:
    """Return the fitted estimator for nets of `fastmlp train`, which know their columns and their target.

    The estimator has the nets' layers, activation and dropout; its other parameters are the defaults, and
    `history_.settings` says how the net was trained. It takes tables that have further columns, as `fastmlp predict`
    does, because training may have left some out.

    net : MLP or Population with a preprocessing
    classes : the tabular estimator classes, by name
    """
    columns, target = net.preprocessing.columns, net.preprocessing.target
    is_classifier = target.task == CLASSIFICATION
    settings = net.get_settings()
    estimator = classes["TabularMLPClassifier" if is_classifier else "TabularMLPRegressor"](
        tuple(settings["layer_sizes"][1:-1]),
        activation=next(iter(settings["hidden_activation"]), "relu"),
        dropout=float(np.max(net.network.dropout, initial=0.0)),
        n_nets=getattr(net, "n_nets", 1),
    )
    if is_classifier:
        is_plain = len({type(label) for label in target.classes}) == 1
        estimator.classes_ = np.array(target.classes, dtype=None if is_plain else object)
        estimator.temperature_ = target.temperature
    else:
        estimator._mean, estimator._std = np.array(target.mean), np.array(target.std)
    estimator._names = [column.name for column in columns]
    estimator._takes_more_columns = True
    estimator.feature_names_in_ = np.array(estimator._names, dtype=object)
    estimator.n_features_in_, estimator.n_outputs_ = len(columns), target.n_outputs
    estimator.columns_, estimator.notes_ = columns, net.preprocessing.notes
    estimator.net_, estimator.history_ = net, getattr(net, "history", None) or getattr(net, "result", None)
    if getattr(net, "result", None) is not None:
        estimator.n_iter_ = int(net.result.epochs.max())
    elif getattr(net, "history", None) is not None:
        estimator.n_iter_ = net.history.epochs
        estimator.loss_curve_ = net.history.loss.tolist()
        held_out = net.history.validation_loss
        estimator.validation_loss_curve_ = None if held_out is None else held_out.tolist()
    return estimator


def _to_json(value: Any) -> Any:
    """Return a value, such as that of a parameter, in the form that JSON can express.

    Raises TypeError for functions and random generators.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        kind = "tuple" if isinstance(value, tuple) else "list"  # also of subclasses, such as torch.Size
        return {kind: [_to_json(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_to_json(key), _to_json(item)] for key, item in value.items()]}
    raise TypeError(f"{value!r} has no form in JSON")


def _from_json(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_from_json(key): _from_json(item) for key, item in content}
    if kind == "float":
        return float(content)
    kinds = {"list": list, "tuple": tuple, "Size": tuple}  # torch.Size was written by its name before version 0.3
    return kinds[kind](_from_json(item) for item in content)
