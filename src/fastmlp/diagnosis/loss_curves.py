"""Records of a fit: the loss curve that a history holds, and its shape, for all nets at once.

The shape is the recent change, oscillation, and projected convergence. The last record may show in which loss a net
was trained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..data.arrays import as_numbers
from ..history import History
from ..kernels.formulas.losses import CODES, LOSSES
from ..population_result import PopulationResult
from .model_under_test import ModelUnderTest

RECENT = 0.25  # last fraction of the epochs, over which the slope is taken
MIDDLE = 0.5  # fraction of the epochs around which, over RECENT of them, the middle of a curve lies
MIN_RECORDS = 8  # smallest number of records for which a curve has a shape
CONVERGED_RATIO = 1.05  # a curve has converged within 5 % of its projected final loss ...
CONVERGED_FRACTION = 0.02  # ... or below this fraction of the base rate's loss
WINDOW = 1 / 16  # width of the running mean of noisy curves, as a fraction of the records
NOISE_FACTOR = 2.0  # steps and changes of the loss up to so many times the noise are ignored
CLOSE = 0.1  # relative distance of the last record from a loss up to which the records are in it
FAR = 0.3  # distance from which they are not


class Curve(NamedTuple):
    """Records of a fit, of one net or of a population."""

    epochs: np.ndarray  # (n_records,) epochs of the records, counted from 1
    loss: np.ndarray  # (n_records, n_nets) training loss
    validation: np.ndarray | None = None  # (n_records, n_nets) validation loss
    diverged: np.ndarray | bool = False  # (n_nets,)
    stopped_early: np.ndarray | bool = False  # (n_nets,) whether validation ended the fit and the best epoch was kept
    final_epoch: np.ndarray | float = np.nan  # epoch to whose parameters early stopping returned, else NaN; (n_nets,)
    n_epochs: np.ndarray | float = np.nan  # (n_nets,) epochs trained, where the last of them has no record

    def above(self, floor: float) -> Curve:
        """Return the curve with the loss of perfect outputs subtracted."""
        held_out = None if self.validation is None else np.asarray(self.validation, np.float64) - floor
        return self._replace(loss=np.asarray(self.loss, np.float64) - floor, validation=held_out)


def as_curve(history: Any) -> Curve | None:
    """Return the loss curve of a fit, or None if history is None.

    history : a History, a PopulationResult, or a sequence of losses

    Raises
    ------
    ValueError
        If history is none of these.
    """
    if history is None:
        return None
    if isinstance(history, PopulationResult):
        return _curve_of_population(history)
    if isinstance(history, History):
        curve = _curve_of_losses(history.loss, history.validation_loss)
        return curve._replace(
            diverged=history.stopped_by == "divergence" or curve.diverged,
            stopped_early=history.stopped_by == "early_stopping" and history.validation_loss is not None,
            final_epoch=np.nan if history.best_epoch is None else history.best_epoch + 1.0,
        )
    return _curve_of_losses(history, None)


def _curve_of_losses(losses: Any, validation: np.ndarray | None) -> Curve:
    loss = as_numbers(losses, "history").astype(np.float64)
    if loss.ndim != 1:
        raise ValueError(f"A history must be one loss per epoch, (epochs,), but it has shape {loss.shape}.")
    epochs, diverged = np.arange(1, len(loss) + 1), bool(loss.size and not np.isfinite(loss[-1]))
    return Curve(epochs, loss[:, None], None if validation is None else validation[:, None], diverged)


def _curve_of_population(result: PopulationResult) -> Curve:
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


def with_recorded_loss(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, curve: Curve | None) -> ModelUnderTest:
    """Return the model with squared error as its loss, if its records are in squared error; otherwise the same model.

    The usual loss of a sigmoid is cross-entropy, but many nets written by hand are trained on squared error. The last
    record is compared with both losses at the present parameters, as a mean or a sum over outputs, with or without a
    factor of one half.

    model : a model of one net of another library, whose loss was not named
    X, Y : samples, (n_samples, n_features) and (n_samples, n_outputs)
    """
    if curve is None or not len(curve.loss) or model.loss.name != "binary_cross_entropy" or not model.has_weights:
        return model
    squared, forms = replace(model, loss=LOSSES[CODES["squared_error"]]), np.array([1.0, model.n_outputs])

    def distance(of: ModelUnderTest) -> float:
        """Return |log| of the last record over a loss, in the form of the loss that is nearest to it."""
        with np.errstate(all="ignore"):
            losses = of.objective(X, Y, of.params)[0] * np.append(forms, 0.5 * forms)
            return float(np.nan_to_num(np.min(np.abs(np.log(curve.loss[-1, 0] / losses))), nan=np.inf))

    return squared if distance(squared) <= CLOSE and distance(model) >= FAR else model


# ---- the shape of a curve


NUMBERS = (
    "epochs first_record last_record lowest_record last_fall change half_change swing back_and_forth trend projected "
    "projected_loss kept_epoch best_epoch kept_training_loss kept_validation_loss "
    "lowest_validation_loss validation_change validation_projected"
)


def shape_of(curve: Curve | None, base_loss: np.ndarray, noise: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Return the shape of each net's loss curve by name: arrays (n_nets,), NaN if the curve is too short.

    "Recent" is the last fraction RECENT of the epochs.

    epochs : last epoch trained where it is known, else the last one with a finite loss
    first_record, last_record, lowest_record : losses
    last_fall : relative decrease in the last record, of the validation loss where there is one
    change : decrease of the loss over the recent epochs, relative to the mean recent loss
    half_change : decrease from the middle of the epochs to the recent ones, relative to the recent mean
    swing : mean step up or down between recent records, relative to the mean recent loss
    back_and_forth : length of the recent path over its net change; 1 is straight
    trend : net change of all epochs over the length of the path: 1 steadily up, -1 steadily down
    projected, projected_loss : projected number of epochs until the loss has converged, and final loss
    kept_epoch : epoch whose parameters the net has
    best_epoch : epoch with the lowest validation loss
    kept_training_loss, kept_validation_loss : losses of the kept epoch
    lowest_validation_loss : that of any epoch
    validation_change, validation_projected : like `change` and `projected`, for the validation loss
    diverged, stopped_early : 1 or 0

    base_loss : (n_nets,)               loss of the best constant output
    noise : (n_nets,) or a number       standard deviation of a record due to dropout
    """
    n_nets = len(base_loss)
    result = {name: np.full(n_nets, np.nan) for name in NUMBERS.split()}
    for name in ("diverged", "stopped_early"):
        result[name] = np.broadcast_to(np.asarray(getattr(curve, name, False), np.float64), (n_nets,))
    if curve is None or not len(curve.epochs):  # no finished epoch, as if the first one diverged
        return result
    epochs, loss = curve.epochs.astype(np.float64), np.asarray(curve.loss, np.float64)
    loss = np.where(np.isfinite(loss), loss, np.nan)
    last_row = np.maximum(np.isfinite(loss).sum(axis=0) - 1, 0)
    nets = np.arange(loss.shape[1])
    end = np.where(np.isfinite(curve.n_epochs), curve.n_epochs, epochs[last_row])
    raw, noise = loss, np.nan_to_num(np.broadcast_to(np.asarray(noise, np.float64), nets.shape))
    if noise.any():
        loss = np.where(noise > 0, _running_mean(raw), raw)
    with np.errstate(divide="ignore", invalid="ignore"):  # a loss may be 0
        last_fall = 1.0 - loss[last_row, nets] / np.where(last_row > 0, loss[last_row - 1, nets], np.nan)
    kept_epoch = np.where(np.isfinite(curve.final_epoch), np.minimum(curve.final_epoch, end), end)
    kept_row = np.minimum(np.searchsorted(epochs, kept_epoch), last_row)
    result |= {
        "epochs": end,
        "first_record": loss[0],
        "last_record": loss[last_row, nets],
        "lowest_record": _nanmin(loss),
        "last_fall": last_fall,
        "kept_epoch": kept_epoch,
        "kept_training_loss": np.where(epochs[kept_row] == kept_epoch, loss[kept_row, nets], np.nan),
    }
    if curve.validation is not None and len(curve.validation):
        result |= _of_validation(curve, kept_row, base_loss)
    if len(epochs) < MIN_RECORDS:
        return result
    recent = (epochs[:, None] > (1.0 - RECENT) * end) & np.isfinite(loss)
    recent[np.maximum(last_row - 3, 0), nets] = True  # records of a population are sparse towards the end
    recent[np.maximum(last_row - 2, 0), nets] = recent[np.maximum(last_row - 1, 0), nets] = True
    level = _mean_where(recent & np.isfinite(loss), loss)
    middle = (np.abs(epochs[:, None] - MIDDLE * end) <= RECENT / 2 * end) & np.isfinite(loss) & ~recent
    middle_level = _mean_where(middle, loss)
    is_recent_step = recent[1:] & recent[:-1]
    n_steps = is_recent_step.sum(axis=0)
    steps = np.where(is_recent_step, np.diff(raw, axis=0), 0.0)
    noisy_step = 2.0 / np.sqrt(np.pi) * noise  # mean distance of two normal numbers
    path_length = np.maximum(np.abs(steps).sum(axis=0) - NOISE_FACTOR * noisy_step * n_steps, 0.0)
    net_change = np.abs(np.where(is_recent_step, np.diff(loss, axis=0), 0.0).sum(axis=0))
    epsilon = 1e-12 * (1.0 + np.abs(level))
    change = -_slope(epochs, raw, recent) * np.where(is_recent_step, np.diff(epochs)[:, None], 0.0).sum(axis=0)
    noisy_change = noise * np.sqrt(12.0 / (n_steps + 1))  # standard error of a slope, over its span
    change = np.sign(change) * np.maximum(np.abs(change) - NOISE_FACTOR * noisy_change, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        trend = (result["last_record"] - result["first_record"]) / np.nansum(np.abs(np.diff(loss, axis=0)), axis=0)
    before_last = epochs[np.maximum(last_row - 1, 0)]  # _around needs a record on either side
    projected, projected_loss = _projection(epochs, loss, before_last, base_loss)
    return result | {
        "change": change / np.maximum(np.abs(level), 1e-12),
        "half_change": (middle_level - level) / np.maximum(np.abs(level), 1e-12),
        "swing": path_length / np.maximum(n_steps, 1) / np.maximum(np.abs(level), 1e-12),
        "back_and_forth": (np.maximum(path_length, net_change) + epsilon) / (net_change + epsilon),
        "trend": trend,
        "projected": projected,
        "projected_loss": projected_loss,
    }


def _of_validation(curve: Curve, kept_row: np.ndarray, base_loss: np.ndarray) -> dict[str, np.ndarray]:
    """Return the part of a shape that comes from the validation records."""
    held_out = np.asarray(curve.validation, np.float64)
    n = min(len(held_out), len(curve.epochs))
    held_out = np.where(np.isfinite(held_out[:n]), held_out[:n], np.nan)
    shape = shape_of(Curve(curve.epochs[:n], held_out), base_loss)
    return {
        "best_epoch": curve.epochs[np.where(np.isfinite(held_out), held_out, np.inf).argmin(axis=0)].astype(float),
        "kept_validation_loss": held_out[np.minimum(kept_row, n - 1), np.arange(len(base_loss))],
        "lowest_validation_loss": shape["lowest_record"],
        "last_fall": shape["last_fall"],
        "validation_change": shape["change"],
        "validation_projected": shape["projected"],
    }


def _mean_where(are_in: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Return the mean of the records of each net that are in a mask (n_records, n_nets); NaN where there are none."""
    return np.where(are_in, loss, 0.0).sum(axis=0) / np.where(are_in.any(axis=0), are_in.sum(axis=0), np.nan)


def _running_mean(loss: np.ndarray) -> np.ndarray:
    """Return the centred running mean of the records, with a narrower window at the ends; NaN stays NaN."""
    half_width = max(1, int(WINDOW * len(loss) / 2))
    sums = np.cumsum(np.pad(np.where(np.isfinite(loss), loss, 0.0), ((1, 0), (0, 0))), axis=0)
    counts = np.cumsum(np.pad(np.isfinite(loss), ((1, 0), (0, 0))), axis=0)
    rows = np.arange(len(loss))
    first, end = np.maximum(rows - half_width, 0), np.minimum(rows + half_width + 1, len(loss))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(loss), (sums[end] - sums[first]) / (counts[end] - counts[first]), np.nan)


def _nanmin(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf).min(axis=0)


def _slope(epochs: np.ndarray, loss: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of the recent records, (n_nets,), in loss per epoch."""
    n = recent.sum(axis=0)
    t = np.where(recent, epochs[:, None], 0.0)
    y = np.where(recent, loss, 0.0)
    t_mean, y_mean = t.sum(axis=0) / n, y.sum(axis=0) / n
    t = np.where(recent, t - t_mean, 0.0)
    return (t * np.where(recent, y - y_mean, 0.0)).sum(axis=0) / np.maximum((t * t).sum(axis=0), 1e-300)


def _projection(epochs: np.ndarray, loss: np.ndarray, end: np.ndarray, base_loss: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (projected number of epochs left, projected final loss), both (n_nets,).

    Based on the losses after one half, three quarters and all of the epochs. If the decrease d of the last quarter is r
    times that of the quarter before, with r < 1, the loss converges to L - d r / (1 - r) as a geometric series (Aitken
    1926). If it falls otherwise, it is extrapolated linearly to zero; if not, it stays at L.

    end : (n_nets,) epoch that counts as the last one
    """
    loss_at = lambda fraction: _median_around(epochs, loss, fraction * end)
    L1, L2, L3 = loss_at(0.5), loss_at(0.75), loss_at(1.0)
    d1, d2 = L1 - L2, L2 - L3
    with np.errstate(divide="ignore", invalid="ignore"):
        r = d2 / d1
        falling = (d1 > 0) & (d2 > 0)
        geometric = falling & (r < 0.98)
        projected_loss = np.where(geometric, L3 - d2 * r / (1 - r), np.where(falling, 0.0, L3))
        projected_loss = np.maximum(projected_loss, 0.0)
        target = np.maximum(CONVERGED_RATIO * projected_loss, CONVERGED_FRACTION * base_loss)
        quarters = np.where(
            geometric,
            np.log(np.maximum(target - projected_loss, 1e-12) / np.maximum(L3 - projected_loss, 1e-12)) / np.log(r),
            (L3 - target) / d2,
        )
    epochs_left = np.where(falling & (target < L3), quarters * end / 4, 0.0)
    return np.where(np.isfinite(L3), np.maximum(epochs_left, 0.0), np.nan), projected_loss


def _median_around(epochs: np.ndarray, loss: np.ndarray, at_epochs: np.ndarray) -> np.ndarray:
    """Return the median of the three records around the epochs `at_epochs`, (n_nets,)."""
    rows = np.clip(np.searchsorted(epochs, at_epochs - 0.5), 1, len(epochs) - 2)
    nets = np.arange(loss.shape[1])
    neighbours = np.stack([loss[rows + k, nets] for k in (-1, 0, 1)])
    finite = np.isfinite(neighbours).any(axis=0)
    return np.where(finite, np.nanmedian(np.where(finite, neighbours, 0.0), axis=0), np.nan)
