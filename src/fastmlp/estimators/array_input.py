"""Arrays, tables in memory and targets of users on their way through scikit-learn's checks, with messages of this
package's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _check_sample_weight

from ..data.arrays import beyond_float64, refuse_converted
from ..errors import counted, install_command, is_number, shown
from ..tables.cells import read_numbers
from ..tables.table_files import import_pandas

# scikit-learn's words, which programs look for.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


@contextmanager
def refused_beyond_float64(name: str) -> Iterator[None]:
    """Convert the OverflowError of an integer beyond float64 to the ValueError that MLP raises.

    name : name of the argument that is converted in the context
    """
    try:
        yield
    except OverflowError:
        raise beyond_float64(name) from None


def refuse_converted_cells(values: Any, name: str) -> None:
    """Raise ValueError if values are dates or durations of NumPy, or lists, an array or columns of objects that hold
    one or a complex number, which scikit-learn's check would convert to numbers.
    """
    if hasattr(values, "toarray"):
        return
    if hasattr(values, "select_dtypes"):
        values = values.loc[:, [dtype.kind in "OmM" for dtype in values.dtypes]].to_numpy()
    elif isinstance(values, (list, tuple)):
        try:
            values = np.asarray(values)
        except (TypeError, ValueError):  # types without a common one; ragged lists are refused by scikit-learn
            with suppress(ValueError):
                values = np.array(values, object)
    if isinstance(values, np.ndarray) and values.dtype.kind in "OmM":
        refuse_converted(values, name)


@contextmanager
def explaining(X: Any, dtype: Any) -> Iterator[None]:
    """Context of scikit-learn's check of X: refuse what it would convert to numbers, and explain its errors.

    dtype : data type, or list of them, to which X is converted in the context
    """
    if isinstance(X, (str, os.PathLike)):
        raise ValueError(
            f"X must be an array or a data frame, but it is {shown(X)}. MLP.fit, Population.fit, TabularMLPClassifier "
            "and TabularMLPRegressor read files; for this estimator, read the file first."
        )
    refuse_converted_cells(X, "X")
    try:
        with np.errstate(over="ignore", invalid="ignore"), refused_beyond_float64("X"):  # the check finds infinity
            yield
    except (ValueError, TypeError) as error:
        raise _explained(error, X, dtype) from None


def _explained(error: ValueError | TypeError, X: Any, dtype: Any) -> ValueError | TypeError:
    """Return an error about X in other words if X is finite, but beyond the data type, or with the column and row of
    the first cell of a data frame of pandas that is no finite number.

    An error about the names or the number of features is returned as it is.
    """
    numbers = np.asarray(X.data if hasattr(X, "toarray") else X)
    if dtype == np.float32 and numbers.dtype == np.float64:
        largest = np.abs(numbers).max(initial=0.0)
        if np.isfinite(largest) and largest > np.finfo(np.float32).max:
            words = f"{NON_FINITE} X holds {largest:g}, which is beyond float32. Scale X with StandardScaler."
            return ValueError(words)
    if not (hasattr(X, "columns") and hasattr(X, "iloc")) or "feature" in str(error):
        return error
    for k, name in enumerate(X.columns):
        series = X.iloc[:, k]
        finite = np.isfinite(read_numbers(series).values)
        if finite.all():
            continue
        cell, label = series.iloc[(row := int(np.argmin(finite)))], X.index[row]
        cell = repr(cell) if isinstance(cell, str) else str(cell)
        label = f"{label:,}" if isinstance(label, (int, np.integer)) else repr(label)
        # of NumPy's TypeErrors, the words help nobody
        reason = str(error).splitlines()[0].rstrip(".") if isinstance(error, ValueError) else "X must hold numbers"
        return ValueError(
            f"{reason}. Column {name!r} holds {cell} in row {label}, but each cell must be a finite number: impute or "
            "drop missing cells, encode text and dates, or use TabularMLPClassifier or TabularMLPRegressor, which do."
        )
    return error


def checked_sample_weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Return sample weights as float64 (n_samples,), or None for None.

    Raises
    ------
    ValueError
        If they have another shape, or one is no finite number or below 0.
    """
    if sample_weight is None:
        return None
    refuse_converted_cells(sample_weight, "sample_weight")
    with refused_beyond_float64("sample_weight"):
        weights: np.ndarray = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0.0:
        raise ValueError(f"sample_weight must be at least 0, but holds {weights.min():g}.")
    return weights


