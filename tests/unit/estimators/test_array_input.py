"""Arrays of users that are no numbers, too large, missing or infinite: refused by all estimators, in a sentence."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor, cross_val_population

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HUGE = 10**400
QUICK = {"hidden_layer_sizes": (2,), "max_iter": 1}
ARRAYS = (MLPClassifier(**QUICK), MLPRegressor(**QUICK))
TABLES = (TabularMLPClassifier(**QUICK, n_nets=1), TabularMLPRegressor(**QUICK, n_nets=1))
X, Y = np.linspace(-1.0, 1.0, 40).reshape(20, 2), [0, 1] * 10
KINDS = {
    "list": list,
    "objects": lambda rows: np.array(rows, object),
    "frame": lambda rows: pd.DataFrame(rows, dtype=object),
}
name_of = lambda model: type(model).__name__
of_all = pytest.mark.parametrize("model", ARRAYS + TABLES, ids=name_of)
of_numbers = pytest.mark.parametrize("model", (ARRAYS[1], TABLES[1]), ids=name_of)
TOO_LARGE = "must hold numbers that fit into float64, but it holds a larger one"


def refusal(words):
    return pytest.raises(ValueError, match=words)


# ---- X and weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (HUGE, TOO_LARGE),
        (np.datetime64("NaT", "D"), r"must hold numbers, but it holds np\."),
        (np.datetime64("2020-01-01"), r"must hold numbers, but it holds np\."),
        (np.timedelta64(3, "s"), r"must hold numbers, but it holds np\."),
    ],
    ids=("huge", "NaT", "date", "duration"),
)
def test_cells_of_X_and_weights_that_are_no_float64_are_refused(cell, words, kind):
    rows, y = KINDS[kind]([[1, 2], [cell, 1], [0, 0], [3, 1]]), [0, 1, 0, 1]
    for model in ARRAYS:
        fitted = clone(model).fit(X, Y)
        for whole in (pd.date_range("2020-01-01", periods=20), pd.timedelta_range(0, periods=20)):
            for table in (pd.DataFrame({"a": whole, "b": whole}), np.c_[whole, whole]):
                with refusal(r"^X must hold numbers, but it holds np\."):
                    fitted.predict(table)
        for use in (
            lambda model=model: clone(model).fit(rows, y),
            lambda model=model: clone(model).fit(X, Y, validation_data=(rows, y)),
            lambda fitted=fitted: fitted.predict(rows),
            lambda fitted=fitted: fitted.partial_fit(rows, y),
            lambda model=model: cross_val_population(model, rows, y, cv=2),
        ):
            with refusal(f"^X {words}"):
                use()
        with refusal(f"^sample_weight {words}"):
            fitted.fit(X, Y, sample_weight=[cell] + [1.0] * 19)


@of_all
def test_integers_beyond_float64_in_weights_are_refused(model):
    with refusal(f"^sample_weight {TOO_LARGE}"):
        clone(model).fit(X, Y, sample_weight=[HUGE] * 20)
    if "class_weight" in model.get_params():
        with refusal(r"class_weight\[0\] must be a number .* a whole number of 401 digits"):
            clone(model).set_params(class_weight={0: HUGE, 1: 1}).fit(X, Y)
    if model in ARRAYS:
        with refusal(f"^sample_weight {TOO_LARGE}"):
            cross_val_population(model, X, Y, cv=2, sample_weight=[HUGE] * 20)


@pytest.mark.parametrize("model", ARRAYS, ids=name_of)
@pytest.mark.parametrize("path", ("rows.parquet", Path("rows.parquet")), ids=repr)
def test_files_are_refused_with_those_that_read_them(model, path):
    for use in (clone(model).fit, lambda X, y: clone(model).fit([[0.0], [1.0]], [0, 1], validation_data=(X, y))):
        with refusal(r"^X must be an array or a data frame, but it is .*rows\.parquet.*MLP\.fit.* read files"):
            use(path, "y")


# ---- targets


@of_all
@pytest.mark.parametrize("of_dates", (pd.date_range, pd.timedelta_range), ids=("dates", "durations"))
def test_dates_among_columns_of_y_are_refused(model, of_dates):
    y = pd.DataFrame({"size": X[:, 0], "day": of_dates("2020-01-01" if of_dates is pd.date_range else 0, periods=20)})
    with refusal("y must hold numbers or classes, but its column 'day' holds dates"):
        clone(model).fit(X, y)


MISSING = {
    "NaN": [np.nan, 1.0] * 10,
    "None": [None, "a"] * 10,
    "NaN among text": np.array([np.nan, "a"] * 10, object),
    "None among numbers": [None, 1.0] * 10,
    "pandas.NA": pd.Series([pd.NA, 1] * 10, dtype="Int64"),
    "pandas' text": pd.Series([None, "a"] * 10, dtype="string"),
    "categories": pd.Series([None, "a"] * 10, dtype="category"),
    "dates": pd.Series([pd.NaT, pd.Timestamp("2020-01-01")] * 10),
}
OF_TEXT = "None", "NaN among text", "pandas' text", "categories", "dates"
CASES = [(model, kind) for model in ARRAYS + TABLES for kind in MISSING]


@pytest.mark.parametrize(
    ("model", "kind"),
    [case for case in CASES if case[1] not in OF_TEXT or "Classifier" in name_of(case[0])],  # text is no number
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_missing_targets_are_counted(model, kind):
    """scikit-learn's words come first: programs look for them."""
    words = "Input y contains NaN"
    if kind.startswith("None") and "Regressor" in name_of(model):
        words = "y must hold numbers for a regression, but it holds None at .0,."
    with refusal(rf"^{words}\. 10 targets of 20 are missing, the first in row 0: leave such rows out"):
        clone(model).fit(X, MISSING[kind])
    if kind == "NaN":
        with refusal("Input X contains NaN" if model in ARRAYS else "contains NaN"):  # the error about X comes first
            clone(model).fit(np.full((20, 2), np.nan) if model in ARRAYS else X, MISSING[kind])


