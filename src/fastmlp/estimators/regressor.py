"""MLPRegressor: a drop-in replacement for scikit-learn's. All mathematics is in MLP and Population.

Parameters keep scikit-learn's names, defaults and meaning. scikit-learn reads them from the signature of __init__.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from ..errors import counted
from ..export.predictor import NUMBERS, Predictor
from ..interface.docstrings import with_entries_of
from ..interface.keywords import explains_names, explains_parameters
from ..network.own_formulas import Loss
from .array_input import Scores, as_quantities
from .base import BaseMLP
from .fitted_net import float_type
from .parameters import CONSTRAINTS

if TYPE_CHECKING:
    from typing_extensions import Self

LOSSES = {"squared_error", "poisson", "absolute_error", "huber"}


@dataclass(eq=False, repr=False)
class OfLoss:
    """First parameter of MLPRegressor, as in scikit-learn: fields of later bases come first."""

    loss: str | Loss = "squared_error"


@with_entries_of(BaseMLP)
@explains_parameters
@dataclass(eq=False, repr=False, kw_only=True)
class MLPRegressor(Scores, RegressorMixin, BaseMLP, OfLoss):
    """Multilayer perceptron regressor: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    loss : str or Loss, default "squared_error"
        "squared_error", "poisson", "absolute_error", "huber", or a fastmlp.Loss of your own.
    huber_delta : float, default 1.0
        Absolute error beyond which the Huber loss is linear.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Floating-point type of the net; "auto" is float64 for solver="lbfgs", and float32 otherwise.

    See Also
    --------
    MLPClassifier : The same for classes.
    TabularMLPRegressor : For data frames with text and missing cells, with settings that need no tuning.
    cross_val_population : All folds of a cross-validation trained as one population.

    Notes
    -----
    Parameters up to max_fun have scikit-learn's names, defaults and meaning. get_params, set_params,
    get_metadata_routing, set_fit_request, set_partial_fit_request and set_score_request are those of scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=20, tol=1e-3, random_state=0))
    >>> model.fit(X, y / 100).score(X, y / 100) > 0.4
    True
    """

    _classifier = "MLPClassifier"
    _net_settings = ("huber_delta",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**CONSTRAINTS, "loss": [StrOptions(LOSSES), Loss]}

    huber_delta: float = 1.0

    @available_if(BaseMLP._can_continue)
    @explains_names
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given samples, starting from the current parameters.

        The optimiser state (momentum, second moments) is kept from call to call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as in fit.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid.
        AttributeError
            For solver="lbfgs".
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_outputs) for several outputs
            In float32 for X in float32, else in float64.
        """
        outputs = self._net().predict(self._features(X)).astype(float_type(X), copy=False)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _predictor(self):
        net = self._net()
        return Predictor(net.network, net.params, NUMBERS)

    # ---- targets

    def _set_targets(self, y, declared_classes):
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]

    def _encode(self, y):
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y must have {counted(self.n_outputs_, 'column')}, but it has shape {y.shape}.")
        return as_quantities(y, self._classifier)

    def _loss_name(self):
        return self.loss

    def _score_from_history(self, held_out):
        mean = np.average(held_out.targets, axis=0, weights=held_out.weights)
        variance = float(np.average((held_out.targets - mean) ** 2, weights=held_out.weights, axis=0).mean())
        if self.loss != "squared_error" or self.n_outputs_ > 1 or not variance > 0.0:
            return None
        return lambda history: 1.0 - float(history.validation_loss[-1]) / variance
