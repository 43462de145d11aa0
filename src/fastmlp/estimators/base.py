"""Base class of MLPClassifier and MLPRegressor: parameters, and training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ..export.export_to_file import Exportable
from ..fit.optimizer_state import OptimizerState
from ..interface.keywords import explains_names
from .array_input import checked_sample_weights, dense, missing_targets_named
from .fitted_net import FittedNet
from .parameters import CONSTRAINTS, SKLEARN_OUTPUT, check_settings, checked_hidden_sizes, is_iterative, warn_of_unused
from .single_net import SplitSamples, train_net
from .stopping_rules import EpochRules

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..network.own_formulas import Activation, Loss


@dataclass(eq=False, repr=False)
class BaseMLP(FittedNet, Exportable, BaseEstimator, ABC):
    """Base class of the two MLP estimators: everything that does not depend on the kind of target.

    Its fields are the parameters of both; a field of a subclass is one more.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Number of units in each hidden layer.
    activation : str or Activation, default "relu"
        "identity", "logistic", "tanh", "relu", any other hidden activation of fastmlp.MLP, or a fastmlp.Activation of
        your own.
    solver : str or Optimizer, default "adam"
        "lbfgs", "sgd", "adam", or another fastmlp optimiser, given by name or as an object such as
        fastmlp.AdamW(3e-3). An object uses its own settings, not those of the estimator.
    alpha : float, default 0.0001
        Strength of the L2 penalty: alpha / 2 times the sum of squared weights is divided by the batch size and added to
        the loss.
    batch_size : int or "auto", default "auto"
        Number of samples per step; "auto" is 200, or all samples if they are fewer, and all samples for "lbfgs",
        "quickprop", "rprop" and "levenbergmarquardt".
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        How solver="sgd" changes the learning rate: not at all; by 1 / t ** power_t, for t samples seen; or divided by 5
        whenever training has stalled.
    learning_rate_init : float, default 0.001
        Learning rate at the start, of all solvers but "lbfgs" and "levenbergmarquardt".
    power_t : float, default 0.5
        Exponent of learning_rate="invscaling".
    max_iter : int, default 200
        Largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default True
        Whether each epoch visits the samples in a new random order.
    random_state : int, RandomState or None, default None
        Seed of the initial parameters, the validation split, shuffling and dropout.
    tol : float, default 1e-4
        Training has stalled if more than n_iter_no_change epochs do not improve the loss, or the score with
        early_stopping, by tol. For "lbfgs" it is the largest component of the gradient at the end.
    verbose : bool, default False
        Whether to print the loss of each epoch.
    warm_start : bool, default False
        Whether fit continues from the parameters of the last fit.
    momentum : float, default 0.9
        Momentum of solver="sgd", in [0, 1).
    nesterovs_momentum : bool, default True
        Whether solver="sgd" uses Nesterov's variant, if momentum is above 0.
    early_stopping : bool, default False
        Whether to hold out samples, and to end with the parameters of the epoch with the best score on them.
    validation_fraction : float, default 0.1
        Fraction of the samples that early_stopping holds out.
    beta_1 : float, default 0.9
        Decay of Adam's first moment, in [0, 1).
    beta_2 : float, default 0.999
        Decay of Adam's second moment, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root of Adam's corrected second moment.
    n_iter_no_change : int, default 10
        Number of epochs without improvement after which training has stalled; numpy.inf for no such limit.
    max_fun : int, default 15000
        Largest number of evaluations of the loss by "lbfgs".
    dropout : float or sequence of float, default 0.0
        Fraction of hidden units dropped in each training step, one for all hidden layers or one per layer.
    callbacks : callable or sequence of callable, optional
        Called as callback(epoch, history) after each epoch; history.net is the MLP being trained. Training stops when a
        callback returns True.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.

    Attributes
    ----------
    net_ : MLP
        The trained net.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, as views of `net_.params`: write into them, since they are not replaced.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, in the same way.
    loss_ : float
        Loss of the last epoch, penalty included.
    best_loss_ : float or None
        Lowest loss of an epoch. None with early_stopping.
    loss_curve_ : list of float
        Loss of each epoch, penalty included. Empty with solver="lbfgs".
    validation_scores_ : list of float or None
        Score on the held-out samples after each epoch.
    best_validation_score_ : float or None
        Best of these scores, with early_stopping.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples after each epoch, without the penalty.
    n_iter_ : int
        Number of epochs, or of iterations of "lbfgs".
    t_ : int
        Number of samples that training has visited, over all fits that continued one another.
    n_layers_ : int
        Number of layers, the input layer included.
    n_outputs_ : int
        Number of outputs of the net.
    out_activation_ : str
        Output activation, by scikit-learn's name.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, if X had names that are text.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    ValueError
        In fit, if a setting is invalid.
    """

    hidden_layer_sizes: Any = (100,)
    activation: str | Activation = "relu"
    _: KW_ONLY
    solver: Any = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: Any = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    dropout: Any = 0.0
    callbacks: Any = None
    device: str = "auto"
    dtype: Any = "auto"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS
    _input_tags: ClassVar[tuple[str, ...]] = ("sparse",)
    _net_settings: ClassVar[tuple[str, ...]]  # parameters that MLP and Population have by the same names

    # ---- methods of the subclasses

    @abstractmethod
    def _set_targets(self, y: np.ndarray, declared_classes: Any) -> None:
        """Set n_outputs_ and the other attributes that the encoding of y depends on, such as classes_.

        declared_classes : class labels given to partial_fit, or None to take them from y
        """

    def _check_targets_unchanged(self, y: np.ndarray) -> None:
        """Raise ValueError if training cannot continue with y, for example because of new classes."""

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return y in the form that the net is trained on: class indices or numbers."""

    @abstractmethod
    def _loss_name(self) -> str | Loss:
        """Return the name of the loss as MLP knows it."""

    def _training_weights(self, samples: SplitSamples) -> np.ndarray | None:
        return samples.weights

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """Return the classes to stratify the held-out samples by, or None for a split without strata."""
        return None

    def _score_from_history(self, held_out: SplitSamples) -> Any:
        """Return a function that computes the validation score from the records of a History, or None.

        None if the score does not follow from the records; the net must then predict after each epoch.
        """
        return None

    # ---- training

    @explains_names
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Self:
        """Train on samples X and targets y.

        Ctrl-C ends the fit with a warning; the net keeps the parameters reached so far.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs; sparse input is converted to a dense array.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or 0 and 1 in a column per label for multilabel classification; numbers for a regressor.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples to evaluate after each epoch; with early_stopping=True,
            also the samples that decide when to stop.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid, or if training diverges.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If training reaches max_iter before it converges.
        """
        before = self.__dict__.copy()
        try:
            return self._fit(X, y, sample_weight, validation_data)
        except BaseException:
            if self.__dict__.get("net_") is before.get("net_"):  # the classes and columns must remain those of the net
                self.__dict__.clear()
                self.__dict__.update(before)
            raise

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, incremental: bool = False, classes: Any = None
    ) -> Self:
        """Train the net; arguments as for fit and partial_fit of the subclasses.

        incremental : whether this is a partial_fit
        """
        check_settings(self)
        warn_of_unused(self, validation_data)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True.")
        is_new = "net_" not in self.__dict__ or not (self.warm_start or incremental)
        with missing_targets_named(y):
            X, y = self._validated(X, y, reset=is_new)
            weights = checked_sample_weights(sample_weight, X)
            if is_new:
                self._set_targets(y, classes)
            else:
                self._check_targets_unchanged(y)
            samples = SplitSamples(dense(X), y, self._encode(y), weights)
        held_out = None if validation_data is None else self._held_out(validation_data)
        sizes = (self.n_features_in_, *checked_hidden_sizes(self.hidden_layer_sizes), self.n_outputs_)
        if not is_new and self.net_.network.layer_sizes != sizes:
            raise ValueError(
                f"Training goes on with a net of layers {self.net_.network.layer_sizes}, but the settings and data ask "
                f"for {sizes}. Keep them as they were, or fit anew with warm_start=False."
            )
        params = None if is_new else self.net_.params
        rng = check_random_state(self.random_state)
        if is_new:
            self.t_ = 0
            self._forget()
        train_net(self, samples, held_out, sizes, params, rng, incremental)
        self._finish(sizes)
        return self

    def _forget(self) -> None:
        """Reset the records of earlier fits, and the state of stopping rules and optimiser."""
        self.loss_curve_: list[float] = []
        self.validation_scores_ = self.validation_loss_curve_ = None
        self._rules = EpochRules()
        self._optimizer_state: OptimizerState | None = None

    def _finish(self, sizes: tuple[int, ...]) -> None:
        """Set the attributes that describe the net: n_layers_ and out_activation_."""
        self.n_layers_ = len(sizes)
        output = self.net_.network.output_row.name
        self.out_activation_ = SKLEARN_OUTPUT.get(output, output)

    def _can_continue(self) -> bool:
        """Return True if partial_fit is available; otherwise raise AttributeError, as available_if expects."""
        if is_iterative(self):
            return True
        raise AttributeError("partial_fit is there for solvers that go epoch by epoch, which 'lbfgs' does not.")
