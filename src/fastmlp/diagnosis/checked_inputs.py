"""Input validation of a diagnosis. Unlike in fit, broken data are accepted, and their defects are reported."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..data.arrays import as_numbers
from ..errors import counted
from ..kernels.formulas.activations import ACTIVATIONS
from ..tables.target import are_unknown
from .model_under_test import ModelUnderTest, sample_rows

MAX_ROWS = 4000  # largest number of samples in a diagnosis; they are drawn at random from more
MAX_LABELS = 20  # whole numbers with at most so many distinct values count as labels


class CheckedSamples(NamedTuple):
    """Samples that are ready to be measured.

    X, Y : at most MAX_ROWS rows of inputs and targets, finite, float64
    label_problem : what is wrong with the coding of y, or ""
    bad_data : the first value of X or y that is not finite, in words, or ""
    """

    X: np.ndarray
    Y: np.ndarray
    label_problem: str
    bad_data: str


def as_inputs(X: Any) -> np.ndarray:
    """Return X as numbers (n_samples, n_features)."""
    array = as_numbers(X, "X")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        own = "; nets with samples of their own are diagnosed one by one: diagnose(pop.net(k), X[k], y[k])"
        found = f"it has shape {array.shape}{own if array.ndim == 3 else ''}"
        raise ValueError(f"X must have shape (n_samples, n_features), but {found}.")
    return array


def _first_bad(name: str, array: np.ndarray) -> str:
    bad = ~np.isfinite(array)
    if not bad.any():
        return ""
    index = ", ".join(str(int(k)) for k in np.argwhere(bad)[0])
    rows = int(bad.reshape(len(array), -1).any(axis=1).sum())
    of_rows = f"{rows} of {counted(len(array), 'row')} {'has' if rows == 1 else 'have'} one"
    return f"{name}[{index}] is {array[bad][0]}, the first such value; {of_rows}"


def as_samples(X: Any, y: Any, model: ModelUnderTest, classes: Any) -> CheckedSamples:
    """Return the checked samples for a model under test.

    X : (n_samples, n_features)
    y : labels or targets
    classes : class labels of a scikit-learn classifier, or None

    Raises
    ------
    ValueError
        If the shapes do not match the model, or no row is finite.
    """
    X = as_inputs(X)
    if X.shape[1] != model.layout.layer_sizes[0]:
        raise ValueError(
            f"X has {counted(X.shape[1], 'feature')}, but the net has "
            f"{counted(model.layout.layer_sizes[0], 'input')}: pass the data it was trained on."
        )
    array = as_labels(y, classes)
    if len(array) != len(X):
        raise ValueError(f"y has {counted(len(array), 'sample')}, but X has {len(X)}: they must have the same length.")
    finite_rows = np.isfinite(array).reshape(len(array), -1).all(axis=1) & np.isfinite(X).all(axis=1)
    bad_data = "" if finite_rows.all() else _first_bad("X", X) or _first_bad("y", array)
    if not finite_rows.any():
        raise ValueError(f"No row of X and y is finite: {bad_data}. Impute or drop those values first.")
    Y, problem = as_coded(array[finite_rows], model)
    chosen = sample_rows(len(Y), MAX_ROWS)
    return CheckedSamples(X[finite_rows][chosen].astype(np.float64), Y[chosen], problem, bad_data)


def as_labels(y: Any, classes: Any) -> np.ndarray:
    """Return y as float64, with the labels of a classifier replaced by class indices.

    classes : class labels of a scikit-learn classifier, or None
    """
    raw = np.asarray(y)
    if classes is not None and not isinstance(classes, list) and raw.ndim == 1:
        labels = np.asarray(classes)
        if (unknown := are_unknown(raw, labels)).any():
            label = raw[unknown].tolist()[0]
            raise ValueError(
                f"y holds the label {label!r}, which the classifier does not know: it knows {labels.tolist()!r}."
            )
        return np.searchsorted(labels, raw).astype(np.float64)
    array = as_numbers(y, "y").astype(np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_outputs), but it has shape {array.shape}.")
    return array


def as_coded(y: np.ndarray, model: ModelUnderTest) -> tuple[np.ndarray, str]:
    """Return (targets (n_samples, n_outputs), what is wrong with their coding or "")."""
    k, row = model.n_outputs, model.activations[-1]
    low, high = (row.low, row.high) if np.isfinite([row.low, row.high]).all() else (0.0, 1.0)
    problem = ""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1 and k > 1:
        numbers = np.unique(y)
        if not (numbers == np.round(numbers)).all():
            raise ValueError(
                f"y has shape ({len(y)},), but there are {k} outputs, so it must hold class numbers from 0 to {k - 1}; "
                f"it holds fractions. For real targets pass shape (n_samples, {k})."
            )
        if numbers[0] < 0 or numbers[-1] >= k:
            problem = (
                f"class numbers go from {numbers[0]:g} to {numbers[-1]:g}, but {k} outputs stand for 0 to {k - 1}; use "
                "numpy.unique(y, return_inverse=True)[1]"
            )
            y = np.searchsorted(numbers, y).astype(np.float64) % k
        return np.where(np.arange(k) == y[:, None], high, low), problem
    Y = y[:, None] if y.ndim == 1 else y
    if Y.shape[1] != k:
        raise ValueError(f"y must have shape ({len(Y)}, {k}) or ({len(Y)},), but it has shape {y.shape}.")
    return Y, _coding_problem(Y, model)


def _coding_problem(Y: np.ndarray, model: ModelUnderTest) -> str:
    """Return what is wrong with targets that are labels, given the ranges of output activation and loss, or ""."""
    row, values = model.activations[-1], np.unique(Y)
    low, high = row.low, row.high
    limits = model.loss.targets
    low, high = max(low, limits[0]), min(high, limits[1])
    are_labels = len(values) <= MAX_LABELS and bool((values == np.round(values)).all())
    if model.is_softmax and not np.allclose(Y.sum(axis=1), 1.0, atol=1e-3):
        return "the rows of y are not distributions that sum to 1, which softmax needs; pass class numbers (n_samples,)"
    if row not in ACTIVATIONS or not are_labels or (values[0] >= low and values[-1] <= high):
        return ""
    listed = ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")
    if len(values) == 2:
        if not np.isfinite([low, high]).all():  # of an output without bounds on both sides
            low, high = 0.0, 1.0
        return (
            f"its two values are {listed}, but the output ({row.name}, {model.loss.name}) learns {low:g} and "
            f"{high:g}; use numpy.where(y == {values[1]:g}, {high:g}, {low:g})"
        )
    return (
        f"its {len(values)} values {listed} are labels beyond the output's range [{low:g}, {high:g}] ({row.name}); use "
        "one softmax output per class, or an identity output if they are quantities"
    )
