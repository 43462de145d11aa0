"""The method `export` of the estimators, and what each of them exports."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from ..export.export_to_file import export
from ..export.predictor import NUMBERS, PROBABILITIES, Predictor, checked_labels


class Exportable(ABC):
    """Base class of estimators that can be exported."""

    @abstractmethod
    def _predictor(self) -> Predictor:
        """Return the fitted nets with all that turns a sample into a prediction; NotFittedError before fit."""

    def export(self, path: str | os.PathLike, *, member: int | None = None, prefix: str = "") -> None:
        """Write the fitted estimator, with its preprocessing, as an ONNX model or a C file, atomically.

        The suffix of the path decides. An ONNX model has the outputs that skl2onnx gives scikit-learn's estimators:
        `label` (n_rows,) and `probabilities` (n_rows, n_classes) of a classifier, in the order of `classes_`, and
        `variable` (n_rows, n_outputs) of a regressor. An estimator for arrays has the input X (n_rows, n_features) in
        the dtype of its net; one for tables an input (n_rows, 1) for each column that it uses, with the column's name:
        text as strings, all other columns as float64, with NaN for missing cells. Several nets predict by their mean.

        A C file is C99 with a function `predict(const float *x, float *y)` for one sample, in float32: y has the class
        probabilities, or the predictions of a regressor.

        Parameters
        ----------
        path : str or path
            File to write, which ends in .onnx or .h. An existing file is replaced, but no C file of somebody else.
        member : int, optional
            Number of the net to export alone, of an estimator with several. By default their mean is exported.
        prefix : str, default ""
            Beginning of all names in a C file: "spam" gives spam_predict.

        Raises
        ------
        ImportError
            If the path ends in .onnx, and the package onnx is not installed.
        OSError
            If the file cannot be written, or is a C file that fastmlp has not written. An existing file is then
            unchanged.
        ValueError
            If the suffix or another argument is invalid, or the format cannot express the estimator: a C file has no
            columns of text, and labels have to be of one kind.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        export(self._predictor, path, member, prefix)


def classifier(
    net: Any, classes: Any, columns: Any = None, is_multilabel: bool = False, temperature: float = 1.0
) -> Predictor:
    """Return what a fitted classifier exports; arguments as for Predictor."""
    labels = checked_labels(classes)
    return Predictor(net.network, net.params, PROBABILITIES, columns, labels, is_multilabel, temperature=temperature)


def regressor(net: Any, columns: Any = None, mean: Any = 0.0, std: Any = 1.0) -> Predictor:
    """Return what a fitted regressor exports; arguments as for Predictor."""
    return Predictor(net.network, net.params, NUMBERS, columns, mean=mean, std=std)
