"""Parameters of the estimators, scikit-learn's and additional ones: checks, and conversion to those of MLP.

The estimators follow sklearn.neural_network 1.9: names, initial weights, factors of losses, the schedule "invscaling".
With B samples in a batch, its objective is a sum over outputs, with a factor of one half before squares, plus the
penalty alpha / (2 B) times the sum of squared weights.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn import neural_network
from sklearn.utils._param_validation import Interval, StrOptions

from ..errors import checked_count, counted, shown
from ..interface.setting_checks import checked_dtype
from ..interface.user_warnings import warn_user
from ..network.own_formulas import Activation, Loss
from ..network.parameter_layout import Layout
from ..network.spec import HIDDEN
from ..optimizers import OPTIMIZERS, SGD, Adam, Optimizer, optimizer_from_name
from ..optimizers.batch_size import batch_rows
from ..runtime.memory_limits import check_params

FASTMLP_ACTIVATION = {"logistic": "sigmoid"}  # scikit-learn's name -> ours
SKLEARN_OUTPUT = {"sigmoid": "logistic", "exponential": "exp"}  # our name -> scikit-learn's
# Those of scikit-learn, whose names of activations stand for those of this package, which are known, too.
CONSTRAINTS: dict[str, list[Any]] = {
    **neural_network.MLPClassifier._parameter_constraints,
    "activation": [StrOptions({*FASTMLP_ACTIVATION, *HIDDEN}), Activation],
    "solver": [StrOptions({"lbfgs", *OPTIMIZERS}), Optimizer],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
}
ALMOST_ZERO = 1e-300  # acts as 0 in the arithmetic; an exact beta of 0 would switch Adam's bias correction off


def is_iterative(estimator: Any) -> bool:
    """Return whether the solver trains epoch by epoch, as all but "lbfgs" do."""
    return isinstance(estimator.solver, Optimizer) or estimator.solver != "lbfgs"


def check_settings(estimator: Any) -> None:
    """Check the parameters that MLP and Population either do not check, or know under other names.

    Raises
    ------
    ValueError
        For an invalid value, under the name of the estimator's parameter.
    """
    if not isinstance(estimator.loss, (str, Loss)):
        raise ValueError(
            f"loss is {estimator.loss!r}, but must be a name. It is the first argument, as in scikit-learn since 1.7: "
            f"name the other one, MLPRegressor(hidden_layer_sizes={estimator.loss!r})."
        )
    estimator._validate_params()
    checked_hidden_sizes(estimator.hidden_layer_sizes)
    dtype_of(estimator)


def warn_of_unused(estimator: Any, validation_data: Any) -> None:
    """Warn of settings of one's own that solver="lbfgs", which has no epochs, does not use.

    Nothing is said of scikit-learn's settings, such as early_stopping, whose documentation says it.
    """
    if is_iterative(estimator):
        return
    unused = {
        "callbacks": estimator.callbacks,
        "validation_data": validation_data,
        "dropout": estimator.dropout if np.any(estimator.dropout) else None,
    }
    if names := [name for name, value in unused.items() if value is not None]:
        warn_user(
            f"solver='lbfgs' does not use {' and '.join(names)}: it has no epochs, and minimises the loss of all "
            "samples at once. Choose another solver, such as 'adam', or leave the setting out."
        )


def dtype_of(estimator: Any) -> np.dtype:
    """Return the dtype of the net. "auto" is float32, but float64 for lbfgs: its line search compares close losses."""
    if isinstance(estimator.dtype, str) and estimator.dtype == "auto":
        return np.dtype(np.float32 if is_iterative(estimator) else np.float64)
    return checked_dtype(estimator.dtype)


def checked_hidden_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the parameter hidden_layer_sizes, an int or a sequence of int, as a tuple, after a check."""
    if isinstance(sizes, str):
        raise ValueError(
            "hidden_layer_sizes must be a whole number or a sequence of them, such as (64, 64), but it is the text "
            f"{shown(sizes)}."
        )
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    return tuple(checked_count(f"hidden_layer_sizes[{k}]", size) for k, size in enumerate(sizes))


def activation_of(estimator: Any) -> str | Activation:
    return FASTMLP_ACTIVATION.get(estimator.activation, estimator.activation)


