"""Names that scikit-learn's multilayer perceptrons and the estimators here have in common: activations, solvers, losses
and fitted attributes.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

SKLEARN_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SKLEARN_SOLVERS = ("lbfgs", "sgd", "adam")
SKLEARN_LOSSES = ("log_loss", "squared_error", "poisson")
RECORDS = (
    "classes_", "loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "t_", "n_iter_",
    "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "feature_names_in_",
)  # fmt: skip


def shared_settings(estimator: Any, other: Any) -> dict[str, Any]:
    """The settings of an estimator that another class has too."""
    names = signature(other.__init__).parameters
    return {name: value for name, value in estimator.get_params(deep=False).items() if name in names}


def copy_records(source: Any, target: Any) -> None:
    for name in RECORDS:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, list(value) if isinstance(value, list) else value)
