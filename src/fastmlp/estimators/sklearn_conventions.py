"""Conventions of scikit-learn's MLPs: names, initial weights, factors of losses, the schedule "invscaling", and
their estimators from ours.

The estimators follow sklearn.neural_network 1.9. With B samples in a batch, its objective is a sum over outputs, with
a factor of one half before squares, plus the penalty alpha / (2 B) times the sum of squared weights.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..network.parameter_layout import Layout
from ..runtime.memory_check import check_params

FASTMLP_ACTIVATION = {"logistic": "sigmoid"}  # scikit-learn's name -> ours
SKLEARN_OUTPUT = {"sigmoid": "logistic", "exponential": "exp"}  # our name -> scikit-learn's


def sklearn_initial_params(rng: np.random.RandomState, layout: Layout, activation: str) -> np.ndarray:
    """Return initial parameters (n_params,), the same numbers that scikit-learn draws from the same rng.

    Weights and biases are drawn from U(-b, b) with b = sqrt(f / (fan_in + fan_out)), where f = 2 for sigmoid units and
    6 for others.
    """
    check_params(layout.layer_sizes, layout.n_params, 8)
    factor = 2.0 if activation == "sigmoid" else 6.0
    bounds = [sqrt(factor / (i + j)) for i, j in layout.shapes]
    parts = [rng.uniform(-b, b, i * j + j) for b, (i, j) in zip(bounds, layout.shapes, strict=True)]
    return np.concatenate(parts)


def parameters_of_layers(layers: tuple[Any, Any], sizes: tuple[int, ...]) -> np.ndarray | None:
    """Return initial parameters (n_params,) from coefs_ and intercepts_ that were set before a fit, or None.

    layers : coefs_ and intercepts_, one array per layer, or None
    sizes : layer sizes

    Raises
    ------
    ValueError
        If only one of them was set, or shapes are not those of the layers.
    """
    if layers == (None, None):
        return None
    layout, found = Layout(sizes), []
    expected = [shape for i, j in layout.shapes for shape in ((i, j), (j,))]
    if None not in layers and len(layers[0]) == len(layers[1]) == layout.n_layers:
        found = [np.asarray(array, np.float64) for layer in zip(*layers, strict=True) for array in layer]
    if [array.shape for array in found] != expected:
        raise ValueError(
            f"coefs_ and intercepts_ were set before fit, but not with the shapes of layers {sizes}: "
            f"{list(layout.shapes)} and {[(j,) for _, j in layout.shapes]}. Set both so, or neither."
        )
    return np.concatenate([array.ravel() for array in found])


class Scale(NamedTuple):
    """Factors that convert a loss of MLP (a mean over outputs, without one half) to scikit-learn's."""

    objective: float  # to the objective that is minimised
    reported: float  # to the loss in loss_ and loss_curve_


def scale_of(loss: str, n_outputs: int) -> Scale:
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


# ---- conversion of estimators, with from_sklearn.py

# What scikit-learn knows.
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SOLVERS = ("lbfgs", "sgd", "adam")
LOSSES = ("log_loss", "squared_error", "poisson")
OF_NET = ("net_", "coefs_", "intercepts_", "validation_loss_curve_")  # the last of ours only


def to_sklearn(estimator: Any) -> Any:
    """Return what MLPClassifier.to_sklearn and MLPRegressor.to_sklearn do.

    Settings that scikit-learn lacks and that do not change predictions, such as dropout, are left out.
    """
    from sklearn import neural_network
    from sklearn.preprocessing import LabelBinarizer

    check_is_fitted(estimator)
    if hasattr(estimator.net_, "n_nets"):
        raise ValueError("scikit-learn has no net of n_nets nets: convert them one by one, or keep the ensemble here.")
    if estimator.activation not in ACTIVATIONS or estimator.loss not in LOSSES:
        raise ValueError(
            f"scikit-learn has no net with activation={estimator.activation!r} and loss={estimator.loss!r}: it knows "
            f"{', '.join(ACTIVATIONS)}, and {', '.join(LOSSES)}."
        )
    cls = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
    settings = shared_settings(estimator, cls)
    if settings["solver"] not in SOLVERS:
        settings["solver"] = "adam"  # only a later partial_fit uses the solver; predictions do not depend on it
    made = cls(**settings)
    copy_records(estimator, made)
    if is_classifier(estimator):
        labels = np.eye(estimator.n_outputs_, dtype=int) if estimator._is_multilabel else estimator.classes_
        made._label_binarizer = LabelBinarizer().fit(labels)
    made.coefs_ = [W.copy() for W in estimator.coefs_]
    made.intercepts_ = [b.copy() for b in estimator.intercepts_]
    made._no_improvement_count = estimator._rules.n_stalled
    made._best_coefs, made._best_intercepts = made.coefs_, made.intercepts_
    return made


def shared_settings(estimator: Any, cls: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that another class has too."""
    names = signature(cls).parameters
    return {name: value for name, value in estimator.get_params(deep=False).items() if name in names}


def copy_records(source: Any, target: Any) -> None:
    """Copy the fitted attributes that the estimators of both packages have, but for the net."""
    for name, value in vars(source).items():
        if name[0] != "_" and name[-1] == "_" and name not in OF_NET:
            setattr(target, name, list(value) if isinstance(value, list) else value)
