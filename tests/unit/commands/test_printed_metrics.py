"""Metrics of a trained net, printed with those of a baseline."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.commands.printed_metrics import (
    PartMetrics,
    baseline_outputs,
    baseline_sentences,
    measure_parts,
    print_metrics,
)
from fastmlp.tables.target import Target

CLASSES = Target("label", "classification", classes=("no", "yes"))
PRICE = Target("price", "regression", mean=10.0, std=2.0)


def test_baseline_of_a_classification_is_the_class_shares_in_training():
    outputs = baseline_outputs(CLASSES, np.array([0, 0, 0, 1]), 2)
    np.testing.assert_array_equal(outputs, [[0.75, 0.25]] * 2)


def test_baseline_of_a_regression_is_the_training_mean():
    np.testing.assert_array_equal(baseline_outputs(PRICE, np.array([[-1.0], [2.0]]), 3), [[0.5]] * 3)


class Rows(MLP):
    """A net that returns given outputs, or given logarithms of probabilities."""

    def __init__(self, rows, loss):
        super().__init__((1, rows.shape[1]), loss=loss)
        self.rows = rows

    def predict(self, X):
        return self.rows


def net_of(outputs, target):
    if target.task == "classification":
        return Rows(np.log(outputs), "softmax_cross_entropy")
    return Rows(outputs, "squared_error")


def measured(target, outputs, y, training_y):
    net = net_of(np.asarray(outputs), target)
    parts = {"training": (None, training_y), "validation": (np.zeros((len(y), 1)), y)}
    return measure_parts(net, target, parts)


def test_metrics_of_net_and_baseline_worked_by_hand():
    """The baseline answers "no" in every row, with probability 3/4."""
    outputs = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    (part,) = measured(CLASSES, outputs, np.array([0, 1, 1]), np.array([0, 0, 0, 1]))
    assert (part.part, part.n_rows) == ("validation", 3)
    assert part.net["accuracy"] == pytest.approx(2 / 3)
    assert part.baseline["accuracy"] == pytest.approx(1 / 3)
    assert part.baseline["log loss"] == pytest.approx(-(np.log(0.75) + 2 * np.log(0.25)) / 3)
    assert part.baseline["ROC AUC"] == 0.5
    (part,) = measured(PRICE, [[0.0], [1.0]], np.array([[0.0], [2.0]]), np.array([[-1.0], [1.0]]))
    assert part.baseline["RMSE"] == pytest.approx(np.sqrt(8.0)), "RMSE is in units of the target"
    assert part.net["RMSE"] == pytest.approx(np.sqrt(2.0))


def test_training_part_is_measured_if_there_is_no_other():
    net = net_of(np.array([[1.0, 1e-30]]), CLASSES)
    (part,) = measure_parts(net, CLASSES, {"training": (np.zeros((1, 1)), np.array([0]))})
    assert part.part == "training"


def test_metrics_are_printed_with_the_baseline_below():
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    figures = {"RMSE": 1.0, "MAE": 0.5, "R2": 0.9}
    print_metrics([PartMetrics("test", 1200, figures, {**figures, "RMSE": 61766.1376})], console)
    rows = [line.split("│")[1:-1] for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[:3]] for row in rows] == [
        ["test", "1,200", "1.0000"],
        ["baseline", "1,200", "61,766.1"],
    ]


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ({"accuracy": 0.9, "log loss": 0.2}, None),
        ({"accuracy": 0.8, "log loss": 0.6}, "is no better than the baseline: accuracy 0.8000 against 0.8000, log"),
        ({"accuracy": 0.8, "log loss": 0.3}, "answers are no better than the baseline's, though its"),
        ({"accuracy": 0.9, "log loss": 0.7}, "log loss 0.7000 against 0.5000"),
    ],
)
def test_classifier_no_better_than_the_baseline_is_reported(net, words):
    found = [PartMetrics("test", 10, net, {"accuracy": 0.8, "log loss": 0.5})]
    sentences = baseline_sentences(found, CLASSES, np.array([0, 0, 1]))
    assert sentences[0].startswith("The baseline always answers 'no', the most frequent class of the training part")
    assert len(sentences) == (1 if words is None else 2)
    assert words is None or words in sentences[1]


def test_regression_no_better_than_the_mean_is_reported():
    baseline = {"RMSE": 2.0}
    say = lambda rmse: baseline_sentences([PartMetrics("test", 10, {"RMSE": rmse}, baseline)], PRICE, np.zeros((3, 1)))
    assert say(1.0) == ["The baseline always answers 10, the mean of the training part."]
    assert "On the test part the net is no better than the baseline: RMSE 2 against 2" in say(2.0)[1]
    assert "no better" in say(float("nan"))[1]


def test_with_class_weights_the_baseline_answers_by_weighted_shares():
    figures, baseline = ({"weighted accuracy": a, "weighted log loss": b} for a, b in ((0.4, 0.9), (0.5, 0.69)))
    found = [PartMetrics("test", 10, figures, baseline)]
    first, second, third = baseline_sentences(found, CLASSES, np.array([0, 0, 0, 1]), np.array([1.0, 4.0]))
    assert "always answers 'yes', a class of most weight" in first
    assert "a row counts with the weight of its class" in second
    assert "no better than the baseline: weighted accuracy 0.4000 against 0.5000" in third


def test_weighted_figures_worked_by_hand():
    outputs, y = np.array([[0.8, 0.2], [0.4, 0.6], [0.6, 0.4]]), np.array([0, 0, 1])
    parts = {"training": (None, np.array([0, 0, 0, 1])), "validation": (np.zeros((3, 1)), y)}
    (part,) = measure_parts(net_of(outputs, CLASSES), CLASSES, parts, by_class=np.array([1.0, 3.0]))
    assert part.net["weighted accuracy"] == pytest.approx(1 / 5)
    assert part.net["weighted log loss"] == pytest.approx(-(np.log(0.8) + np.log(0.4) + 3 * np.log(0.4)) / 5)
    assert part.baseline["weighted log loss"] == pytest.approx(np.log(2.0)), "3 rows of weight 1, and one of weight 3"
