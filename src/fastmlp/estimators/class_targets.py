"""Targets of MLPClassifier: classes and labels as its net takes them, their weights, and scores of held-out samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.class_weighting import check_class_weights
from ..errors import unknown_name
from ..tables.target_encoder import are_unknown
from .base import BaseMLP  # noqa: F401  # raises the error that tells what to install
from .single_net import SplitSamples

from sklearn.utils import column_or_1d  # isort: skip
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

CLASSIFIER_LOSSES = ("log_loss", "squared_error", "absolute_error", "huber", "atanh_error")


class ClassTargets:
    """Mixin with the methods of BaseMLP that depend on y, for a classifier."""

    class_weight: Any
    label_smoothing: float
    loss: str
    warm_start: bool

    def _set_targets(self, y, declared_classes):
        if self.loss not in CLASSIFIER_LOSSES:
            raise unknown_name("loss", self.loss, CLASSIFIER_LOSSES)
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
        if self.loss != "log_loss":
            return self.loss
        return "binary_cross_entropy" if self._is_multilabel or self.n_outputs_ == 1 else "softmax_cross_entropy"

    def _net_settings(self):
        output = "softmax" if self._loss_name() == "softmax_cross_entropy" else "sigmoid"
        return {"label_smoothing": self.label_smoothing, "output_activation": output}

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

    def _population_monitor(self, held_out, tol):
        return "validation_accuracy", tol
