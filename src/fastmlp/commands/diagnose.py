"""The commands `fastmlp diagnose` and `fastmlp report`: a verdict on a saved net, and a page about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..diagnosis.diagnose import diagnose
from ..errors import counted
from ..history import History
from ..loading import load_net
from ..mlp import MLP
from ..runtime.output_files import check_output
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
    diagnosis = diagnosis_of(net, training_split(net, X, y))
    return json.dumps(diagnosis.to_dict(), indent=2) if as_json else str(diagnosis)


def diagnosis_of(net: Any, samples: NetSamples) -> Any:
    """Return the diagnosis of a net or population on the samples of a table."""
    history, parts = net.history if isinstance(net, MLP) else net.result, samples.of_all
    return diagnose(net, *next(iter(parts.values())), history=history, validation_data=parts.get("validation"))


def report(model: Path, file: Path | None, target: str | None, output: Path | None, device: str) -> Path:
    """Write the HTML report of a saved net, or of the best of several, and return the path of the report.

    model : file of the net or nets
    file : table with samples to evaluate the net on, or None
    target : name of the target column; None if the net knows it
    output : path of the report; None for the name of the net with the ending .html
    device : where to compute
    """
    from ..report import write

    output = model.with_suffix(".html") if output is None else output
    check_output(output, model, file)
    net: Any = load_net(model, device=device)
    if not isinstance(net, MLP) and net.result is None:
        raise ValueError(
            f"{str(model)!r} holds {counted(net.n_nets, 'net')} without the record of a fit, so that none is known to "
            "be the best. Train them, and save them again."
        )
    if file is None:
        if isinstance(net, MLP):
            write(net.history or History(net), output)
            return output
        raise ValueError(
            f"{str(model)!r} holds {counted(net.n_nets, 'net')}, and a report on the best of them needs a table: "
            f"fastmlp report {model} TABLE."
        )
    X, y, names = read_samples(net, file, target)
    samples = training_split(net, X, y)
    diagnosis = diagnosis_of(net, samples)
    if isinstance(net, MLP):
        write(net.history or History(net), output, parts=samples.common, feature_names=names, diagnosis=diagnosis)
        return output
    best, nets = net.result.best, net
    net = nets.best()
    net.preprocessing = nets.preprocessing
    further: dict[str, Any] = {
        "title": f"Report on net {best}, the best of {nets.n_nets}",
        "note": f"The verdict, the figures and the pictures are of one of {nets.n_nets} nets, whose mean predicts.",
        "diagnosis": diagnosis.net(best),
    }
    write(History(net), output, parts=samples.of_net(best), feature_names=names, **further)
    return output
