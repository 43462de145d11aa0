"""Measurements for a diagnosis, taken once for all verdicts: outputs, layers and gradients, as arrays (n_nets,)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np

from ..errors import counted
from .curvature import longest_first_step, measure_curvature
from .data_checks import DataChecks, check_data
from .model_under_test import ModelUnderTest, sample_rows
from .output_range import Bounds, output_bounds
from .records import Curve, Shape, shape_of
from .samples import CheckedSamples
from .training_settings import TrainingSettings
from .unit_measurements import MAX_SAMPLES, draw_masks, measure_hidden_units, merged_fraction

MAX_ROWS = 1000  # largest number of samples for one net
MIN_ROWS = 200  # smallest limit on the samples of each net of a population
ROWS_OF_ALL_NETS = 20_000  # samples of all nets together, within these limits
MAX_VALUES = 4_000_000  # largest number of float64 values in the activations of nets that are measured together
MAX_SINGLE_THREAD_PARAMS = 100_000  # number of parameters below which matrix products are not worth two threads
ITERATIONS = (16, 5)  # Lanczos iterations for a single net, and for each net of many


class Measurements(NamedTuple):
    """All quantities that verdicts are based on. Arrays are (n_nets,) float64, NaN where a value is unknown."""

    model: ModelUnderTest
    data: DataChecks
    curve: Shape
    updates: TrainingSettings
    longest_step: float  # longest first step of a new net that lowers its loss, as a learning rate
    bounds: Bounds
    target_low: float
    target_high: float
    target_spread: float  # largest standard deviation of a column of Y
    target_mean: float  # largest absolute mean of a column of Y
    label_problem: str  # what is wrong with the coding of y, or empty
    n_samples: int
    bad_data: str  # the first value of X or y that is not finite, or empty
    places: tuple[str, ...]
    base_loss: float  # loss of the best constant output
    floor: float  # loss of outputs that equal their targets, mostly 0; `curve` has losses above the floor
    n_weights: int
    narrowest: int  # number of units in the narrowest hidden layer; 0 without a hidden layer
    is_linear: bool  # whether no hidden layer has a nonlinear activation
    # ---- outputs
    first_bad: np.ndarray  # int: index into `places` where NaN or infinity first arises, 0 if all values are finite
    loss: np.ndarray
    explained: np.ndarray  # fraction of the targets' variance that the outputs explain
    accuracy: np.ndarray
    variation: np.ndarray  # standard deviation of the outputs over the samples, relative to that of the targets
    output_low: np.ndarray
    output_high: np.ndarray
    mean_gap: np.ndarray  # mean output - mean target
    agreement: np.ndarray  # correlation of outputs and targets
    merged: np.ndarray  # fraction of samples that share an output with samples of other targets
    unreachable: np.ndarray  # fraction of the targets beyond `bounds`
    validation_loss: np.ndarray
    validation_explained: np.ndarray  # fraction of the variance of the validation targets that is explained
    validation_signal: np.ndarray  # z-score of the correlation of validation outputs and targets
    # ---- units and weights
    saturated: np.ndarray  # fraction of saturated (sample, unit) pairs in the hidden layer with the most of them
    saturated_layer: np.ndarray  # this layer, counted from 1
    dead: np.ndarray  # fraction of units that are never active, in the hidden layer with the most of them
    dead_layer: np.ndarray
    duplicates: np.ndarray  # fraction of units that are copies of another, in the hidden layer with the most of them
    duplicates_layer: np.ndarray
    first_to_last: np.ndarray  # root mean square of the deltas in the first layer over that in the last
    largest_to_last: np.ndarray  # largest root mean square of the deltas of a layer over that in the last
    positive: np.ndarray  # fraction of weights above 0
    weight_size: np.ndarray  # root mean square of the weights relative to Glorot's, geometric mean over layers
    mask_noise: np.ndarray  # effect of dropout, as draw_masks says; 0 without dropout
    mask_share: np.ndarray
    mask_loss: np.ndarray
    # ---- the loss around the net
    gradient: np.ndarray  # norm of the gradient
    largest_curvature: np.ndarray  # largest eigenvalue of the Hessian
    smallest_curvature: np.ndarray  # smallest eigenvalue of the Hessian
    best_step: np.ndarray  # learning rate whose single descent step lowers the loss most
    best_gain: np.ndarray  # decrease of the loss in that step
    safe_step: np.ndarray  # learning rate that suits the largest curvature, 1 / |largest|
    safe_gain: np.ndarray  # decrease of the loss in one step with safe_step
    used_gain: np.ndarray  # decrease in one descent step with the learning rate of the training

    @property
    def excess(self) -> np.ndarray:
        """Loss above that of perfect outputs, (n_nets,)."""
        return self.loss - self.floor

    @property
    def base_excess(self) -> float:
        return max(self.base_loss - self.floor, 1e-300)

    @property
    def skill(self) -> np.ndarray:
        """Skill score, (n_nets,): 1 for perfect outputs, 0 for the loss of the best constant, below 0 for worse."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1.0 - self.excess / self.base_excess


