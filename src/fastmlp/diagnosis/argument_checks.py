"""Input validation of a diagnosis. Unlike in fit, broken data are accepted, and their defects are reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..data.arrays import as_numbers
from ..data.checked_samples import checked_pair
from ..errors import counted
from ..history import History
from ..kernels.formulas.activations import ACTIVATIONS
from ..population_result import PopulationResult
from ..tables.target import are_unknown
from .loss_curves import Curve
from .model_under_test import ModelUnderTest
from .sample_rows import sample_rows

MAX_ROWS = 4000  # largest number of samples in a diagnosis; they are drawn at random from more
MAX_LABELS = 20  # whole numbers with at most so many distinct values count as labels
MODELS = ("PyTorch module", "Keras model")  # own_name of models that do not know their loss


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


def as_inputs(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (X as numbers (n_samples, n_features), bool mask of the rows that are not finite)."""
    array = as_numbers(X, "X")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"X must have shape (n_samples, n_features), but it has shape {array.shape}.")
    if np.isfinite(array.sum(dtype=np.float64)):
        return array, np.zeros(len(array), bool)
    return array, ~np.isfinite(array).all(axis=1)


def _first_bad(name: str, array: np.ndarray) -> str:
    bad = ~np.isfinite(array)
    if not bad.any():
        return ""
    index = ", ".join(str(int(k)) for k in np.argwhere(bad)[0])
    rows = int(bad.reshape(len(array), -1).any(axis=1).sum())
    of_rows = f"{rows} of {counted(len(array), 'row')} {'has' if rows == 1 else 'have'} one"
    return f"{name}[{index}] is {array[bad][0]}, the first such value; {of_rows}"


def as_samples(X: np.ndarray, bad_rows: np.ndarray, y: Any, model: ModelUnderTest, classes: Any) -> CheckedSamples:
    """Return the checked samples for a model under test.

    X : (n_samples, n_features)
    bad_rows : (n_samples,) mask of the rows of X that are not finite
    y : labels or targets
    classes : class labels of a scikit-learn classifier, or None

    Raises
    ------
    ValueError
        If the shapes do not match the model, or no row is finite.
    """
    if X.shape[1] != model.layout.layer_sizes[0]:
        raise ValueError(
            f"X has {counted(X.shape[1], 'feature')}, but the {model.own_name} has "
            f"{counted(model.layout.layer_sizes[0], 'input')}: pass the data it was trained on."
        )
    array = as_labels(y, classes)
    if len(array) != len(X):
        raise ValueError(f"y has {counted(len(array), 'sample')}, but X has {len(X)}: they must have the same length.")
    bad_y = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    bad_data = (_first_bad("X", X) if bad_rows.any() else "") or _first_bad("y", array)
    finite_rows = ~(bad_rows | bad_y)
    if not finite_rows.any():
        raise ValueError(f"No row of X and y is finite: {bad_data}. Impute or drop those values first.")
    Y, problem = as_coded(array[finite_rows], model)
    chosen = sample_rows(len(Y), MAX_ROWS)
    return CheckedSamples(X[finite_rows][chosen].astype(np.float64), Y[chosen], problem, bad_data)


def check_loss_is_known(model: ModelUnderTest, y: Any, loss: Any) -> None:
    """Check that the loss is given for a model of another library that ends without an activation, with labels as y.

    The outputs of such a model are probably logits.

    Raises
    ------
    ValueError
        If the loss is not given.
    """
    labels = np.asarray(y)
    are_labels = labels.dtype.kind in "biu" or (labels.ndim == 1 and model.n_outputs > 1)
    ends_open = model.has_weights and model.activations[-1].name == "identity"
    if loss is None and ends_open and are_labels and model.own_name in MODELS:
        usual = "softmax_cross_entropy" if model.n_outputs > 1 else "binary_cross_entropy"
        raise ValueError(
            f"The {model.own_name} ends without an activation and y holds labels, so its loss must be named: "
            f"loss={usual!r} if the outputs are logits, loss='squared_error' if they are trained as numbers."
        )


def as_labels(y: Any, classes: Any) -> np.ndarray:
    """Return y as float64, with the labels of a classifier replaced by class indices.

    classes : class labels of a scikit-learn classifier, or None
    """
    raw = np.asarray(y)
    if classes is not None and not isinstance(classes, list) and raw.ndim == 1:
        known = np.asarray(classes)
        if (unknown := are_unknown(raw, known)).any():
            label = raw[unknown].tolist()[0]
            raise ValueError(
                f"y holds the label {label!r}, which the classifier does not know: it knows {known.tolist()!r}."
            )
        return np.searchsorted(known, raw).astype(np.float64)
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


def as_validation(validation_data: Any, model: ModelUnderTest, classes: Any) -> tuple[np.ndarray, np.ndarray] | None:
    if validation_data is None:
        return None
    X, y, *_ = checked_pair(validation_data)
    features, bad = as_inputs(X)
    samples = as_samples(features, bad, y, model, classes)
    return samples.X, samples.Y


