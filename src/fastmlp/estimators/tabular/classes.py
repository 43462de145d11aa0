"""Classes and labels of TabularMLPClassifier: their check, their numbers, and their weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...data.class_weighting import check_class_weights
from ...errors import counted, shown
from ...table_training.recipes import OF_CLASSES, OF_LABELS
from ...tables.cells import listed
from ...tables.target import class_numbers, distinct_labels
from .rows import TableRows

from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight  # isort: skip
from sklearn.utils.multiclass import check_classification_targets, type_of_target


class TableClasses(TableRows):
    """Mixin with the methods of BaseTabular that depend on y, for a classifier."""

    class_weight: Any
    _is_classifier = True
    _is_multilabel = False

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
        self._is_multilabel = y.ndim == 2
        if self._is_multilabel:
            self.classes_ = np.arange(y.shape[1])
            self.n_outputs_ = y.shape[1]
            return
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            (label,) = self.classes_.tolist()
            raise ValueError(f"y holds one class only, {shown(label)}; a classifier needs two or more.")
        self.n_outputs_ = len(self.classes_)

    def _set_target_summary(self, found):
        self._set_targets(found.distinct if found.classes else np.zeros((0, *found.shape)))

    def _codes(self, y):
        """Return the class indices of labels y, in any spelling; true is 1 if 0 and 1 are the only classes.

        For multilabel classification, y as numbers (n_samples, n_labels).
        """
        if self._is_multilabel or y.ndim == 2:
            if not self._is_multilabel or y.shape != (len(y), self.n_outputs_):
                columns = counted(self.n_outputs_, "column") if self._is_multilabel else "one column"
                raise ValueError(f"y must have {columns}, but it has shape {y.shape}.")
            return y.astype(np.float64)
        found, inverse = distinct_labels(y)
        codes = class_numbers(found.tolist(), self.classes_.tolist())
        if (codes < 0).any():
            unknown, known = found.tolist()[int(np.argmin(codes))], self.classes_.tolist()
            raise ValueError(
                f"y has the class {shown(unknown)}, which was not among those to train on: "
                f"{listed(map(repr, known), 10)}."
            )
        return codes[inverse]

    _encode = _codes

    def _kind(self):
        return OF_LABELS if self._is_multilabel else OF_CLASSES, self.n_outputs_

    def _weigh_classes(self, y):
        self._class_weights = None
        if self.class_weight is None:
            return
        check_class_weights(self.class_weight)
        if not self._is_multilabel:
            codes = self._encode(y)
            present = np.unique(codes)
            self._class_weights = np.ones(len(self.classes_))
            self._class_weights[present] = compute_class_weight(
                self.class_weight, classes=self.classes_[present], y=self.classes_[codes]
            )

    def _weights(self, table, y, sample_weight):
        weights = super()._weights(table, y, sample_weight)
        if self.class_weight is None:
            return weights
        if self._is_multilabel:
            of_class = compute_sample_weight(self.class_weight, y)
        else:
            assert self._class_weights is not None
            of_class = self._class_weights[self._encode(y)]
        return of_class if weights is None else weights * of_class
