"""MLPClassifier: a drop-in replacement for scikit-learn's. All mathematics is in MLP and Population.

Parameters keep scikit-learn's names, defaults and meaning. scikit-learn reads them from the signature of __init__.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..class_probabilities import likeliest, log_probabilities, probabilities
from ..data.sample_weights import check_class_weights
from ..export.predictor import classifier
from ..interface.docstrings import with_entries_of
from ..interface.keywords import explains_names, explains_parameters
from ..tables.target import are_unknown
from .array_input import Scores
from .base import BaseMLP
from .fitted_net import float_type
from .single_net import SplitSamples

if TYPE_CHECKING:
    from typing_extensions import Self


@with_entries_of(BaseMLP)
@explains_parameters
@dataclass(eq=False, repr=False, kw_only=True)
class MLPClassifier(Scores, ClassifierMixin, BaseMLP):
    """Multilayer perceptron classifier: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    class_weight : dict or "balanced", optional
        {class: weight}, multiplied with sample_weight. Used in training only, not in the scores and losses of held-out
        samples. partial_fit takes only a dict, because it never sees all samples.
    label_smoothing : float, default 0.0
        Fraction of each target that is spread evenly over all classes. For more than two exclusive classes.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Floating-point type of the net; "auto" is float64 for solver="lbfgs", and float32 otherwise. Two checks of
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

    loss = "log_loss"  # as of scikit-learn's

    _net_settings = ("label_smoothing",)

    class_weight: Any = None
    label_smoothing: float = 0.0

    @available_if(BaseMLP._can_continue)
    @explains_names
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
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
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which cannot know how often the "
                "classes occur in samples that are still to come. Compute the weights from all labels, or from a large "
                "enough sample y of them, and pass them as a dict: class_weight=dict(zip(classes, sklearn.utils."
                "class_weight.compute_class_weight('balanced', classes=classes, y=y)))."
            )
        if "net_" not in self.__dict__ and classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must list all labels in the first call of partial_fit.")
        if "net_" in self.__dict__ and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes are {self.classes_.tolist()} since the first call, but now {np.unique(classes).tolist()}."
            )
        return self._fit(X, y, sample_weight, None, incremental=True, classes=classes)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most likely class of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples,), or of int64 and shape (n_samples, n_labels)
            Class labels, or 0 and 1 for multilabel classification.
        """
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
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for multilabel classification each column is the probability of one label.
        """
        return probabilities(self._net(), self._features(X), self._is_multilabel).astype(float_type(X), copy=False)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of predict_proba, computed from logits: finite even where a probability rounds to 0.

        Of labels that are not exclusive, probabilities above one half have the logarithm of the rounded probability, as
        in scikit-learn, so that equal probabilities stay equal.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as for fit.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        log_p = log_probabilities(self._net(), self._features(X), self._is_multilabel)
        if self._is_multilabel:
            p = np.exp(log_p).astype(float_type(X), copy=False)
            log_p = np.where(p > 0.5, np.log(np.maximum(p, 0.5)), log_p)
        return log_p.astype(float_type(X), copy=False)

    def _predictor(self):
        return classifier(self._net(), self.classes_, is_multilabel=self._is_multilabel)

    # ---- targets

    def _set_targets(self, y, declared_classes):
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError("y has several columns of classes: fit one classifier each, with MultiOutputClassifier.")
        check_classification_targets(y)
        self._is_multilabel = kind == "multilabel-indicator"
        if self._is_multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(y if declared_classes is None else declared_classes)
        exclusive = len(self.classes_) if len(self.classes_) > 2 else 1
        self.n_outputs_ = y.shape[1] if self._is_multilabel else exclusive

    def _check_targets_unchanged(self, y):
        if self.warm_start and not self._is_multilabel and not np.array_equal(found := np.unique(y), self.classes_):
            raise ValueError(  # scikit-learn's words, which programs look for
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes_}, `y` has {found}"
            )

    def _encode(self, y):
        if self._is_multilabel:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y must have shape (n_samples, {self.n_outputs_}), but it has shape {y.shape}.")
            return y.astype(np.float64)
        y = column_or_1d(y, warn=True)
        if (unknown := are_unknown(y, self.classes_)).any():
            found = np.unique(y[unknown]).tolist()
            raise ValueError(f"y has the classes {found}, which are not among {self.classes_.tolist()}.")
        return np.searchsorted(self.classes_, y)

    def _loss_name(self):
        return "binary_cross_entropy" if self._is_multilabel or self.n_outputs_ == 1 else "softmax_cross_entropy"

    def _training_weights(self, samples: SplitSamples):
        if self.class_weight is None:
            return samples.weights
        check_class_weights(self.class_weight)
        if isinstance(self.class_weight, dict) and not self._is_multilabel:  # it may name classes that y lacks
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            of_class = weights[samples.targets]
        else:
            of_class = compute_sample_weight(self.class_weight, samples.y)
        return of_class if samples.weights is None else of_class * samples.weights

    def _strata(self, y):
        if self.n_outputs_ > 1 or self._is_multilabel:
            return None
        return (y == self.classes_[-1]).astype(str)  # as scikit-learn: binary classes only, named so in its messages

    def _score_from_history(self, held_out):
        if self._is_multilabel:  # its score counts a sample as correct only if all of its labels are
            return None
        return lambda history: float(history.validation_accuracy[-1])
