"""A predictor to a file, whose suffix decides the format."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from ..runtime.output_files import check_output, write_bytes
from .predictor import Predictor

ONNX, C = ".onnx", ".h"


def export(make_predictor: Callable[[], Predictor], path: str | os.PathLike, prefix: str = "") -> None:
    """Write a predictor to a file, completely or not at all.

    make_predictor : returns what to export; called after the path is checked
    path : file to write, which ends in .onnx or .h
    prefix : beginning of the names in a C file

    Raises
    ------
    ImportError
        If the file ends in .onnx, and onnx is not installed.
    OSError
        If the file cannot be written, or is a C file that fastmlp has not written.
    ValueError
        If the suffix or another argument is invalid, or the format cannot express the predictor.
    """
    suffix = checked_suffix(path, prefix)
    check_output(path)
    check_replaced(path)
    if suffix == ONNX:
        from .onnx_model import model_bytes

        data = model_bytes(make_predictor())
    else:
        from .c_source import c_source

        data = c_source(make_predictor(), prefix).encode()
    write_bytes(path, data)


def check_replaced(path: str | os.PathLike) -> None:
    """Raise FileExistsError if a C file is there that fastmlp has not written: it may be work of somebody."""
    from .c_source import WRITTEN_BY

    path = Path(path)
    if path.suffix.lower() != C or not path.is_file():
        return
    with open(path, "rb") as file:
        begin = file.read(10_000).lstrip()  # an empty file is nobody's work
    if begin and WRITTEN_BY.encode() not in begin.splitlines()[0]:
        raise FileExistsError(
            f"{str(path)!r} is there and was not written by fastmlp, so it is left alone: choose another name, or "
            "remove it first."
        )


def checked_suffix(path: str | os.PathLike, prefix: str = "") -> str:
    """Return the suffix of a path in lower case, after a check of it and of the prefix."""
    suffix = Path(path).suffix.lower()
    if suffix not in (ONNX, C):
        raise ValueError(
            f"The name of an exported file should end in .onnx, for ONNX, or .h, for C, but it is {str(path)!r}."
        )
    if prefix and suffix != C:
        raise ValueError(f"prefix is {prefix!r}, but only a C file (.h) has names that begin with it; leave it out.")
    return suffix


class Exportable(ABC):
    """Base class of estimators that can be exported."""

    @abstractmethod
    def _predictor(self) -> Predictor:
        """Return the fitted nets with all that turns a sample into a prediction; NotFittedError before fit."""

    def export(self, path: str | os.PathLike, *, prefix: str = "") -> None:
        """Write the fitted estimator, with its preprocessing, as an ONNX model or a C file, atomically.

        The suffix of the path decides. An ONNX model has the outputs `label` (n_rows,) and `probabilities`
        (n_rows, n_classes) of a classifier, in the order of `classes_`, and `variable` (n_rows, n_outputs) of a
        regressor. An estimator for arrays has the input X (n_rows, n_features) in the dtype of its net; one for tables
        an input (n_rows, 1) for each column that it uses, with the column's name: text as strings, all other columns as
        float64, with NaN for missing cells. Several nets predict by their mean.

        A C file is C99 with a function `predict(const float *x, float *y)` for one sample, in float32: y has the class
        probabilities, or the predictions of a regressor.

        Parameters
        ----------
        path : str or path
            File to write, which ends in .onnx or .h. An existing file is replaced, but no C file of somebody else.
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
        export(self._predictor, path, prefix)