@of_numbers
def test_the_row_of_a_missing_target_has_its_name(model):
    y = pd.Series(np.arange(20.0), index=[f"day {k}" for k in range(20)])
    fitted = clone(model).fit(X, y)
    y.iloc[3] = np.nan
    for use in (clone(model).fit, fitted.score):
        with refusal("1 target of 20 is missing, the first in row day 3"):
            use(X, y)
    with refusal(r"first in row 0 \(its label; it is row 3 by position\): leave"):
        clone(model).fit(X, y.set_axis([5, 4, 9, 0, *range(20, 36)]))
    with refusal(r"contains infinity .* 1 target of 20 is infinite, the first in row 4"):
        clone(model).fit(X, np.where(np.arange(20) == 4, np.inf, 1.0))


NO_NUMBERS = {
    "text": ["1.5", "2"] * 10,
    "text among numbers": np.array(["1.5", 2] * 10, object),
    "bytes": np.array([1.5, b"2"] * 10, object),
    "dates": pd.date_range("2020-01-01", periods=20),
    "durations": np.array([5] * 20, "timedelta64[s]"),
    "a date among numbers": np.array([1.5, np.datetime64("2020-01-01")] * 10, object),
    "complex": np.array([1 + 2j] * 20, object),
    "None": np.array([1.5, None] * 10, object),
}


@of_numbers
def test_targets_that_are_no_numbers_are_refused_by_fit_and_score(model):
    classifier = name_of(model).replace("Regressor", "Classifier")
    fitted = clone(model).fit(X, Y)
    for y in NO_NUMBERS.values():
        for use in (clone(model).fit, fitted.score):
            with refusal(rf"y must hold numbers for a regression, but it holds .*|{classifier}\.$"):
                use(X, y)
    for use in (clone(model).fit, fitted.score, lambda X, y: clone(model).fit(X, Y, validation_data=(X, y))):
        with refusal(f"^y {TOO_LARGE}"):
            use(X, [HUGE] * 20)
    with refusal(f"sample_weight {TOO_LARGE}"):
        fitted.score(X, Y, [HUGE] * 20)
    for y in (np.float32(Y), [bool(y) for y in Y], np.array(Y, object), [Decimal(y) for y in Y]):
        assert fitted.score(X, y) == pytest.approx(fitted.score(X, Y), abs=1e-6)