def dense(array: Any) -> np.ndarray:
    return array.toarray() if hasattr(array, "toarray") else array


@contextmanager
def missing_targets_named(y: Any) -> Iterator[None]:
    """Add to an error about targets y that are missing or infinite how many these are, where, and what to do.

    NumPy's and scikit-learn's errors say "Input y contains NaN", or that None cannot be compared with text.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise _with_missing_targets(error, y) from None


def _with_missing_targets(error: ValueError | TypeError, y: Any) -> ValueError | TypeError:
    words = str(error)
    is_none = "it holds None at" in words  # as_quantities
    is_nan = isinstance(error, TypeError) or "contains NaN" in words or "label type: unknown" in words
    is_missing = is_nan or is_none
    if "Input X" in words or not (is_missing or "contains infinity" in words):
        return error
    cells = np.asarray(y, dtype=object)
    kind, is_bad = ("missing", _is_missing) if is_missing else ("infinite", _is_infinite)
    rows = [k for k, row in enumerate(cells) if any(map(is_bad, np.ravel(row)))]
    if not rows:
        return error
    first = y.index[rows[0]] if hasattr(y, "iloc") else rows[0]
    if isinstance(first, (int, np.integer)) and first != rows[0]:
        first = f"{first} (its label; it is row {rows[0]} by position)"
    # scikit-learn's words come first: programs look for them
    reason = "Input y contains NaN" if is_nan else words.splitlines()[0].partition(". ")[0].rstrip(".")
    are, known = "is" if len(rows) == 1 else "are", "pandas.notna(y)" if is_missing else "numpy.isfinite(y)"
    return ValueError(
        f"{reason}. {counted(len(rows), 'target')} of {len(cells):,} {are} {kind}, the first in row {first}: leave "
        f"such rows out, as by X[known] and y[known] with known = {known}."
    )


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # pandas' pandas.NA and pandas.NaT
        return True
    return isinstance(cell, (float, np.floating)) and bool(cell != cell)


def _is_infinite(cell: Any) -> bool:
    return isinstance(cell, (float, np.floating)) and bool(np.isinf(cell))


def refuse_missing_dates(y: np.ndarray) -> None:
    """Raise ValueError if dates or durations are missing: scikit-learn's check for NaN does not look at them."""
    if y.dtype.kind in ("M", "m") and np.isnat(y).any():
        raise ValueError("Input y contains NaN")


def refuse_dates_among_columns(y: Any) -> None:
    """Raise ValueError if y is a data frame with columns of dates or durations, and with others.

    Dates have no dtype in common with numbers; scikit-learn's check of arrays would look for one.
    """
    if getattr(y, "ndim", 1) != 2 or not hasattr(y, "dtypes"):
        return
    are_dates = [getattr(dtype, "kind", None) in ("M", "m") for dtype in y.dtypes]
    if any(are_dates) and not all(are_dates):
        name = list(y.columns)[are_dates.index(True)]
        raise ValueError(
            f"y must hold numbers or classes, but its column {name!r} holds dates or durations. Convert them to "
            "numbers, or leave the column out."
        )


# ---- tables in memory


