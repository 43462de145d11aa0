"""MLPClassifier and MLPRegressor: drop-in replacements for scikit-learn's estimators of these names.

Parameters keep scikit-learn's names, defaults and meaning. scikit-learn reads them from the signature of __init__, so
each class lists all of them. All mathematics is in MLP and Population.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..class_probabilities import likeliest, log_probabilities, probabilities
from ..errors import shown
from ..interface.docstrings import with_entries_of
from ..interface.keywords import explains_names
from ..streams.source_kinds import is_source
from .base import BaseMLP
from .class_targets import ClassTargets
from .exporting import classifier, regressor
from .parameters import keep_settings
from .quantity_targets import QuantityTargets
from .regression_targets import QuantityRegressor
from .sample_input import float_type
from .source_scores import ScoresSources, in_pieces, reads_pieces
from .source_targets import names_target

from sklearn.base import ClassifierMixin  # isort: skip  # base says what to install
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

if TYPE_CHECKING:
    from typing_extensions import Self


@with_entries_of(BaseMLP)
class MLPClassifier(ScoresSources, ClassifierMixin, ClassTargets, BaseMLP):
    """Multilayer perceptron classifier: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    loss : str, default "log_loss"
        "log_loss"; or "squared_error", "absolute_error", "huber" or "atanh_error", computed between sigmoid outputs and
        targets 0 or 1.
    class_weight : dict or "balanced", optional
        {class: weight}, multiplied with sample_weight. Used in training only, not in the scores and losses of held-out
        samples. partial_fit takes only a dict, because it never sees all samples.
    label_smoothing : float, default 0.0
        Fraction of each target that is spread evenly over all classes. For more than two exclusive classes.
    eval_metric : str or scorer, optional
        The scikit-learn scorer for `validation_scores_`, instead of accuracy. Not for n_nets above 1.
    dtype : {"auto", "input", "float32", "float64"}, default "auto"
        Floating-point type of the nets; "auto" is float64 for solver="lbfgs", and float32 otherwise; "input" is that of
        X, as in scikit-learn: float32 for X in float32, and float64 otherwise. Two checks of
        scikit-learn's check_estimator, check_sample_weight_equivalence_on_dense_data and _on_sparse_data, pass only in
        float64: they compare a fit with weights and a fit with repeated rows to 1e-7, and rounding errors of float32
        sums are larger.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel classification the numbers of the labels.

    See Also
    --------
    MLPRegressor : The same for numbers.
    TabularMLPClassifier : For data frames with text and missing cells, with settings that need no tuning.
    cross_val_population : All folds of a cross-validation trained as one population.

    Notes
    -----
    Parameters up to max_fun have scikit-learn's names, defaults and meaning. get_params, set_params, score,
    get_metadata_routing, set_fit_request, set_partial_fit_request and set_score_request are those of scikit-learn.

    Pickle, joblib and skops keep a fitted estimator. `net_.save` writes the net alone, without class labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(random_state=0, max_iter=300, learning_rate_init=0.01).fit(X, y)
    >>> clf.predict(X[:2])
    array([0, 0])
    >>> clf.score(X, y) > 0.95
    True
    """

    @explains_names
    def __init__(  # noqa: PLR0913
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: str = "log_loss",
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        dropout: Any = 0.0,
        schedule: Any = None,
        callbacks: Any = None,
        eval_metric: Any = None,
        n_nets: int = 1,
        time_limit: float | None = None,
        device: str = "auto",
        dtype: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    @available_if(BaseMLP._can_continue)
    @explains_names
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        memory_limit: Any = None,
        row_cache: Any = None,
    ) -> Self:
        """Train for one epoch on the given samples, starting from the current parameters.

        The optimiser state (momentum, second moments) is kept from call to call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as in fit.
        y : array_like of shape (n_samples,) or (n_samples, n_labels)
            Labels, as in fit.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.
        classes : array_like of shape (n_classes,), optional
            All class labels that any call will see; required in the first call, except for multilabel targets.
        memory_limit, row_cache
            As for fit, where X is a source of rows: the epoch is one over all of them.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid, the first call lacks classes, or a later call has other ones.
        AttributeError
            For solver="lbfgs".
        """
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            raise ValueError(
                f"class_weight must be a dict {{class: weight}} or None, but it is {shown(self.class_weight)}."
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported by partial_fit, which cannot know how often the "
                "classes occur in samples that are still to come. Compute the weights from all labels, or from a large "
                "enough sample y of them, and pass them as a dict: class_weight=dict(zip(classes, sklearn.utils."
                "class_weight.compute_class_weight('balanced', classes=classes, y=y)))."
            )
        if "net_" not in self.__dict__ and classes is None and not self._may_be_multilabel(X, y):
            raise ValueError("classes must list all labels in the first call of partial_fit.")
        if "net_" in self.__dict__ and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes are {self.classes_.tolist()} since the first call, but now {np.unique(classes).tolist()}."
            )
        limits = memory_limit, row_cache
        return self._fit(X, y, sample_weight, None, incremental=True, classes=classes, limits=limits)

    @staticmethod
    def _may_be_multilabel(X: Any, y: Any) -> bool:
        if is_source(X):
            return False
        return bool(type_of_target(X[y] if names_target(X, y) else y).startswith("multilabel"))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most likely class of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), path, or source of rows
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples,), or of int64 and shape (n_samples, n_labels)
            Class labels, or 0 and 1 for multilabel classification.
        """
        if reads_pieces(X):
            return in_pieces(self.predict, X)
        found = likeliest(self._net(), self._features(X), self._is_multilabel)
        if self._is_multilabel:
            return found.astype(np.int64)
        return self.classes_[found if len(self.classes_) > 1 else [0] * len(found)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities.

        Probabilities are computed in float64 from logits, so that very small ones keep their precision. For X in
        float32 the result is rounded to float32, where probabilities above 1 - 6e-8 become 1; predict_log_proba still
        distinguishes them.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), path, or source of rows
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for multilabel classification each column is the probability of one label.
        """
        if reads_pieces(X):
            return in_pieces(self.predict_proba, X)
        return probabilities(self._net(), self._features(X), self._is_multilabel).astype(float_type(X), copy=False)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of predict_proba, computed from logits: finite even where a probability rounds to 0.

        Of labels that are not exclusive, probabilities above one half have the logarithm of the rounded probability, as
        in scikit-learn, so that equal probabilities stay equal.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), path, or source of rows
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        if reads_pieces(X):
            return in_pieces(self.predict_log_proba, X)
        log_p = log_probabilities(self._net(), self._features(X), self._is_multilabel)
        if self._is_multilabel:
            p = np.exp(log_p).astype(float_type(X), copy=False)
            log_p = np.where(p > 0.5, np.log(np.maximum(p, 0.5)), log_p)
        return log_p.astype(float_type(X), copy=False)

    def _predictor(self):
        return classifier(self._net(), self.classes_, is_multilabel=self._is_multilabel)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@with_entries_of(BaseMLP)
class MLPRegressor(ScoresSources, QuantityTargets, QuantityRegressor, BaseMLP):
    """Multilayer perceptron regressor: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    loss : str, default "squared_error"
        "squared_error", "poisson", "absolute_error" or "huber".
    huber_delta : float, default 1.0
        Absolute error beyond which the Huber loss is linear.
    eval_metric : str or scorer, optional
        The scikit-learn scorer for `validation_scores_`, instead of R2. Not for n_nets above 1.
    dtype : {"auto", "input", "float32", "float64"}, default "auto"
        Floating-point type of the nets; "auto" is float64 for solver="lbfgs", and float32 otherwise; "input" is that of
        X, as in scikit-learn: float32 for X in float32, and float64 otherwise.

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

    @explains_names
    def __init__(  # noqa: PLR0913
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        huber_delta: float = 1.0,
        dropout: Any = 0.0,
        schedule: Any = None,
        callbacks: Any = None,
        eval_metric: Any = None,
        n_nets: int = 1,
        time_limit: float | None = None,
        device: str = "auto",
        dtype: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    @available_if(BaseMLP._can_continue)
    @explains_names
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, memory_limit: Any = None, row_cache: Any = None
    ) -> Self:
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
        memory_limit, row_cache
            As for fit, where X is a source of rows: the epoch is one over all of them.

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
        return self._fit(X, y, sample_weight, None, incremental=True, limits=(memory_limit, row_cache))

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features), path, or source of rows
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_outputs) for several outputs
            In float32 for X in float32, else in float64.
        """
        if reads_pieces(X):
            return in_pieces(self.predict, X)
        outputs: np.ndarray = self._outputs(X).astype(float_type(X), copy=False)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _predictor(self):
        return regressor(self._net())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
