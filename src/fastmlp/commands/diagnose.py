"""The command `fastmlp diagnose`: a verdict on a saved net, from the table that the net was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..diagnosis.diagnose import diagnose
from ..loading import load_net
from ..mlp import MLP
from .training_split import NetSamples, read_samples, training_split


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
    X, y, _ = read_samples(net, file, target)
    found = diagnosis_of(net, training_split(net, X, y))
    return json.dumps(found.to_dict(), indent=2) if as_json else str(found)


def diagnosis_of(net: Any, samples: NetSamples) -> Any:
    """Return the diagnosis of a net or population on the samples of a table."""
    history, parts = net.history if isinstance(net, MLP) else net.result, samples.of_all
    return diagnose(net, *next(iter(parts.values())), history=history, validation_data=parts.get("validation"))
