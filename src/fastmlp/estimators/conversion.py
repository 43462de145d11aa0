"""Fitted estimators of scikit-learn as ours, and ours as scikit-learn's: same parameters, same predictions."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np

from .mlp import MLPClassifier, MLPRegressor

from sklearn import neural_network  # isort: skip  # after estimators, which says what to install
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..mlp import MLP
from .base import BaseMLP
from .single_net import make_net
from .sklearn_compat import EpochRules

PAIRS = ((neural_network.MLPClassifier, MLPClassifier), (neural_network.MLPRegressor, MLPRegressor))
THEIR_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
THEIR_SOLVERS = ("lbfgs", "sgd", "adam")
THEIR_LOSSES = ("log_loss", "squared_error", "poisson")
RECORDS = (
    "classes_", "loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "t_", "n_iter_",
    "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "feature_names_in_",
)  # fmt: skip


def from_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Our estimator with settings, parameters and records of scikit-learn's fitted MLPClassifier or MLPRegressor.

    It predicts in the dtype of the parameters it takes over, and partial_fit goes on from them with a new optimiser.

    Raises
    ------
    TypeError
        For any other estimator.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    >>> import numpy as np
    >>> from sklearn.neural_network import MLPClassifier as Theirs
    >>> X, y = np.eye(4), np.array(["no", "yes", "yes", "no"])
    >>> theirs = Theirs((8,), solver="lbfgs", random_state=0).fit(X, y)
    >>> bool(np.allclose(from_sklearn(theirs).predict_proba(X), theirs.predict_proba(X)))
    True
    """
    ours = next((ours for theirs, ours in PAIRS if isinstance(estimator, theirs)), None)
    if ours is None:
        raise TypeError(
            "from_sklearn takes an MLPClassifier or MLPRegressor of sklearn.neural_network, but got "
            f"{type(estimator).__name__}. Of a pipeline or search pass the fitted step, as in search.best_estimator_."
        )
    check_is_fitted(estimator)
    dtype = estimator.coefs_[0].dtype.name
    made = ours(**_shared(estimator, ours), dtype=dtype)
    made._forget()
    _copy_records(estimator, made)
    if isinstance(made, MLPClassifier):
        made._is_multilabel = estimator._label_binarizer.y_type_.startswith("multilabel")
    sizes = (estimator.n_features_in_, *(len(b) for b in estimator.intercepts_))
    made.net_ = make_net(made, sizes)
    made.coefs_, made.intercepts_ = estimator.coefs_, estimator.intercepts_
    made._rules = _rules_of(estimator)
    return made


def to_sklearn(estimator: BaseMLP) -> Any:
    """scikit-learn's estimator with the settings, parameters and records of a fitted one of ours.

    What only fastmlp has, such as dropout, is left out where it does not change predictions.

    Raises
    ------
    ValueError
        For an activation, loss or number of nets that scikit-learn has not.
    """
    check_is_fitted(estimator)
    theirs = next(theirs for theirs, ours in PAIRS if isinstance(estimator, ours))
    if not isinstance(estimator.net_, MLP):
        raise ValueError("scikit-learn has no net of n_nets nets: convert them one by one, or keep the ensemble here.")
    if estimator.activation not in THEIR_ACTIVATIONS or estimator.loss not in THEIR_LOSSES:
        raise ValueError(
            f"scikit-learn has no net with activation={estimator.activation!r} and "
            f"loss={estimator.loss!r}: it knows {', '.join(THEIR_ACTIVATIONS)}, and "
            f"{', '.join(THEIR_LOSSES)}."
        )
    settings = _shared(estimator, theirs)
    if settings["solver"] not in THEIR_SOLVERS:
        settings["solver"] = "adam"  # for a partial_fit; predictions do not depend on it
    made = theirs(**settings)
    _copy_records(estimator, made)
    if isinstance(estimator, MLPClassifier):
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


def _shared(estimator: Any, other: Any) -> dict[str, Any]:
    """The settings of an estimator that another class has too."""
    names = signature(other.__init__).parameters
    return {name: value for name, value in estimator.get_params(deep=False).items() if name in names}


def _copy_records(source: Any, target: Any) -> None:
    for name in RECORDS:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, list(value) if isinstance(value, list) else value)


def _rules_of(estimator: Any) -> EpochRules | None:
    """What the epochs so far have left for a warm start."""
    if not hasattr(estimator, "_no_improvement_count"):
        return None
    rules = EpochRules(tol=estimator.tol, n_iter_no_change=estimator.n_iter_no_change)
    rules.n_stalled = estimator._no_improvement_count
    if estimator.best_loss_ is not None:
        rules.best_loss = estimator.best_loss_
    if estimator.best_validation_score_ is not None:
        rules.best_score = estimator.best_validation_score_
    return rules
