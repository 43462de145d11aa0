"""The command `fastmlp report`: a page about a saved net, or about the best of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..class_probabilities import logits, outputs_of, outputs_of_logits
from ..errors import counted
from ..history import History
from ..loading import load_net
from ..mlp import MLP
from ..population import Population
from ..runtime.output_files import check_output
from .diagnose import diagnosis_of
from .metrics_table import evaluate
from .training_split import NetSamples, read_samples, recorded_class_weights, training_split


def report(model: Path, file: Path | None, target: str | None, output: Path | None, device: str) -> Path:
    """Write the HTML report of a saved net, or of the best of several, and return the path of the report.

    model : file of the net or nets
    file : table or .npz file with samples to evaluate the net on, or None
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
    title, note = f"Report on net {best}, the best of {nets.n_nets}", note_of_all(nets, samples, X, y)
    further: dict[str, Any] = {"title": title, "diagnosis": diagnosis.net(best), "note": note}
    write(History(net), output, parts=samples.of_net(best), feature_names=names, **further)
    return output


def note_of_all(nets: Population, samples: NetSamples, X: np.ndarray, y: np.ndarray) -> str:
    """Return sentences for the page about one of several nets: that it is of one, and the figures of all of them.

    samples : of the table X, y, as training_split returns them
    """
    note = f"The verdict and the pictures are of one of {nets.n_nets} nets, whose mean predicts."
    if nets.preprocessing is None:
        return note
    target, by_class = nets.preprocessing.target, recorded_class_weights(nets, y)
    if samples.folds is not None:
        place = "out of fold, each row predicted by the nets that have not seen it"
        outputs = out_of_fold(nets, samples, X)
    else:
        part, (X, y) = list(samples.common.items())[-1]
        place = "on the rows that they held out" if part else "on this table, from which they may have learned"
        outputs = outputs_of(nets, target, X)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluate(target, y, outputs, by_class).items())
    return f"{note} The figures of all nets on {counted(len(y), 'row')}, {place}: {figures}."


def out_of_fold(nets: Population, samples: NetSamples, X: np.ndarray) -> np.ndarray:
    """Return outputs for the rows of the training table, of each by the nets that were trained without its fold."""
    assert samples.folds is not None
    assert nets.preprocessing is not None
    n_each = nets.n_nets // (int(samples.folds.max()) + 1)
    z = np.empty((n_each, len(X), nets.network.n_outputs), nets.dtype)
    for k in range(nets.n_nets):
        rows = np.flatnonzero(samples.folds == k // n_each)
        z[k % n_each, rows] = logits(nets.net(k), X[rows])
    return outputs_of_logits(z, nets.network, nets.preprocessing.target)
