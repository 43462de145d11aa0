"""Metrics of `fit(metrics=...)`: records besides the loss, which hooks/epoch_scores.py computes after each epoch.

A metric is a name in METRICS, a function (y_true, y_pred) -> float or a scorer of scikit-learn. Both arrays have shape
(n_samples, n_outputs): y_true has the targets as the net is trained on them (class numbers as one-hot rows), without
label smoothing, y_pred the outputs as predict returns them. Scorers get class numbers, or numbers. Named metrics but
"roc_auc" weight samples by sample_weight, as the loss does; functions and scorers get no weights. "log_loss" and
"roc_auc" are computed from logits, since outputs round to 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..callbacks import METRIC_SIGNS, MONITORS
from ..data.arrays import on_host
from ..data.targets import unsmoothed
from ..errors import accepts_n_arguments, is_number, shown, unknown_name
from ..kernels.formulas.activations import ActivationRow
from ..kernels.structs import METRIC_ARGMAX, METRIC_NONE, Samples
from ..network.logits import log_sigmoid, log_softmax
from ..network.spec import Network


class MetricSamples(NamedTuple):
    """Samples that a metric is computed on, in host memory."""

    y_true: np.ndarray  # (n_samples, n_outputs), without label smoothing
    weights: np.ndarray | None  # (n_samples,), mean 1
    metric: int  # which outputs count as correct: METRIC_ARGMAX, METRIC_THRESHOLD or METRIC_NONE
    class_threshold: float  # middle of an output's range, the threshold between classes
    output: str  # name of the output activation


Metric = Callable[[MetricSamples, np.ndarray], float]


def _mean(samples: MetricSamples, values: np.ndarray) -> float:
    """Return the weighted mean of values (n_samples, n_outputs) over outputs and samples."""
    means = values.mean(axis=1, dtype=np.float64)
    if samples.weights is not None:
        means = np.where(samples.weights > 0, means, 0.0)  # infinity times 0 is NaN
    return float(np.average(means, weights=samples.weights))


def _squared_error(samples: MetricSamples, y_pred: np.ndarray) -> float:
    return _mean(samples, np.square(y_pred - samples.y_true, dtype=np.float64))


def _absolute_error(samples: MetricSamples, y_pred: np.ndarray) -> float:
    return _mean(samples, np.abs(y_pred - samples.y_true))


def _log_loss(samples: MetricSamples, scores: np.ndarray) -> float:
    """Return the cross-entropy: over exclusive classes, else the mean of the outputs' binary cross-entropies.

    scores : logits of sigmoid or softmax outputs, and outputs of another activation
    """
    y, eps = samples.y_true, np.finfo(scores.dtype).eps
    scores = scores.astype(np.float64)
    if samples.output == "softmax":
        log_p = log_q = log_softmax(scores)
    elif samples.output == "sigmoid":
        log_p, log_q = log_sigmoid(scores), log_sigmoid(-scores)
    else:
        p = scores.clip(eps, 1.0 - eps)
        log_p, log_q = np.log(p), np.log1p(-p)
    if samples.output == "softmax" or (y.shape[1] > 1 and samples.metric == METRIC_ARGMAX):
        return float(np.average(-(y * log_p).sum(axis=1), weights=samples.weights))
    return _mean(samples, -(y * log_p + (1.0 - y) * log_q))


def _accuracy(samples: MetricSamples, y_pred: np.ndarray) -> float:
    y = samples.y_true
    if samples.metric == METRIC_ARGMAX:
        is_correct = (y_pred.argmax(axis=1) == y.argmax(axis=1))[:, None]
    else:
        is_correct = (y_pred > samples.class_threshold) == (y > samples.class_threshold)
    return _mean(samples, is_correct.astype(np.float64))


def _roc_auc(samples: MetricSamples, scores: np.ndarray) -> float:
    """Return the area under the ROC curve of two classes; scores : logits or outputs, as takes_logits says"""
    from ..tables.metrics import roc_auc

    score = scores[:, -1].astype(np.float64)
    if samples.output == "softmax":
        score -= scores[:, 0]
    return roc_auc(samples.y_true[:, -1] > samples.class_threshold, score)


def _r2(samples: MetricSamples, y_pred: np.ndarray) -> float:
    centre = np.average(samples.y_true.astype(np.float64), axis=0, weights=samples.weights)
    spread = _mean(samples, np.square(samples.y_true - centre))
    return 1.0 - _squared_error(samples, y_pred) / spread if spread > 0 else float("nan")


METRICS: dict[str, Metric] = {
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "r2": _r2,
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "roc_auc": _roc_auc,
}
assert METRICS.keys() == METRIC_SIGNS.keys()
MIDDLE = np.linspace(-5.0, 5.0, 101)  # of pre-activations


def saturates(row: ActivationRow) -> bool:
    """Whether an output activation is ascending, and rounds to both ends of its range.

    Outputs near the ends have lost what distinguishes their samples.
    """
    if row.name == "softmax" or not np.isfinite([row.low, row.high]).all():
        return row.name == "softmax"
    with np.errstate(over="ignore"):
        ends = row.value(np.array([-1e9, 1e9], np.float32))
    return np.array_equal(ends, np.array([row.low, row.high], np.float32)) and bool(
        (np.diff(row.value(MIDDLE)) > 0).all()
    )


def takes_logits(metric: Metric, network: Network) -> bool:
    """Return whether a metric is one of the logits of a net, and not of its outputs."""
    row = network.output_row
    return (metric is _log_loss and row.name in ("sigmoid", "softmax")) or (metric is _roc_auc and saturates(row))


def _called(function: Callable[..., float], name: str, samples: MetricSamples, y_pred: np.ndarray) -> float:
    return _checked(name, function(samples.y_true, y_pred))


def _checked(name: str, value: Any) -> float:
    if not is_number(value):
        raise ValueError(f"The metric {name!r} must return a number, but it returned {shown(value)}.")
    return float(value)


def _scored(scorer: Callable[..., float], name: str, samples: MetricSamples, y_pred: np.ndarray) -> float:
    """Return what a scorer of scikit-learn makes of outputs: it gets an estimator that has predicted them."""
    y, outputs = samples.y_true, y_pred
    if samples.metric == METRIC_ARGMAX:
        y = y.argmax(axis=1)
    elif samples.metric != METRIC_NONE:
        y = (y > samples.class_threshold).astype(np.intp)
    y, outputs = (x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x for x in (y, outputs))
    return _checked(name, scorer(_predicted(samples, outputs), outputs, y))


def _predicted(samples: MetricSamples, outputs: np.ndarray) -> Any:
    """Return an estimator of scikit-learn whose predictions are outputs, (n_samples,) or (n_samples, n_outputs)."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    if samples.metric == METRIC_NONE:
        return type("Net", (RegressorMixin, BaseEstimator), {"predict": _method("predict", outputs)})()
    classes: Any  # of several labels, a list, by which scikit-learn knows them
    has_probabilities, p = samples.output in ("sigmoid", "softmax"), outputs
    if samples.metric == METRIC_ARGMAX:
        predicted, classes = outputs.argmax(axis=1), np.arange(outputs.shape[1])
        p = outputs / np.maximum(outputs.sum(axis=1, keepdims=True), np.finfo(outputs.dtype).tiny)
        scores = outputs[:, 1] - outputs[:, 0] if len(classes) == 2 else outputs
    else:
        predicted, scores = (outputs > samples.class_threshold).astype(np.intp), outputs
        classes = np.arange(2) if outputs.ndim == 1 else [np.arange(2)] * outputs.shape[1]
        p = np.stack([1.0 - outputs, outputs], axis=1) if outputs.ndim == 1 else outputs
    answers = {"predict": predicted, "decision_function": scores, **({"predict_proba": p} if has_probabilities else {})}
    methods = {name: _method(name, answer) for name, answer in answers.items()}
    return type("Net", (ClassifierMixin, BaseEstimator), {**methods, "classes_": classes})()


