"""Table of metrics that `fastmlp train` prints: the net and a baseline, for each part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..class_probabilities import outputs_of
from ..tables.metrics import classification_metrics, regression_metrics
from ..tables.target_encoder import CLASSIFICATION, Target

if TYPE_CHECKING:
    from rich.console import Console


class PartMetrics(NamedTuple):
    """Metrics of the net and of the baseline on the rows of one part of the data."""

    part: str
    n_rows: int
    net: dict[str, float]
    baseline: dict[str, float]


def evaluate(target: Target, y: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Return metrics in the units of the target column.

    target : encoder of the target column
    y : encoded targets, one row per sample
    outputs : (n_rows, n_outputs), outputs of the net, or probabilities of the classes
    """
    if target.task == CLASSIFICATION:
        return classification_metrics(y, outputs)
    return regression_metrics(target.decode(y)["prediction"], target.decode(outputs)["prediction"])


def baseline_outputs(target: Target, training_y: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the outputs of the baseline, (n_rows, n_outputs), equal in all rows.

    For classification, they are the frequencies of the classes in the training part; for regression, the mean of the
    training part.
    """
    if target.task == CLASSIFICATION:
        row = np.bincount(training_y, minlength=target.n_outputs) / len(training_y)
    else:
        row = training_y.mean(axis=0)
    return np.tile(row, (n_rows, 1))


def measure_parts(
    net: Any,
    target: Target,
    encoded: dict[str, tuple[np.ndarray, np.ndarray]],
    known: Mapping[str, np.ndarray] = {},  # it is only read
) -> list[PartMetrics]:
    """Return the metrics of each part. The training part is measured only if no other part exists.

    net : MLP or Population
    known : outputs of the parts that the net is not to predict, by name
    """
    shown = [name for name in encoded if name != "training"] or ["training"]
    training_y, found = encoded["training"][1], []
    for name in shown:
        X, y = encoded[name]
        baseline = evaluate(target, y, baseline_outputs(target, training_y, len(y)))
        outputs = known[name] if name in known else outputs_of(net, target, X)
        found.append(PartMetrics(name, len(y), evaluate(target, y, outputs), baseline))
    return found


def print_metrics(found: list[PartMetrics], console: Console) -> None:
    """Print the table: two rows for each part, one for the net and one for the baseline."""
    from rich.table import Table

    grid = Table("part", "rows", *found[0].net)
    for part in found:
        for name, figures in ((part.part, part.net), ("baseline", part.baseline)):
            grid.add_row(name, f"{part.n_rows:,}", *map(_shown, figures.values()))
    console.print(grid)


def _shown(value: float) -> str:
    """Format with four decimals, or with one from 1,000 on: 0.8572, 61,766.1."""
    return f"{value:.4f}" if not abs(value) >= 1000 else f"{value:,.1f}"


def baseline_sentences(found: list[PartMetrics], target: Target, training_y: np.ndarray) -> list[str]:
    """Return sentences for the user: what the baseline predicts, and a warning for each part where it is not beaten.

    found : metrics of the parts, from measure_parts
    target : encoder of the target column
    training_y : encoded targets of the training part
    """
    if target.task == CLASSIFICATION:
        answer = repr(target.classes[int(np.bincount(training_y).argmax())])
        sentences = [
            f"The baseline always answers {answer}, the most frequent class of the training part, with each class's "
            "share there as its probability."
        ]
    else:
        sentences = [f"The baseline always answers {target.mean:.6g}, the mean of the training part."]
    return sentences + [text for part in found if (text := _verdict(part, target))]


def _verdict(part: PartMetrics, target: Target) -> str:
    net, baseline = part.net, part.baseline
    remedy = (
        "`fastmlp diagnose` says what keeps a net from learning; else the columns may say nothing about "
        f"{target.name!r}."
    )
    if target.task != CLASSIFICATION:
        if net["RMSE"] < baseline["RMSE"]:
            return ""
        return (
            f"On the {part.part} part the net is no better than the baseline: RMSE {net['RMSE']:.4g} against "
            f"{baseline['RMSE']:.4g}. {remedy}"
        )
    more_right, surer = net["accuracy"] > baseline["accuracy"], net["log loss"] < baseline["log loss"]
    accuracies = f"accuracy {net['accuracy']:.4f} against {baseline['accuracy']:.4f}"
    losses = f"log loss {net['log loss']:.4f} against {baseline['log loss']:.4f}"
    if more_right and surer:
        return ""
    if surer:
        return (
            f"On the {part.part} part the net's answers are no better than the baseline's ({accuracies}), though its "
            f"probabilities are ({losses}): rank rows by the probability of the class that matters."
        )
    if more_right:
        return (
            f"On the {part.part} part the net's probabilities are worse than the baseline's ({losses}), though its "
            f"answers are better ({accuracies}): it is too sure of itself; more --dropout or fewer --epochs help."
        )
    return f"On the {part.part} part the net is no better than the baseline: {accuracies}, {losses}. {remedy}"
