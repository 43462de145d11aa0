"""Measurements for a diagnosis, taken once for all verdicts: outputs, layers and gradients, as arrays (n_nets,)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from ..errors import counted
from .checked_inputs import CheckedSamples
from .curvature import longest_first_step, measure_curvature
from .data_checks import Bounds, check_data, is_one_hot, output_bounds
from .loss_curves import Curve, shape_of
from .model_under_test import ModelUnderTest, sample_rows
from .training_settings import TrainingSettings
from .unit_measurements import MAX_SAMPLES, draw_masks, measure_hidden_units, merged_fraction
from .verdicts.evidence import Evidence

MAX_ROWS = 1000  # largest number of samples for one net
MIN_ROWS = 200  # smallest limit on the samples of each net of a population
ROWS_OF_ALL_NETS = 20_000  # samples of all nets together, within these limits
MAX_VALUES = 4_000_000  # largest number of float64 values in the activations of nets that are measured together
MAX_SINGLE_THREAD_PARAMS = 100_000  # number of parameters below which matrix products are not worth two threads
ITERATIONS = (16, 5)  # Lanczos iterations for a single net, and for each net of many
OF_WEIGHTS = (  # what is unknown of a forward function
    "saturated_units layer_of_saturated_units dead_units layer_of_dead_units duplicate_units layer_of_duplicate_units "
    "first_to_last_layer largest_to_last_layer positive_weights weight_size mask_noise mask_share mask_loss gradient "
    "largest_curvature smallest_curvature best_step best_gain safe_step safe_gain"
)


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
    samples: CheckedSamples,
    curve: Curve | None = None,
    validation: CheckedSamples | None = None,
    settings: TrainingSettings | None = None,
) -> Evidence:
    """Measure every net of a model on samples.

    The evidence has what the functions below, check_data and shape_of return, and the training settings, by name, and

    longest_first_step : longest first step of a new net that lowers its loss, as a learning rate
    bounds : range of the outputs
    places : where NaN or infinity may first arise, from 1 on, in words
    base_loss : loss of the best constant output
    floor : loss of outputs that equal their targets, mostly 0; records count from it
    l2, dropout : penalty factor, and largest dropout rate of a hidden layer
    n_weights : number of weights
    narrowest : number of units in the narrowest hidden layer; 0 without a hidden layer
    is_linear : whether no hidden layer has a nonlinear activation

    curve : records of the fit, or None
    validation : validation samples, or None
    settings : settings of the training, or None
    """
    X, Y, settings = samples.X, samples.Y, settings or TrainingSettings()
    with limit_blas_threads(model):
        rows = sample_rows(len(X), n_measured(len(X), model.n_nets))
        bounds, base, floor = output_bounds(model, X, Y), base_loss_of(model, Y), floor_of(model, Y)
        arrays = _of_training(model, X[rows], Y[rows], bounds) | _of_validation(model, validation)
        noise = arrays["mask_noise"] * np.sqrt(len(rows) / len(X))
        return Evidence(
            model=model,
            longest_first_step=longest_first_step(model, X[rows], Y[rows], settings),
            bounds=bounds,
            label_problem=samples.label_problem,
            bad_data=samples.bad_data,
            n_samples=len(X),
            places=_places(model),
            base_loss=base,
            floor=floor,
            l2=np.asarray(model.l2, np.float64),
            dropout=model.dropped.max(axis=1, initial=0.0),
            n_weights=sum(W[0].size for W, _ in model.layers(model.params)) if model.has_weights else 0,
            narrowest=min(model.layout.layer_sizes[1:-1], default=0),
            is_linear=model.has_weights and all(row.name == "identity" for row in model.activations[:-1]),
            **settings._asdict(),
            **check_data(X, Y),
            **shape_of(None if curve is None else curve.above(floor), np.full(model.n_nets, base - floor), noise),
            **arrays,
        )


def _places(model: ModelUnderTest) -> tuple[str, ...]:
    if not model.has_weights:
        return ("", "the outputs")
    numbers = range(1, len(model.activations) + 1)
    parameters = [f"the parameters of layer {k}" for k in numbers]
    return ("", *parameters, *(f"the units of layer {k}" for k in numbers), "the loss")


def _in_chunks(
    model: ModelUnderTest, n_values: int, measured: Callable[[ModelUnderTest], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the measurements of each net by name, (n_nets,); as many nets at a time as MAX_VALUES allows.

    n_values : float64 values that the measurement of a net needs
    """
    size = max(1, MAX_VALUES // n_values)
    chunks = [measured(model.of_nets(slice(k, k + size))) for k in range(0, model.n_nets, size)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _of_training(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, bounds: Bounds) -> dict[str, np.ndarray]:
    """Return the measurements of each net on training samples by name, (n_nets,).

    first_bad : int, index into `places` where NaN or infinity first arises, 0 if all values are finite
    merged_samples : fraction of samples that share an output with samples of other targets
    share_out_of_reach : fraction of the targets beyond the bounds of the outputs
    """

    def measured(chunk: ModelUnderTest) -> dict[str, np.ndarray]:
        zs, outputs = chunk.forward(X)
        values = _of_outputs(chunk, zs[-1], outputs[-1], Y)
        values["first_bad"] = _first_bad(chunk, outputs, values["loss"])
        values["merged_samples"] = merged_fraction(outputs[-1], Y)
        values["share_out_of_reach"] = np.full(chunk.n_nets, _fraction_beyond(Y, bounds))
        if not model.has_weights:
            return values | dict.fromkeys(OF_WEIGHTS.split(), np.full(chunk.n_nets, np.nan))
        curvature = measure_curvature(chunk, X, Y, ITERATIONS[model.n_nets > 1])
        return values | _of_layers(chunk, zs, outputs, Y) | curvature | draw_masks(chunk, X, Y)

    pairs = len(X) * model.n_outputs if len(X) <= MAX_SAMPLES else 0
    return _in_chunks(model, len(X) * (sum(model.layout.layer_sizes) + pairs) + model.params.shape[1], measured)


def _of_outputs(model: ModelUnderTest, z: np.ndarray, out: np.ndarray, Y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what outputs (n_nets, n_samples, n_outputs) and pre-activations z of the last layer say.

    explained : fraction of the targets' variance that the outputs explain
    variation : standard deviation of the outputs over the samples, relative to that of the targets
    agreement : correlation of outputs and targets
    """
    unknown, centred = np.full(len(out), np.nan), Y - Y.mean(axis=0)
    variance = (centred**2).mean()
    has_classes = len(np.unique(Y)) == 2 and (Y.shape[1] == 1 or is_one_hot(Y))
    with np.errstate(all="ignore"):
        out_centred = out - out.mean(axis=1, keepdims=True)
        norm = np.sqrt((out_centred**2).sum(axis=(1, 2)) * (centred**2).sum())
        mse, spread = ((out - Y) ** 2).mean(axis=(1, 2)), np.sqrt(out.var(axis=1).mean(axis=1))
        return {
            "loss": model.losses(z, out, Y),
            "explained": 1.0 - mse / variance if variance > 0 else unknown,
            "accuracy": _accuracy(out, Y) if has_classes else unknown,
            "variation": spread / np.sqrt(variance) if variance > 0 else unknown,
            "lowest_output": out.min(axis=(1, 2)),
            "highest_output": out.max(axis=(1, 2)),
            "agreement": np.where(norm > 0, (out_centred * centred).sum(axis=(1, 2)) / norm, 0.0),
        }


def _of_layers(
    model: ModelUnderTest, zs: list[np.ndarray], outputs: list[np.ndarray], Y: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the measurements of layers, weights and their gradients.

    first_to_last_layer : root mean square of the deltas in the first layer over that in the last
    largest_to_last_layer : largest root mean square of the deltas of a layer over that in the last
    positive_weights : fraction of weights above 0
    weight_size : root mean square of the weights relative to Glorot's, geometric mean over layers
    """
    with np.errstate(all="ignore"):
        sizes = np.stack([np.sqrt((delta**2).mean(axis=(1, 2))) for delta in model.deltas(zs, outputs, Y)])
        last = np.maximum(sizes[-1], 1e-300)
        layers = [W for W, _ in model.layers(model.params)]
        glorot = [2.0 / sum(W.shape[1:]) for W in layers]  # variances of initial weights by Glorot and Bengio 2010
        logs = [np.log((W * W).mean(axis=(1, 2)) / v) / 2.0 for W, v in zip(layers, glorot, strict=True)]
        W = np.concatenate([W.reshape(model.n_nets, -1) for W in layers], axis=1)
        return measure_hidden_units(model, zs, outputs) | {
            "first_to_last_layer": sizes[0] / last,
            "largest_to_last_layer": sizes.max(axis=0) / last,
            "positive_weights": (W > 0).mean(axis=1),
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


def _of_validation(model: ModelUnderTest, samples: CheckedSamples | None) -> dict[str, np.ndarray]:
    """Return the measurements of each net on validation samples by name, (n_nets,); NaN without such samples.

    validation_signal : z-score of the correlation of validation outputs and targets
    """
    if samples is None:
        names = ("validation_loss", "explained_in_validation", "validation_signal")
        return dict.fromkeys(names, np.full(model.n_nets, np.nan))
    rows = sample_rows(len(samples.X), MAX_ROWS)
    X, Y = samples.X[rows], samples.Y[rows]

    def measured(chunk: ModelUnderTest) -> dict[str, np.ndarray]:
        zs, outputs = chunk.forward(X)
        outcome = _of_outputs(chunk, zs[-1], outputs[-1], Y)
        return {
            "validation_loss": outcome["loss"],
            "explained_in_validation": outcome["explained"],
            "validation_signal": outcome["agreement"] * np.sqrt(len(Y)),
        }

    return _in_chunks(model, len(rows) * sum(model.layout.layer_sizes) + 1, measured)
