"""Arrays of users: integers beyond float64, and data frames of targets with dates among numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor, cross_val_population
from fastmlp.estimators.array_input import checked_sample_weights, refuse_dates_among_columns

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HUGE = 10**400
QUICK = {"hidden_layer_sizes": (2,), "max_iter": 1}
ARRAYS = (MLPClassifier(**QUICK), MLPRegressor(**QUICK))
TABLES = (TabularMLPClassifier(**QUICK, n_nets=1), TabularMLPRegressor(**QUICK, n_nets=1))
X, Y = np.linspace(-1.0, 1.0, 40).reshape(20, 2), [0, 1] * 10
KINDS = list, lambda rows: np.array(rows, object), lambda rows: pd.DataFrame(rows, dtype=object)
name_of = lambda model: type(model).__name__


def refusal(name):
    return pytest.raises(
        ValueError, match=f"^{name} must hold numbers that fit into float64, but it holds a larger one"
    )


@pytest.mark.parametrize("model", ARRAYS, ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_integers_beyond_float64_in_X_raise(model, kind):
    rows = kind([[1, 2], [HUGE, 1], [0, 0], [3, 1]])
    with refusal("X"):
        clone(model).fit(rows, [0, 1, 0, 1])
    with refusal("X"):
        clone(model).fit(X, Y, validation_data=(rows, [0, 1, 0, 1]))
    fitted = clone(model).fit(X, Y)
    with refusal("X"):
        fitted.predict(rows)
    with refusal("X"):
        fitted.partial_fit(rows, [0, 1, 0, 1])
    with refusal("X"):
        cross_val_population(model, [[HUGE, 1]] * 8, [0, 1] * 4, cv=2)


@pytest.mark.parametrize("cell", (np.datetime64("NaT"), np.datetime64("2020-01-01"), np.timedelta64(3, "s")), ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_dates_and_durations_among_objects_raise(cell, kind):
    rows, refusal = kind([[1.0, 2.0], [cell, 1.0], [0.0, 0.0], [3.0, 1.0]]), r"^X must hold numbers, but it holds np\."
    for model in ARRAYS:
        with pytest.raises(ValueError, match=refusal):
            clone(model).fit(rows, [0, 1, 0, 1])
        fitted = clone(model).fit(X, Y)
        with pytest.raises(ValueError, match=refusal):
            fitted.predict(rows)
        with pytest.raises(ValueError, match=r"^sample_weight must hold numbers"):
            fitted.fit(X, Y, sample_weight=[cell] + [1.0] * 19)


@pytest.mark.parametrize("model", ARRAYS + TABLES, ids=name_of)
def test_integers_beyond_float64_in_weights_raise(model):
    with refusal("sample_weight"):
        clone(model).fit(X, Y, sample_weight=[HUGE] * 20)
    if "class_weight" in model.get_params():
        with pytest.raises(ValueError, match=r"class_weight\[0\] must be a number .* a whole number of 401 digits"):
            clone(model).set_params(class_weight={0: HUGE, 1: 1}).fit(X, Y)
    if model in ARRAYS:
        with refusal("sample_weight"):
            cross_val_population(model, X, Y, cv=2, sample_weight=[HUGE] * 20)


@pytest.mark.parametrize("model", (ARRAYS[1], TABLES[1]), ids=name_of)
def test_integers_beyond_float64_in_y_raise(model):
    with refusal("y"):
        clone(model).fit(X, [HUGE] * 20)
    with refusal("y"):
        clone(model).fit(X, Y, validation_data=(X, [HUGE] * 20))
    with refusal("y"):
        clone(model).fit(X, Y).score(X, [HUGE] * 20)


@pytest.mark.parametrize("model", ARRAYS + TABLES, ids=name_of)
@pytest.mark.parametrize("dates", (pd.date_range("2020-01-01", periods=20), pd.timedelta_range(0, periods=20)))
def test_dates_among_columns_of_y_raise(model, dates):
    y = pd.DataFrame({"size": X[:, 0], "day": dates})
    with pytest.raises(ValueError, match="y must hold numbers or classes, but its column 'day' holds dates"):
        clone(model).fit(X, y)


def test_other_targets_are_not_refused():
    frame = pd.DataFrame({"size": [1.0], "n": [2], "text": ["a"]})
    for y in ([1, 2], X, frame, frame["size"], pd.DataFrame({"day": pd.date_range("2020", periods=2)})):
        refuse_dates_among_columns(y)


def test_checked_sample_weights_are_float64():
    assert checked_sample_weights([1, 2], np.eye(2)).dtype == np.float64
    assert checked_sample_weights(2, np.eye(2)).tolist() == [2.0, 2.0]


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


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("model", ARRAYS + TABLES, ids=name_of)
def test_missing_targets_are_counted(model, kind):
    """scikit-learn's words come first: programs look for them."""
    if kind in OF_TEXT and "Regressor" in name_of(model):
        pytest.skip("text and dates are no numbers, whether some are missing or not")
    words = "y must hold numbers for a regression, but it holds None at .0,."
    words = words if kind.startswith("None") and "Regressor" in name_of(model) else "Input y contains NaN"
    said = rf"^{words}\. 10 targets of 20 are missing, the first in row 0: leave such rows out"
    with pytest.raises(ValueError, match=said):
        clone(model).fit(X, MISSING[kind])


@pytest.mark.parametrize("model", ARRAYS[1:] + TABLES[1:], ids=name_of)
def test_the_row_of_a_missing_target_has_its_name(model):
    y = pd.Series(np.arange(20.0), index=[f"day {k}" for k in range(20)])
    y.iloc[3] = np.nan
    with pytest.raises(ValueError, match="1 target of 20 is missing, the first in row day 3"):
        clone(model).fit(X, y)
    shuffled = y.set_axis([5, 4, 9, 0, *range(20, 36)])
    with pytest.raises(ValueError, match=r"first in row 0 \(its label; it is row 3 by position\): leave"):
        clone(model).fit(X, shuffled)
    fitted = clone(model).fit(X, np.arange(20.0))
    with pytest.raises(ValueError, match="1 target of 20 is missing, the first in row day 3"):
        fitted.score(X, y)
    with pytest.raises(ValueError, match=r"contains infinity .* 1 target of 20 is infinite, the first in row 4"):
        clone(model).fit(X, np.where(np.arange(20) == 4, np.inf, 1.0))


def test_errors_about_X_stay_as_they_are():
    with pytest.raises(ValueError, match=r"^Input X contains NaN"):
        clone(ARRAYS[1]).fit(np.full((20, 2), np.nan), MISSING["NaN"])


@pytest.mark.parametrize("model", ARRAYS + TABLES, ids=name_of)
def test_columns_named_by_text_and_numbers_raise_a_sentence(model):
    frame = pd.DataFrame(X).assign(more=X[:, 0] ** 2)
    message = r"Feature names are only supported if all input features have string names"
    with pytest.raises(TypeError, match=message):
        clone(model).fit(frame, Y)
    fitted = clone(model).fit(frame.rename(columns=str), Y)
    with pytest.raises(TypeError, match=message):
        fitted.predict(frame)
