"""Table of metrics that `fastmlp train` prints: the net and a baseline, for each part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..class_probabilities import outputs_of
from ..tables.metrics import classification_metrics, regression_metrics
from ..tables.target import CLASSIFICATION, Target

if TYPE_CHECKING:
    from rich.console import Console


class PartMetrics(NamedTuple):
    """Metrics of the net and of the baseline on the rows of one part of the data."""

    part: str
    n_rows: int
    net: dict[str, float]
    baseline: dict[str, float]


def evaluate(
    target: Target, y: np.ndarray, outputs: np.ndarray, by_class: np.ndarray | None = None
) -> dict[str, float]:
    """Return metrics in the units of the target column.

    target : encoder of the target column
    y : encoded targets, one row per sample
    outputs : (n_rows, n_outputs), outputs of the net, or probabilities of the classes
    by_class : (n_classes,) weight of each class, for weighted metrics, or None
    """
    if target.task != CLASSIFICATION:
        return regression_metrics(target.decode(y)["prediction"], target.decode(outputs)["prediction"])
    if by_class is None:
        return classification_metrics(y, outputs)
    figures = classification_metrics(y, outputs, by_class[y])
    return {name if name == "ROC AUC" else f"weighted {name}": value for name, value in figures.items()}


def baseline_outputs(
    target: Target, training_y: np.ndarray, n_rows: int, by_class: np.ndarray | None = None
) -> np.ndarray:
    """Return the outputs of the baseline, (n_rows, n_outputs), equal in all rows.

    For classification, they are the frequencies of the classes in the training part, weighted if there are weights of
    classes; for regression, the mean of the training part.
    """
    if target.task == CLASSIFICATION:
        weights = None if by_class is None else by_class[training_y]
        counts = np.bincount(training_y, weights, minlength=target.n_outputs)
        row = counts / counts.sum()
    else:
        row = training_y.mean(axis=0)
    return np.tile(row, (n_rows, 1))


def measure_parts(
    net: Any,
    target: Target,
    encoded: dict[str, tuple[np.ndarray, np.ndarray]],
    outputs_by_part: Mapping[str, np.ndarray] = {},  # it is only read
    by_class: np.ndarray | None = None,
) -> list[PartMetrics]:
    """Return the metrics of each part. The training part is measured only if no other part exists.

    net : MLP or Population
    outputs_by_part : outputs of the parts that the net is not to predict, by name
    by_class : (n_classes,) weights of the classes with which the net was trained, or None
    """
    shown = [name for name in encoded if name != "training"] or ["training"]
    training_y, metrics = encoded["training"][1], []
    for name in shown:
        X, y = encoded[name]
        baseline = evaluate(target, y, baseline_outputs(target, training_y, len(y), by_class), by_class)
        outputs = outputs_by_part[name] if name in outputs_by_part else outputs_of(net, target, X)
        metrics.append(PartMetrics(name, len(y), evaluate(target, y, outputs, by_class), baseline))
    return metrics


def print_metrics(metrics: list[PartMetrics], console: Console) -> None:
    """Print the table: two rows for each part, one for the net and one for the baseline."""
    from rich.table import Table

    grid = Table("part", "rows", *metrics[0].net)
    for part in metrics:
        for name, figures in ((part.part, part.net), ("baseline", part.baseline)):
            grid.add_row(name, f"{part.n_rows:,}", *map(_shown, figures.values()))
    console.print(grid)


def _shown(value: float) -> str:
    """Format with four decimals, or with one from 1,000 on: 0.8572, 61,766.1."""
    return f"{value:.4f}" if not abs(value) >= 1000 else f"{value:,.1f}"


def baseline_sentences(
    metrics: list[PartMetrics], target: Target, training_y: np.ndarray, by_class: np.ndarray | None = None
) -> list[str]:
    """Return sentences for the user: what the baseline predicts, and a warning for each part where it is not beaten.

    metrics : list of PartMetrics, from measure_parts
    target : encoder of the target column
    training_y : encoded targets of the training part
    by_class : as for measure_parts
    """
    if target.task == CLASSIFICATION:
        answer = repr(target.classes[int(baseline_outputs(target, training_y, 1, by_class)[0].argmax())])
        frequent = "the most frequent class of the training part"
        sentences = [
            f"The baseline always answers {answer}, {frequent if by_class is None else 'a class of most weight'}, with "
            "each class's share there as its probability."
        ]
    else:
        sentences = [f"The baseline always answers {target.mean:.6g}, the mean of the training part."]
    if by_class is not None:
        sentences.append("In all figures but ROC AUC a row counts with the weight of its class.")
    return sentences + [text for part in metrics if (text := _verdict(part, target))]


def _verdict(part: PartMetrics, target: Target) -> str:
    """Return a sentence on a part where the net does not beat the baseline, which says only what was compared."""
    net, baseline = part.net, part.baseline
    names, digits = ([*net][:2], ".4f") if target.task == CLASSIFICATION else (["RMSE"], ".4g")  # weighted or not
    figures = ", ".join(f"{name} {net[name]:{digits}} against {baseline[name]:{digits}}" for name in names)
    is_better = net[names[0]] > baseline[names[0]] if target.task == CLASSIFICATION else False
    probabilities_better = net[names[-1]] < baseline[names[-1]]
    if probabilities_better and (is_better or target.task != CLASSIFICATION):
        return ""
    if probabilities_better:
        return (
            f"On the {part.part} part the net's answers are no better than the baseline's, though its probabilities "
            f"are: {figures}. Rank rows by the probability of the class that matters."
        )
    if is_better:
        return (
            f"On the {part.part} part the net's probabilities are worse than the baseline's, though its answers are "
            f"better: {figures}. It may be too sure of itself: more --dropout or fewer --epochs may help."
        )
    remedy = "`fastmlp diagnose` looks for what keeps a net from learning."
    return f"On the {part.part} part the net is no better than the baseline: {figures}. {remedy}"
