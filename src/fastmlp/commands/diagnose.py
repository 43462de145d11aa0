"""The command `fastmlp diagnose`: a verdict on a saved net, from the table that the net was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..diagnosis.diagnose import diagnose
from ..diagnosis.result import Diagnosis
from ..errors import counted
from ..loading import load_net
from ..streams.table_sources import read_tables
from ..tables.target import rows_with_target
from .training_split import NetSamples, samples_to_diagnose, training_split


def run(model: Path, file: Path, target: str | None, as_json: bool) -> str:
    """Return the verdict on a saved net or population, as text to print or as JSON.

    The history or result stored with it and the rows that its training held out are taken into account.

    model : file of the net or population
    file : CSV or Parquet file with the samples
    target : name of the target column; None if the net knows it
    as_json : whether to return JSON instead of text

    Raises
    ------
    ValueError
        If the table has no such target column, or does not fit the net.
    """
    net = load_net(model)
    X, y = samples_of(net, file, target)
    found = diagnosis_of(net, training_split(net, X, y), y)
    return json.dumps(found.to_dict(), indent=2) if as_json else str(found)


def diagnosis_of(net: Any, samples: NetSamples, y: np.ndarray) -> Any:
    """Return the diagnosis of a net or population on the samples of a table; y : targets of the whole table"""
    samples, history = samples_to_diagnose(net, samples, y)
    parts = samples.of_all
    found = diagnose(net, *next(iter(parts.values())), history=history, validation_data=parts.get("validation"))
    if samples.is_thinned and isinstance(found, Diagnosis):
        used = " and ".join(counted(len(part), f"{name} row".strip()) for name, (part, _) in parts.items())
        found = replace(found, judged_on=f"{used} of {len(y):,}, of each class as many as its weight asks for")
    return found


def samples_of(net: Any, file: Path, target: str | None) -> tuple[Any, np.ndarray]:
    """Return (X, y) of a table, encoded by the net's own preprocessing if the net has one."""
    preprocessing = net.preprocessing
    if preprocessing is not None:
        if target is not None and target != preprocessing.target.name:
            raise ValueError(
                f"The net was trained to predict {preprocessing.target.name!r}, not {target!r}: leave --target out."
            )
        table = read_tables(file, preprocessing.text_columns)
        table, _ = rows_with_target(table, preprocessing.target.name, preprocessing.target.task)
        return preprocessing.transform(table), preprocessing.target.encode(table[preprocessing.target.name])
    if target is None:
        raise ValueError("The net knows no table columns, so the column of its targets must be named: add --target.")
    table, _ = rows_with_target(read_tables(file), target)
    X = table.drop(columns=target)
    text = [name for name in X.columns if X[name].dtype.kind not in "biuf"]
    if text:
        raise ValueError(
            f"The net takes numbers, but the column {text[0]!r} of the table holds text: encode or drop it."
        )
    n_features = net.network.n_features
    if X.shape[1] != n_features:
        raise ValueError(
            f"The net has {counted(n_features, 'input')}, but the table has {counted(X.shape[1], 'column')} besides "
            f"{target!r}."
        )
    return X.to_numpy(np.float64), table[target].to_numpy()
