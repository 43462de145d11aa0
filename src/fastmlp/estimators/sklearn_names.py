"""Names common to scikit-learn's MLPs and the estimators here: activations, solvers, losses, fitted attributes."""

from __future__ import annotations

from inspect import signature
from typing import Any

SKLEARN_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SKLEARN_SOLVERS = ("lbfgs", "sgd", "adam")
SKLEARN_LOSSES = ("log_loss", "squared_error", "poisson")
RECORDS = (
    "classes_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "t_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "n_features_in_",
    "feature_names_in_",
)


def shared_settings(estimator: Any, other: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that another estimator class has too."""
    names = signature(other.__init__).parameters
    return {name: value for name, value in estimator.get_params(deep=False).items() if name in names}


def copy_records(source: Any, target: Any) -> None:
    for name in RECORDS:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, list(value) if isinstance(value, list) else value)