OF_WEIGHTS = Measurements._fields[Measurements._fields.index("saturated") :]  # NaN for a forward function


def base_loss_of(model: ModelUnderTest, Y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the loss of the best constant output.

    weight : (n_samples,) with which samples count, or None if all count the same
    """
    targets = model.smoothed(Y)
    constant = np.average(targets, axis=0, weights=weight)
    if model.loss.name == "absolute_error":  # of which the median is best
        constant = np.quantile(targets, 0.5, axis=0, weights=weight, method="inverted_cdf")
    a = np.broadcast_to(constant, (1, *Y.shape))
    return float(np.average(model.sample_losses(model.logits(a), a, Y)[0], weights=weight))


def floor_of(model: ModelUnderTest, Y: np.ndarray) -> float:
    """Return the loss of outputs that equal their targets.

    It is 0, except for cross-entropy and Poisson losses with targets that are probabilities or counts.
    """
    if not model.loss.delta_is_wrt_logit:
        return 0.0
    a = model.smoothed(Y)[None]
    return float(model.losses(model.logits(a), a, Y)[0])


def limit_blas_threads(model: ModelUnderTest) -> AbstractContextManager:
    """Return a context manager that limits BLAS to one thread for small nets.

    On a busy machine two threads that wait for each other take ten times as long
    (bench/log/threads.md#blas-threads-busy).
    """
    from threadpoolctl import threadpool_limits  # imported here: training alone (bench/gpu/run.py) does not need it

    return threadpool_limits(1, "blas") if model.params.shape[1] < MAX_SINGLE_THREAD_PARAMS else nullcontext()


def n_measured(n_samples: int, n_nets: int) -> int:
    """Return the number of samples on which each net is measured; they are drawn from more.

    >>> n_measured(5000, 1), n_measured(5000, 50), n_measured(5000, 10_000), n_measured(4, 10_000)
    (1000, 400, 200, 4)
    """
    return min(n_samples, MAX_ROWS, max(MIN_ROWS, ROWS_OF_ALL_NETS // n_nets))


def measured_samples(n_samples: int, kind: str = "sample") -> str:
    """Return on how many of its samples a net is measured, in words.

    >>> measured_samples(4), measured_samples(5000)
    ('4 samples', '1,000 of 5,000 samples')
    """
    n = n_measured(n_samples, 1)
    return counted(n_samples, kind) if n == n_samples else f"{n:,} of {counted(n_samples, kind)}"


def measure(
    model: ModelUnderTest,
    checked: CheckedSamples,
    curve: Curve | None,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    updates: TrainingSettings | None = None,
) -> Measurements:
    """Measure every net of a model on samples.

    curve : records of the fit, or None
    validation : (X, Y) of validation samples, or None
    updates : settings of the training, or None
    """
    X, Y = checked.X, checked.Y
    with limit_blas_threads(model):
        n_nets, data = model.n_nets, check_data(X, Y)
        rows = sample_rows(len(X), n_measured(len(X), n_nets))
        bounds = output_bounds(model, X, Y)
        base, floor = base_loss_of(model, Y), floor_of(model, Y)
        updates = (updates or TrainingSettings()).of_nets(n_nets, slice(None))
        arrays = _of_training(model, X[rows], Y[rows], bounds, updates) | _of_validation(model, validation)
        noise = arrays["mask_noise"] * np.sqrt(len(rows) / len(X))
        return Measurements(
            model=model,
            data=data,
            curve=shape_of(None if curve is None else curve.above(floor), n_nets, np.full(n_nets, base - floor), noise),
            updates=updates,
            longest_step=longest_first_step(model, X[rows], Y[rows], updates),
            bounds=bounds,
            target_low=float(Y.min()),
            target_high=float(Y.max()),
            target_spread=float(Y.std(axis=0).max()),
            target_mean=float(np.abs(Y.mean(axis=0)).max()),
            label_problem=checked.label_problem,
            n_samples=len(X),
            bad_data=checked.bad_data,
            places=_places(model),
            base_loss=base,
            floor=floor,
            n_weights=sum(W[0].size for W, _ in model.layers(model.params)) if model.has_weights else 0,
            narrowest=min(model.layout.layer_sizes[1:-1], default=0),
            is_linear=model.has_weights and all(row.name == "identity" for row in model.activations[:-1]),
            **arrays,
        )


def _places(model: ModelUnderTest) -> tuple[str, ...]:
    if not model.has_weights:
        return ("", "the outputs")
    numbers = range(1, len(model.activations) + 1)
    parameters = [f"the parameters of layer {k}" for k in numbers]
    return ("", *parameters, *(f"the units of layer {k}" for k in numbers), "the loss")


def _in_chunks(
    model: ModelUnderTest, n_values: int, measured: Callable[[ModelUnderTest, slice], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the measurements of each net by name, (n_nets,); as many nets at a time as MAX_VALUES allows.

    n_values : float64 values that the measurement of a net needs
    """
    size = max(1, MAX_VALUES // n_values)
    members = [slice(k, k + size) for k in range(0, model.n_nets, size)]
    chunks = [measured(model.of_nets(some), some) for some in members]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _of_training(
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, bounds: Bounds, updates: TrainingSettings
) -> dict[str, np.ndarray]:
    """Return the measurements of each net on training samples by name, (n_nets,)."""

    def measured(chunk: ModelUnderTest, members: slice) -> dict[str, np.ndarray]:
        zs, outputs = chunk.forward(X)
        found = _of_outputs(chunk, zs[-1], outputs[-1], Y)
        found["first_bad"] = _first_bad(chunk, outputs, found["loss"])
        found["merged"] = merged_fraction(outputs[-1], Y)
        found["unreachable"] = np.full(chunk.n_nets, _fraction_beyond(Y, bounds))
        if not model.has_weights:
            return found | dict.fromkeys(OF_WEIGHTS, np.full(chunk.n_nets, np.nan))
        n_iterations = ITERATIONS[model.n_nets > 1]
        curvature = measure_curvature(chunk, X, Y, n_iterations, updates.learning_rate[members])
        return found | _of_layers(chunk, zs, outputs, Y) | curvature | draw_masks(chunk, X, Y)

    pairs = len(X) * model.n_outputs if len(X) <= MAX_SAMPLES else 0
    return _in_chunks(model, len(X) * (sum(model.layout.layer_sizes) + pairs) + model.params.shape[1], measured)


def _of_outputs(model: ModelUnderTest, z: np.ndarray, out: np.ndarray, Y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what outputs (n_nets, n_samples, n_outputs) and pre-activations z of the last layer say."""
    unknown, centred = np.full(len(out), np.nan), Y - Y.mean(axis=0)
    variance = (centred**2).mean()
    values = np.unique(Y)
    is_one_hot = Y.shape[1] > 1 and ((values[-1] == Y).sum(axis=1) == 1).all()
    has_classes = len(values) == 2 and (Y.shape[1] == 1 or is_one_hot)
    with np.errstate(all="ignore"):
        out_centred = out - out.mean(axis=1, keepdims=True)
        norm = np.sqrt((out_centred**2).sum(axis=(1, 2)) * (centred**2).sum())
        mse, spread = ((out - Y) ** 2).mean(axis=(1, 2)), np.sqrt(out.var(axis=1).mean(axis=1))
        return {
            "loss": model.losses(z, out, Y),
            "explained": 1.0 - mse / variance if variance > 0 else unknown,
            "accuracy": _accuracy(out, Y) if has_classes else unknown,
            "variation": spread / np.sqrt(variance) if variance > 0 else unknown,
            "output_low": out.min(axis=(1, 2)),
            "output_high": out.max(axis=(1, 2)),
            "mean_gap": (out.mean(axis=1) - Y.mean(axis=0)).mean(axis=1),
            "agreement": np.where(norm > 0, (out_centred * centred).sum(axis=(1, 2)) / norm, 0.0),
        }


def _of_layers(
    model: ModelUnderTest, zs: list[np.ndarray], outputs: list[np.ndarray], Y: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the measurements of layers, weights and their gradients."""
    with np.errstate(all="ignore"):
        sizes = np.stack([np.sqrt((delta**2).mean(axis=(1, 2))) for delta in model.deltas(zs, outputs, Y)])
        last = np.maximum(sizes[-1], 1e-300)
        layers = [W for W, _ in model.layers(model.params)]
        glorot = [2.0 / sum(W.shape[1:]) for W in layers]  # variances of initial weights by Glorot and Bengio 2010
        logs = [np.log((W * W).mean(axis=(1, 2)) / v) / 2.0 for W, v in zip(layers, glorot, strict=True)]
        W = np.concatenate([W.reshape(model.n_nets, -1) for W in layers], axis=1)
        return measure_hidden_units(model, zs, outputs) | {
            "first_to_last": sizes[0] / last,
            "largest_to_last": sizes.max(axis=0) / last,
            "positive": (W > 0).mean(axis=1),
            "weight_size": np.exp(np.mean(logs, axis=0)),
        }


def _first_bad(model: ModelUnderTest, outputs: list[np.ndarray], loss: np.ndarray) -> np.ndarray:
    """Return, for each net, the index into `places` of the first array that is not finite, or 0; int (n_nets,)."""
    stages = list(outputs)
    if model.has_weights:
        parameters = [np.concatenate([W.reshape(len(W), -1), b], axis=1) for W, b in model.layers(model.params)]
        stages = [*parameters, *outputs, loss[:, None]]
    bad = np.stack([~np.isfinite(array).reshape(len(loss), -1).all(axis=1) for array in stages])
    return np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, 0)


def _accuracy(out: np.ndarray, Y: np.ndarray) -> np.ndarray:
    if Y.shape[1] > 1:
        return (out.argmax(axis=2) == Y.argmax(axis=1)).mean(axis=1)
    class_threshold = (Y.min() + Y.max()) / 2
    return ((out[:, :, 0] > class_threshold) == (Y[:, 0] > class_threshold)).mean(axis=1)


def _fraction_beyond(Y: np.ndarray, bounds: Bounds) -> float:
    """Return the fraction of targets that lie beyond the bounds by more than 2 % of the targets' range."""
    slack = 0.02 * (Y.max() - Y.min())
    return float(((bounds.low - slack > Y) | (bounds.high + slack < Y)).mean())


def _of_validation(model: ModelUnderTest, pair: tuple[np.ndarray, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return loss, explained fraction and signal on validation samples, (n_nets,) each; NaN without such samples."""
    if pair is None:
        names = ("validation_loss", "validation_explained", "validation_signal")
        return dict.fromkeys(names, np.full(model.n_nets, np.nan))
    rows = sample_rows(len(pair[0]), MAX_ROWS)
    X, Y = pair[0][rows], pair[1][rows]

    def measured(chunk: ModelUnderTest, _: slice) -> dict[str, np.ndarray]:
        zs, outputs = chunk.forward(X)
        found = _of_outputs(chunk, zs[-1], outputs[-1], Y)
        signal = found["agreement"] * np.sqrt(len(Y))
        return {
            "validation_loss": found["loss"],
            "validation_explained": found["explained"],
            "validation_signal": signal,
        }

    return _in_chunks(model, len(rows) * sum(model.layout.layer_sizes) + 1, measured)
