"""TabularMLPClassifier and TabularMLPRegressor: MLPs for tables, with defaults that the literature found to work.

Numbers become normal scores and, where the targets leap, bins (Gorishniy et al. 2022, arXiv:2203.05556); categories are
one-hot encoded. Nets are trained with dropout, AdamW with clipped gradients and early stopping on
held-out rows (Gorishniy et al. 2021, arXiv:2106.11959; Kadra et al. 2021, arXiv:2106.11189). The learning rate, and of
classes the label smoothing and a smooth activation, are as in RealMLP (Holzmüller et al. 2024, arXiv:2407.04491). The
mean of a few nets predicts. bench/accuracy/tables.py measures the accuracy; bench/log/tables.md#tabular-recipe has the
figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ...class_probabilities import likeliest, log_probabilities, log_probabilities_of, probabilities
from ...data.sample_weights import check_class_weights
from ...errors import counted, shown
from ...export.predictor import NUMBERS, Predictor, classifier
from ...interface.docstrings import with_entries_of
from ...interface.keywords import explains_parameters
from ...streams.source_kinds import is_source
from ...table_training.recipes import AUTO, OF_CLASSES, OF_LABELS, OF_NUMBERS
from ...tables.cells import listed
from ...tables.target import CLASSIFICATION, REGRESSION, Target, check_range, class_numbers, distinct_labels
from ..array_input import as_quantities
from .base import BaseTabular
from .table_data import SourceScores, in_pieces


@with_entries_of(BaseTabular)
@explains_parameters
@dataclass(eq=False, repr=False, kw_only=True)
class TabularMLPClassifier(SourceScores, ClassifierMixin, BaseTabular):
    """Multilayer perceptron classifier for tables, with settings that need no tuning.

    Columns of numbers become normal scores and bins, text and categorical columns are one-hot encoded, dates have a
    place in the day, the week and the year, and missing cells are handled. Early stopping on held-out rows ends the
    training of each net. Predictions are the mean probabilities over the nets.

    Parameters
    ----------
    validation_fraction : float, default "auto"
        Fraction of rows held out for early stopping, stratified by class; without folds 0.2, of all nets the same rows.
        With 0, all epochs use all rows.
    class_weight : dict or "balanced", optional
        {class: weight}, multiplied with sample_weight. Unlike in MLPClassifier, it applies to held-out samples too:
        their loss chooses the best epoch, and without class weights it would choose an epoch before the weights have
        had an effect.
    label_smoothing : float, default "auto"
        Fraction of each target that is spread evenly over all classes. In all presets 0.1 if rows are held out, by
        which probabilities are calibrated: that takes away the doubt that smoothing adds to them. Otherwise 0, as for
        multilabel y.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel classification the numbers of the labels.
    temperature_ : float
        Divisor of the logits in predict_proba, by which held-out rows have the lowest log loss; 1.0 without any.
    loss_curve_ : list of float
        Loss on the training samples, one value per epoch. Only for a single net.

    See Also
    --------
    TabularMLPRegressor : The same for numbers.
    MLPClassifier : scikit-learn's classifier, for arrays of numbers.

    Notes
    -----
    Nets are trained by AdamW with gradients clipped to norm 1. get_params, set_params, score, get_metadata_routing,
    set_fit_request and set_score_request are those of scikit-learn.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 20, "colour": ["red", "blue", "blue", "red"] * 20})
    >>> y = ["a", "b", "b", "a"] * 20
    >>> model = TabularMLPClassifier(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> print(model.predict(X[:4]))
    ['a' 'b' 'b' 'a']
    >>> model.notes_on(pd.DataFrame({"size": [1.0, 2.0], "colour": ["mauve", "red"]}))
    ("Column 'colour' has categories unseen in training in 1 of 2 cells ('mauve'), which are encoded as zeros.",)
    """

    class_weight: Mapping[Any, float] | str | None = None
    label_smoothing: float | str = AUTO

    _is_classifier = True
    _is_multilabel = False
    temperature_ = 1.0  # of estimators that an earlier version has pickled

    def _checked_y(self, y):
        y = super()._checked_y(y)
        if y.dtype == object and y.ndim == 1 and not any(isinstance(label, str) for label in y):
            plain = np.array(y.tolist())  # objects that are all numbers or truths, such as of a column that had gaps
            y = plain if plain.ndim == 1 and plain.dtype.kind in "biuf" else y
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multilabel-indicator" and not np.isin(y, (0, 1)).all():
            raise ValueError("y with several columns must hold 0 and 1, whether a row has the label of the column.")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            raise ValueError(
                "y must be one column of classes, or a column of 0 and 1 for each label. For several columns of "
                "classes, fit one model each."
            )
        return y

    def _set_targets(self, y):
        self._is_multilabel, self._class_weights = y.ndim == 2, None
        self._loss = OF_LABELS if self._is_multilabel else OF_CLASSES
        self.classes_ = np.arange(y.shape[1]) if self._is_multilabel else np.unique(y)
        self.n_outputs_ = len(self.classes_)
        if len(self.classes_) < 2 and not self._is_multilabel:
            (label,) = self.classes_.tolist()
            raise ValueError(f"y holds one class only, {shown(label)}; a classifier needs two or more.")
        if self.class_weight is not None:
            check_class_weights(self.class_weight)
            if not self._is_multilabel:
                self._class_weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)

    def _codes(self, y):
        """Return the class indices of labels y, in any spelling; true is 1 if 0 and 1 are the only classes.

        For multilabel classification, y as numbers (n_samples, n_labels).
        """
        if self._is_multilabel or y.ndim == 2:
            if not self._is_multilabel or y.shape != (len(y), self.n_outputs_):
                columns = counted(self.n_outputs_, "column") if self._is_multilabel else "one column"
                raise ValueError(f"y must have {columns}, but it has shape {y.shape}.")
            return y.astype(np.float64)
        labels, inverse = distinct_labels(y)
        codes = class_numbers(labels.tolist(), self.classes_.tolist())
        if (codes < 0).any():
            unknown, classes = labels.tolist()[int(np.argmin(codes))], self.classes_.tolist()
            raise ValueError(
                f"y has the class {shown(unknown)}, which was not among those to train on: "
                f"{listed(map(repr, classes), 10)}."
            )
        return codes[inverse]

    _encode = _codes

    def _target(self, name):
        if self._is_multilabel:
            return None
        try:
            return Target(name, CLASSIFICATION, tuple(self.classes_.tolist()), temperature=self.temperature_)
        except ValueError:  # Target cannot describe classes that are neither text nor numbers
            return None

    def _predictions_of(self, logits):
        return np.exp(log_probabilities_of(logits, self.net_.network, self._is_multilabel, self.temperature_))

    def _of_classes(self, predict, X):
        """Return what a function of class_probabilities says of a table, which is read in pieces if it is a source."""
        if is_source(X):
            return in_pieces(partial(self._of_classes, predict), X)
        features = self._features(X)  # an error if there is no net
        return predict(self.net_, features, self._is_multilabel, self.temperature_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted classes; for multilabel classification, the labels whose probability is above one half.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            The table, with the columns of the training table in their order. A source is read piece by piece.

        Returns
        -------
        ndarray of shape (n_samples,), or of int64 and shape (n_samples, n_labels)
            Class labels, or 0 and 1 for multilabel classification.
        """
        numbers = self._of_classes(likeliest, X)
        return numbers.astype(np.int64) if self._is_multilabel else self.classes_[numbers]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            The table, with the columns of the training table in their order. A source is read piece by piece.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Columns in the order of `classes_`; rows sum to 1. For multilabel classification, each column is the
            probability of one label.
        """
        return self._of_classes(probabilities, X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of predict_proba, computed from logits: finite even where a probability rounds to 0.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            The table, with the columns of the training table in their order. A source is read piece by piece.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
        """
        return self._of_classes(log_probabilities, X)

    def _predictor(self):
        net = self._net()
        return classifier(net, self.classes_, self.columns_, self._is_multilabel, self.temperature_)


@with_entries_of(BaseTabular)
@explains_parameters
@dataclass(eq=False, repr=False, kw_only=True)
class TabularMLPRegressor(SourceScores, RegressorMixin, BaseTabular):
    """Multilayer perceptron regressor for tables, with settings that need no tuning.

    Columns are encoded as by TabularMLPClassifier. Targets (n_samples,) or (n_samples, n_outputs) are scaled to mean 0
    and standard deviation 1 for training. Predictions are the mean over the nets.

    Parameters
    ----------
    validation_fraction : float, default "auto"
        Fraction of rows held out for early stopping; 0.2 without folds. With 0, all epochs use all rows.

    Attributes
    ----------
    loss_curve_ : list of float
        Loss on the training samples, of y scaled to a standard deviation of 1, one value per epoch. Only for a single
        net.

    See Also
    --------
    TabularMLPClassifier : The same for classes.
    MLPRegressor : scikit-learn's regressor, for arrays of numbers.

    Notes
    -----
    Nets are trained by AdamW with gradients clipped to norm 1. get_params, set_params, get_metadata_routing,
    set_fit_request and set_score_request are those of scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = TabularMLPRegressor(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.4
    True
    """

    _classifier = "TabularMLPClassifier"
    _loss = OF_NUMBERS

    def _checked_y(self, y):
        y = as_quantities(super()._checked_y(y), self._classifier)
        check_range(y.min(axis=0), y.max(axis=0), np.inf, "y")  # before a mean overflows
        return y

    def _set_targets(self, y):
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]

    def _codes(self, y):
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y must have {counted(self.n_outputs_, 'column')}, but it has shape {y.shape}.")
        return y

    def _encode(self, y):
        return (self._codes(y) - self._mean) / self._std

    def _target(self, name):
        if self.n_outputs_ > 1:
            return None
        return Target(name, REGRESSION, mean=float(self._mean), std=float(self._std))

    def _predictions_of(self, logits):
        return self._in_units(logits.mean(axis=0, dtype=np.float64))

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            The table, with the columns of the training table in their order. A source is read piece by piece.

        Returns
        -------
        ndarray of float64, shape (n_samples,), or (n_samples, n_outputs) for several outputs
        """
        if is_source(X):
            return in_pieces(self.predict, X)
        return self._in_units(self._outputs(X))

    def _in_units(self, outputs):
        """Return outputs (n_samples, n_outputs) of the nets in the units of y, (n_samples,) of a single one."""
        return (outputs[:, 0] if self.n_outputs_ == 1 else outputs) * self._std + self._mean

    def _predictor(self):
        net = self._net()
        return Predictor(net.network, net.params, NUMBERS, self.columns_, mean=self._mean, std=self._std)