def optimizer_of(estimator: Any, scale: Scale) -> Optimizer:
    """Return the optimiser for the estimator's parameters.

    Rates and epsilon are rescaled, so that steps on the loss of MLP are those that scikit-learn takes on its own loss.
    An optimiser object is returned unchanged.
    """
    solver, rate = estimator.solver, estimator.learning_rate_init
    if isinstance(solver, Optimizer):
        return solver
    if solver == "sgd":
        nesterov = bool(estimator.nesterovs_momentum and estimator.momentum > 0)
        return SGD(rate * scale.objective, momentum=estimator.momentum, nesterov=nesterov)
    if solver == "adam":
        beta1, beta2 = estimator.beta_1 or ALMOST_ZERO, estimator.beta_2 or ALMOST_ZERO
        return Adam(rate, beta1=beta1, beta2=beta2, epsilon=estimator.epsilon / scale.objective)
    optimizer = optimizer_from_name(solver)
    return optimizer if optimizer.rule.is_second_order else optimizer_from_name(solver, rate)


def batch_size_of(estimator: Any, n_samples: int) -> int:
    if not is_iterative(estimator):
        return n_samples
    if not isinstance(estimator.batch_size, str) and estimator.batch_size > n_samples:
        warn_user(
            f"batch_size is {estimator.batch_size}, but X has only {counted(n_samples, 'sample')}: they are one batch."
        )
    return batch_rows(estimator.batch_size, n_samples, optimizer_from_name(estimator.solver).rule)


# ---- conventions of scikit-learn


def sklearn_initial_params(rng: np.random.RandomState, sizes: tuple[int, ...], activation: Any) -> np.ndarray:
    """Return initial parameters (n_params,), the same numbers that scikit-learn draws from the same rng.

    Weights and biases are drawn from U(-b, b) with b = sqrt(f / (fan_in + fan_out)), where f = 2 for sigmoid units and
    6 for others.

    sizes : layer sizes
    """
    layout = Layout(sizes)
    check_params(layout.layer_sizes, layout.n_params, 8)
    factor = 2.0 if activation == "sigmoid" else 6.0
    bounds = [sqrt(factor / (i + j)) for i, j in layout.shapes]
    parts = [rng.uniform(-b, b, i * j + j) for b, (i, j) in zip(bounds, layout.shapes, strict=True)]
    return np.concatenate(parts)


class Scale(NamedTuple):
    """Factors that convert a loss of MLP (a mean over outputs, without one half) to scikit-learn's."""

    objective: float  # to the objective that is minimised
    reported: float  # to the loss in loss_ and loss_curve_


def scale_of(loss: str | Loss, n_outputs: int) -> Scale:
    """Return the factors from a loss of MLP to scikit-learn's.

    >>> scale_of("squared_error", 3)
    Scale(objective=1.5, reported=0.5)
    """
    if loss == "softmax_cross_entropy":
        return Scale(1.0, 1.0)
    if loss in ("squared_error", "huber"):
        return Scale(0.5 * n_outputs, 0.5)
    if loss in ("binary_cross_entropy", "poisson"):
        return Scale(float(n_outputs), float(n_outputs))
    return Scale(float(n_outputs), 1.0)


def poisson_constant(y: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Return the constant that scikit-learn's Poisson loss has and that of MLP lacks.

    The constant is the mean over samples of y log(y) - y, summed over outputs.

    y : (n_samples, n_outputs)
    sample_weight : (n_samples,) weights of the mean, or None
    """
    from scipy.special import xlogy

    return float(np.average(xlogy(y, y) - y, weights=sample_weight, axis=0).sum())


def inverse_scaling(
    power: float, n_batches: int, n_samples: int, seen: int, continues: bool
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return scikit-learn's schedule "invscaling": factors 1 / (t + 1) ** power on the learning rate.

    t is the number of samples seen by the end of the previous epoch.

    power : power_t of the estimator
    n_batches, n_samples : number of batches and of samples in an epoch
    seen : number of samples seen before this fit
    continues : whether the optimiser state continues too. If not, the factor is 1 in the first epoch.
    """

    def factors(steps: np.ndarray, n_steps: int) -> np.ndarray:
        epochs = steps // n_batches
        falling = (seen + epochs * n_samples + 1.0) ** -power
        return np.where((epochs == 0) & (not continues), 1.0, falling)

    return factors