def as_frame(X: Any) -> Any:
    """Return a table as a pandas DataFrame, or None if X has no named columns, as arrays.

    X : a table of pandas, polars, Arrow or another library that converts to pandas, or a list of dictionaries

    Raises
    ------
    ImportError
        If X is no array of NumPy and pandas is not installed, or pyarrow where the table needs it.
    ValueError
        If the rows are not computed yet, as in polars' LazyFrame.
    """
    if isinstance(X, np.ndarray):
        return None
    pandas = import_pandas()
    if isinstance(X, pandas.DataFrame):
        return X
    if isinstance(X, (list, tuple)):
        return pandas.DataFrame(list(X)) if X and all(isinstance(row, Mapping) for row in X) else None
    if getattr(X, "ndim", 2) == 1:
        return None
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise ValueError(f"X is a {type(X).__name__}, whose rows are not computed yet: pass X.collect().")
    if hasattr(X, "to_pandas"):
        frame = X.to_pandas()
        return frame if isinstance(frame, pandas.DataFrame) else None
    if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__"):
        try:
            import pyarrow
        except ImportError:
            raise ImportError(f"A {type(X).__name__} needs pyarrow: {install_command('table')}.") from None
        return pyarrow.table(X).to_pandas()
    return None


def as_cells(X: Any) -> Any:
    """Return a list of rows as an array whose cells keep their types.

    NumPy alone would convert numbers to text if any other cell is text. X of another type is returned unchanged.
    """
    if not isinstance(X, (list, tuple)):
        return X
    try:
        array = np.asarray(X)
    except ValueError:  # rows of different lengths: scikit-learn raises a clear error later
        return X
    return np.array(X, dtype=object) if array.dtype.kind in "US" else array


def frame_of_array(array: np.ndarray) -> Any:
    """Return an array as a DataFrame whose columns have the types of their cells, and column numbers as text names."""
    frame = import_pandas().DataFrame(array)
    if array.dtype == object:
        frame = frame.infer_objects()
    return frame.rename(columns=str)


# ---- targets of a regression

# float() or NumPy would accept some of them.
NO_NUMBERS = str, bytes, np.datetime64, np.timedelta64, type(None), complex, np.complexfloating


def as_quantities(y: np.ndarray, classifier: str) -> np.ndarray:
    """Return targets y as float64.

    classifier : name of the estimator that the error message recommends for classes

    Raises
    ------
    ValueError
        If y holds text, dates or other values that are not numbers, or a number beyond float64.
    """
    cells = y.flat if y.dtype == object else ()
    if y.dtype.kind in "biufO" and not any(isinstance(cell, NO_NUMBERS) for cell in cells):
        try:
            return y.astype(np.float64, copy=False)
        except OverflowError:
            raise beyond_float64("y") from None
        except (TypeError, ValueError):
            pass
    index, cell = next((index, cell) for index, cell in np.ndenumerate(y) if not _is_quantity(cell))
    raise ValueError(
        f"y must hold numbers for a regression, but it holds {shown(cell)} at {index}. Convert text and dates to "
        f"numbers, and drop rows without a target; for classes use {classifier}."
    )


def _is_quantity(cell: Any) -> bool:
    return not isinstance(cell, NO_NUMBERS) and is_number(cell)


class Fitted:
    """Mixin of estimators with a net."""

    net_: Any

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def _net(self) -> Any:
        """Return net_, or raise NotFittedError if there is none."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        return self.net_


class Scores:
    """Mixin with scikit-learn's tags, and with a `score` that refuses the targets that fit refuses.

    In a class it stands before ClassifierMixin or RegressorMixin of scikit-learn, which compute the score.
    """

    _classifier: str  # of regressors, name of the estimator for classes
    _input_tags: ClassVar[tuple[str, ...]]  # those of InputTags that are true

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        for name in self._input_tags:
            setattr(tags.input_tags, name, True)
        if tags.classifier_tags is None:
            tags.target_tags.multi_output = True
        else:
            tags.classifier_tags.multi_label = True
        return tags

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of predicted classes, or the coefficient of determination R2 of predicted numbers.

        For multilabel classification, the accuracy counts samples all of whose labels are right.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as for predict.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Classes or numbers.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a target is missing, or is no number where a number is predicted.
        """
        if y is None:
            raise ValueError("y is None, but X has no targets: pass them, or name their column.")
        with missing_targets_named(y), refused_beyond_float64("sample_weight"):
            if not isinstance(self, ClassifierMixin) and (targets := np.asarray(y)).size:
                as_quantities(targets, self._classifier)
            return super().score(X, y, sample_weight)  # type: ignore[misc]