def _method(name: str, answer: np.ndarray) -> Callable[[Any, Any], np.ndarray]:
    def method(self: Any, X: Any) -> np.ndarray:
        return answer

    method.__name__ = name  # scikit-learn reads it
    return method


def _is_scorer(item: Any) -> bool:
    """Whether a callable takes (estimator, X, y), as scorers of scikit-learn do."""
    return callable(item) and not accepts_n_arguments(item, 2) and accepts_n_arguments(item, 3)


def _name_of(item: Any) -> str:
    if isinstance(item, str):
        return item
    function = getattr(item, "_score_func", item)  # of a scorer, which has no name
    sign = "neg_" if getattr(item, "_sign", 1) < 0 else ""
    return sign + getattr(function, "__name__", repr(item))


def as_metrics(value: Any) -> dict[str, Metric]:
    """Return fit's metrics argument as {name: metric}.

    value : a name, a function (y_true, y_pred), a scorer of scikit-learn, a sequence of them, or a dictionary {name:
        one of them}

    Raises
    ------
    ValueError
        If a name is unknown, a function does not take two arguments, or two metrics have the same name.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        metrics = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs = [(_name_of(item), item) for item in metrics]
    metric_by_name: dict[str, Metric] = {}
    for name, item in pairs:
        if isinstance(item, str):
            if item not in METRICS:
                raise unknown_name("metric", item, METRICS)
            metric = METRICS[item]
        elif callable(item) and accepts_n_arguments(item, 2):
            metric = partial(_called, item, name)  # which can be sent to workers
        elif _is_scorer(item):
            metric = partial(_scored, item, name)
        else:
            raise ValueError(
                "metrics must be names, functions (y_true, y_pred) or scorers of scikit-learn, but one of them is "
                f"{item!r}."
            )
        if not isinstance(name, str) or name in metric_by_name or (name in MONITORS and name not in METRICS):
            raise ValueError(
                f"Each metric needs a name of its own, but there is another record {name!r}: give a dictionary "
                "{name: function}."
            )
        metric_by_name[name] = metric
    return metric_by_name


def metric_samples(data: Samples, network: Network) -> MetricSamples:
    y = unsmoothed(on_host(data.Y).reshape(data.n_samples, -1), network)
    low, high = network.output_row.low, network.output_row.high
    class_threshold = (low + high) / 2 if np.isfinite([low, high]).all() else 0.5
    weights = on_host(data.weight).astype(np.float64) if data.has_weights else None
    return MetricSamples(y, weights, data.metric, class_threshold, network.output_row.name)


def check_metrics(metrics: dict[str, Metric], network: Network, data: Samples) -> None:
    """Raise ValueError for a metric that is not defined for the targets and outputs."""
    has_classes, range_ = data.metric != METRIC_NONE, (network.output_row.low, network.output_row.high)
    for name, metric in metrics.items():
        if metric in (_accuracy, _roc_auc) and not has_classes:
            raise ValueError(f"The metric {name!r} needs classes, but the targets are numbers.")
        if metric is _log_loss and (not has_classes or range_ != (0.0, 1.0)):
            raise ValueError(f"The metric {name!r} needs classes, and outputs that are probabilities.")
        is_of_two = network.n_outputs == 1 or (network.n_outputs == 2 and data.metric == METRIC_ARGMAX)
        if metric is _roc_auc and not is_of_two:
            labels = "" if data.metric == METRIC_ARGMAX else " for labels that may occur together"
            raise ValueError(
                f"The metric {name!r} is for two classes, but the net has {network.n_outputs} outputs{labels}."
            )
