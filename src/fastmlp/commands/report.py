"""The command `fastmlp report`: a page about a saved net, or about the best of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import counted
from ..history import History
from ..loading import load_net
from ..mlp import MLP
from ..runtime.output_files import check_output
from .diagnose import diagnosis_of
from .training_split import read_samples, training_split


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
