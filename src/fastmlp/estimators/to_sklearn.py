"""Conversion of a fitted estimator to scikit-learn's MLPClassifier or MLPRegressor: same parameters and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..mlp import MLP
from .sklearn_names import SKLEARN_ACTIVATIONS, SKLEARN_LOSSES, SKLEARN_SOLVERS, copy_records, shared_settings


def to_sklearn(estimator: Any) -> Any:
    """Return a scikit-learn estimator with the settings, parameters and records of a fitted fastmlp estimator.

    Settings that scikit-learn lacks and that do not change predictions, such as dropout, are left out.

    estimator : a fitted MLPClassifier or MLPRegressor of fastmlp

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        For an activation, loss or number of nets that scikit-learn does not support.
    """
    check_is_fitted(estimator)
    classifies = is_classifier(estimator)
    sklearn_class = neural_network.MLPClassifier if classifies else neural_network.MLPRegressor
    if not isinstance(estimator.net_, MLP):
        raise ValueError("scikit-learn has no net of n_nets nets: convert them one by one, or keep the ensemble here.")
    if estimator.activation not in SKLEARN_ACTIVATIONS or estimator.loss not in SKLEARN_LOSSES:
        raise ValueError(
            f"scikit-learn has no net with activation={estimator.activation!r} and "
            f"loss={estimator.loss!r}: it knows {', '.join(SKLEARN_ACTIVATIONS)}, and "
            f"{', '.join(SKLEARN_LOSSES)}."
        )
    settings = shared_settings(estimator, sklearn_class)
    if settings["solver"] not in SKLEARN_SOLVERS:
        settings["solver"] = "adam"  # only a later partial_fit uses the solver; predictions do not depend on it
    made = sklearn_class(**settings)
    copy_records(estimator, made)
    if classifies:
        if estimator.loss != "log_loss":
            raise ValueError(f"scikit-learn's classifier has no loss={estimator.loss!r}: it knows log_loss only.")
        multilabel = estimator._is_multilabel
        made._label_binarizer = LabelBinarizer().fit(
            np.eye(estimator.n_outputs_, dtype=int) if multilabel else estimator.classes_
        )
    else:
        made.loss = estimator.loss
    made.coefs_ = [W.copy() for W in estimator.coefs_]
    made.intercepts_ = [b.copy() for b in estimator.intercepts_]
    made._no_improvement_count = 0 if estimator._rules is None else estimator._rules.n_stalled
    made._best_coefs, made._best_intercepts = made.coefs_, made.intercepts_
    return made
