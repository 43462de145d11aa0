"""Parameters of the estimators, scikit-learn's and additional ones: checks, and conversion to those of MLP."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn import neural_network as theirs
from sklearn.utils._param_validation import Interval, StrOptions

from ..errors import checked_count, counted, shown
from ..interface.setting_checks import checked_dtype
from ..interface.user_warnings import warn_user
from ..network.spec import HIDDEN
from ..optimizers import OPTIMIZERS, SGD, Adam, Optimizer, optimizer_from_name
from ..optimizers.base import batch_rows
from .sklearn_conventions import FASTMLP_ACTIVATION, Scale

# Those of scikit-learn, whose names of activations stand for those of this package, which are known, too.
CONSTRAINTS: dict[str, list[Any]] = {
    **theirs.MLPClassifier._parameter_constraints,
    "activation": [StrOptions({*FASTMLP_ACTIVATION, *HIDDEN})],
    "solver": [StrOptions({"lbfgs", *OPTIMIZERS}), Optimizer],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "n_nets": [Interval(Integral, 1, None, closed="left")],
    "time_limit": [None, Interval(Real, 0, None, closed="neither")],
}
ALMOST_ZERO = 1e-300  # acts as 0 in the arithmetic; an exact beta of 0 would switch Adam's bias correction off


def keep_settings(estimator: Any, settings: dict[str, Any]) -> None:
    """Store constructor arguments as scikit-learn requires: unchanged, each as an attribute of its own name."""
    for name, value in settings.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


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
    if not isinstance(estimator.loss, str):
        raise ValueError(
            f"loss is {estimator.loss!r}, but must be a name. It is the first argument, as in scikit-learn since 1.7: "
            f"name the other one, MLPRegressor(hidden_layer_sizes={estimator.loss!r})."
        )
    estimator._validate_params()
    if estimator.schedule is not None and estimator.learning_rate != "constant":
        raise ValueError(
            f"Give a schedule or learning_rate={estimator.learning_rate!r}, not both: each decides the learning rate."
        )
    if estimator.n_nets > 1 and (not is_iterative(estimator) or estimator.learning_rate == "adaptive"):
        raise ValueError(
            "n_nets above 1 trains nets together, which solver='lbfgs' and learning_rate='adaptive' cannot: choose "
            "another solver or rate, or use sklearn's BaggingClassifier or BaggingRegressor around a single net."
        )
    hidden_sizes(estimator)
    dtype_of(estimator)


def check_partial_fit(estimator: Any) -> None:
    """Refuse settings that partial_fit, which trains for one epoch, cannot follow."""
    if estimator.early_stopping or estimator.n_nets > 1:
        raise ValueError("partial_fit does not support early_stopping=True, nor n_nets above 1.")
    if estimator.schedule is not None:
        raise ValueError(
            "partial_fit does not support schedule: it cannot know how many calls follow. Set learning_rate_init "
            "before each call, or use solver='sgd' with learning_rate='invscaling'."
        )


def warn_of_unused(estimator: Any, validation_data: Any) -> None:
    """Warn of settings of one's own that solver="lbfgs", which has no epochs, or several nets do not use.

    Nothing is said of scikit-learn's settings, such as early_stopping, whose documentation says it.
    """
    if estimator.n_nets > 1 and validation_data is not None and not estimator.early_stopping:
        warn_user(
            f"n_nets={estimator.n_nets} has no use for validation_data without early_stopping=True: records of each "
            "epoch are those of a single net."
        )
    if is_iterative(estimator):
        return
    unused = {
        "callbacks": estimator.callbacks,
        "schedule": estimator.schedule,
        "validation_data": validation_data,
        "dropout": estimator.dropout if np.any(estimator.dropout) else None,
    }
    if names := [name for name, value in unused.items() if value is not None]:
        warn_user(
            f"solver='lbfgs' does not use {' and '.join(names)}: it has no epochs, and minimises the loss of all "
            "samples at once. Choose another solver, such as 'adam', or leave the setting out."
        )


def dtype_of(estimator: Any) -> np.dtype:
    """Return the dtype of the nets. "auto" is float32, but float64 for lbfgs: its line search compares close losses.

    "input" is that of X in the fit that set the number of features: float32 for X in float32, otherwise float64.
    """
    if isinstance(estimator.dtype, str) and estimator.dtype == "auto":
        return np.dtype(np.float32 if is_iterative(estimator) else np.float64)
    if follows_input(estimator):
        return np.dtype(estimator.__dict__.get("_input_dtype", np.float64))
    return checked_dtype(estimator.dtype)


def follows_input(estimator: Any) -> bool:
    """Return whether the nets have the dtype of X, as in scikit-learn."""
    return isinstance(estimator.dtype, str) and estimator.dtype == "input"


def hidden_sizes(estimator: Any) -> tuple[int, ...]:
    return checked_hidden_sizes(estimator.hidden_layer_sizes)


def checked_hidden_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the parameter hidden_layer_sizes, an int or a sequence of int, as a tuple, after a check."""
    if isinstance(sizes, str):
        raise ValueError(
            "hidden_layer_sizes must be a whole number or a sequence of them, such as (64, 64), but it is the text "
            f"{shown(sizes)}."
        )
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    return tuple(checked_count(f"hidden_layer_sizes[{k}]", size) for k, size in enumerate(sizes))


def activation_of(estimator: Any) -> str:
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
    return optimizer_from_name(solver, rate)


def batch_size_of(estimator: Any, n_samples: int) -> int:
    if not is_iterative(estimator):
        return n_samples
    if not isinstance(estimator.batch_size, str) and estimator.batch_size > n_samples:
        warn_user(
            f"batch_size is {estimator.batch_size}, but X has only {counted(n_samples, 'sample')}: they are one batch."
        )
    return batch_rows(estimator.batch_size, n_samples, optimizer_from_name(estimator.solver).rule)