def validation_per_net(validation_data: Any, model: ModelUnderTest, n_nets: int) -> list[Any]:
    """Return what as_validation does for each of several nets, which may have validation samples of their own."""
    if validation_data is None:
        return [None] * n_nets
    X, y, *_ = checked_pair(validation_data)
    of_nets = data_per_net(X, y, n_nets, model.n_outputs)
    if of_nets is None:
        return [as_validation(validation_data, model, None)] * n_nets
    return [as_validation(pair, model, None) for pair in of_nets]


def data_per_net(X: Any, y: Any, n_nets: int, n_outputs: int) -> Iterable[tuple[Any, Any]] | None:
    """Return (X, y) of each net if X or y has a leading axis of nets, or None if all nets share the data."""
    X_axes, y_array = np.ndim(X), np.asarray(y)
    n_samples = np.shape(X)[-2] if X_axes >= 2 else len(y_array)
    y_per_net = y_array.ndim == 3 or (
        y_array.ndim == 2 and y_array.shape == (n_nets, n_samples) != (n_samples, n_outputs)
    )
    if X_axes != 3 and not y_per_net:
        return None
    if X_axes == 3 and len(X) != n_nets:
        raise ValueError(f"X with three axes must have one block per net, {n_nets}, but it has {len(X)}.")
    if y_per_net and len(y_array) != n_nets:
        raise ValueError(f"y with a leading axis must have one block per net, {n_nets}, but it has {len(y_array)}.")
    return ((X[k] if X_axes == 3 else X, y_array[k] if y_per_net else y) for k in range(n_nets))


# ---- histories


def as_curve(history: Any) -> Curve | None:
    """Return the loss curve of a fit, or None if history is None.

    history : a History, a PopulationResult, a history of Keras, a dictionary with "loss" and "val_loss", or a sequence
        of losses

    Raises
    ------
    ValueError
        If history is none of these.
    """
    if history is None:
        return None
    if isinstance(history, PopulationResult):
        return _population_curve(history)
    if isinstance(history, History):
        stopped_early = history.stopped_by == "early_stopping" and history.validation_loss is not None
        final_epoch = np.nan if history.best_epoch is None else history.best_epoch + 1.0
        diverged = history.stopped_by == "divergence"
        return _one_curve(history.loss, history.validation_loss, diverged, stopped_early, final_epoch)
    records = getattr(history, "history", history)
    if isinstance(records, Mapping):
        if "loss" not in records:
            raise ValueError(f"A history as a dictionary needs the key 'loss', but it has {sorted(records)}.")
        validation = records.get("val_loss", records.get("validation_loss"))
        return _one_curve(records["loss"], None if validation is None else _of_each_epoch(validation, records["loss"]))
    return _one_curve(history, None)


def _of_each_epoch(validation: Any, losses: Any) -> np.ndarray:
    """Return a validation loss for each epoch, from one for each k-th (Keras' validation_freq); linear between them.

    Raises
    ------
    ValueError
        If there is no such k.
    """
    known, n_epochs = as_numbers(validation, "validation losses").astype(np.float64), len(losses)
    k = n_epochs // max(1, len(known))
    if k < 2 or known.ndim != 1:
        return known
    if n_epochs // k != len(known):
        raise ValueError(
            f"The history has {n_epochs:,} losses and {len(known):,} validation losses: give one for each epoch, or "
            "one for each second, third or k-th."
        )
    return np.interp(np.arange(1, n_epochs + 1), k * np.arange(1, len(known) + 1), known)


def _one_curve(
    losses: Any, validation: Any, diverged: bool = False, stopped_early: bool = False, final_epoch: float = np.nan
) -> Curve:
    loss = as_numbers(losses, "history").astype(np.float64)
    if loss.ndim != 1:
        raise ValueError(f"A history must be one loss per epoch, (epochs,), but it has shape {loss.shape}.")
    held_out = None if validation is None else as_numbers(validation, "validation losses").astype(np.float64)[:, None]
    diverged = diverged or bool(loss.size and not np.isfinite(loss[-1]))
    return Curve(np.arange(1, len(loss) + 1), loss[:, None], held_out, diverged, stopped_early, final_epoch)


def _population_curve(result: PopulationResult) -> Curve:
    stopped = result.stopped_by
    epochs, loss = result.record_epochs, np.asarray(result.records, np.float64)
    max_epochs = int(result.epochs.max(initial=0))
    if len(epochs) and epochs[-1] < max_epochs:
        epochs = np.append(epochs, max_epochs)
        loss = np.concatenate([loss, np.where(result.epochs == max_epochs, result.loss, np.nan)[None]])
    stopped_early = (stopped == "early_stopping") | (stopped == "converged")
    curve = Curve(epochs, loss, None, stopped == "divergence", stopped_early)
    if result.best_epoch is None:
        return curve
    is_known = (result.best_epoch >= 0) & (result.restarts == 0)  # records count from the last restart
    final_epoch, n_epochs = (np.where(is_known, values, np.nan) for values in (result.best_epoch + 1, result.epochs))
    return curve._replace(final_epoch=final_epoch, n_epochs=n_epochs)


def curve_of_net(curve: Curve, net: slice) -> Curve:
    """Return the loss curve of one net (a slice of length 1) of a population."""
    per_net = ("diverged", "stopped_early", "final_epoch", "n_epochs")
    values = {name: values[net] if np.ndim(values := getattr(curve, name)) else values for name in per_net}
    return Curve(curve.epochs, curve.loss[:, net], None, **values)
