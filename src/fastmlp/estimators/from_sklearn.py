"""Conversion of a fitted MLPClassifier or MLPRegressor of scikit-learn: same parameters, same predictions."""

from __future__ import annotations

from typing import Any

from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..mlp import MLP
from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .single_net import net_settings


def from_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Return a fastmlp estimator with the settings, parameters and records of a fitted scikit-learn estimator.

    The new estimator predicts in the dtype of the parameters, and partial_fit continues from them with a new optimiser
    state.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        A fitted estimator of sklearn.neural_network.

    Returns
    -------
    MLPClassifier or MLPRegressor
        A fitted estimator of fastmlp.

    Raises
    ------
    TypeError
        For any other estimator.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPClassifier as SklearnClassifier
    >>> X, y = np.eye(4), np.array(["no", "yes", "yes", "no"])
    >>> original = SklearnClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
    >>> bool(np.allclose(from_sklearn(original).predict_proba(X), original.predict_proba(X)))
    True
    """
    if not isinstance(estimator, (neural_network.MLPClassifier, neural_network.MLPRegressor)):
        raise TypeError(
            "from_sklearn takes an MLPClassifier or MLPRegressor of sklearn.neural_network, but got "
            f"{type(estimator).__name__}. Of a pipeline or search pass the fitted step, as in search.best_estimator_."
        )
    check_is_fitted(estimator)
    cls: Any = MLPClassifier if is_classifier(estimator) else MLPRegressor
    settings = {name: value for name, value in estimator.get_params(deep=False).items() if hasattr(cls, name)}
    made = cls(**settings, dtype=estimator.coefs_[0].dtype.name)
    made._forget()
    for name, value in vars(estimator).items():
        if name[0] != "_" and name[-1] == "_" and name not in ("coefs_", "intercepts_"):
            setattr(made, name, list(value) if isinstance(value, list) else value)
    if isinstance(made, MLPClassifier):
        made._is_multilabel = estimator._label_binarizer.y_type_.startswith("multilabel")
    sizes = estimator.n_features_in_, *(len(b) for b in estimator.intercepts_)
    made.net_ = MLP(sizes, **net_settings(made), random_state=0)
    made.coefs_, made.intercepts_ = estimator.coefs_, estimator.intercepts_
    made._rules.n_stalled = getattr(estimator, "_no_improvement_count", 0)  # for a warm start
    if getattr(estimator, "best_loss_", None) is not None:
        made._rules.best_loss = estimator.best_loss_
    if getattr(estimator, "best_validation_score_", None) is not None:
        made._rules.best_score = estimator.best_validation_score_
        made._rules.best_params = made.net_.params.copy()  # with which a warm start ends that finds no better ones
    return made
