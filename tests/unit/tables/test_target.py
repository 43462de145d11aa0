"""Target of a table: its column and rows, the task, encoding of targets, decoding of outputs."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from fastmlp.tables.target import Target, infer_task, rows_with_target

pd = pytest.importorskip("pandas")

QUANTITIES = [str(k / 7) for k in range(100)]


def fitted(cells, task="auto"):
    return Target.fit(pd.Series(cells, name="y"), task)


# ---- task


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["a", "b", "a"], "classification"),
        ([True, False, True], "classification"),
        ([1, 2, 3], "classification"),
        ([1.0, 2.0, 1.0], "classification"),
        ([1.5, 2.0, 1.0], "regression"),
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
        (QUANTITIES, "regression"),
        ([*QUANTITIES, "?!"], "regression"),
        (["1", "2", "3"] * 20 + ["?!"], "classification"),
        ([*QUANTITIES, *["?!"] * 200], "classification"),
    ],
)
def test_task_is_inferred_from_the_target(cells, task):
    assert infer_task(pd.Series(cells)) == task
    for asked in ("regression", "classification"):
        assert infer_task(pd.Series(cells), asked) == asked
    assert infer_task(pd.Series(pd.Categorical(cells))) == "classification"


@pytest.mark.parametrize(
    ("cells", "task", "words"),
    [
        (["a", "a", "a"], "auto", "holds one class only, 'a'"),
        ([1.5, 1.5, 1.5], "auto", "is 1.5 in every row"),
        (["a", "b", "c"], "auto", "3 different values in 3 rows, too many for classes"),
        ([k % 40 for k in range(60)], "classification", "40 different values in 60 rows, too many for classes; "),
        (["a", "b", "a"], "regression", "should hold numbers, but holds 'a'"),
        ([1, 2, 1], "regresion", "Unknown task 'regresion'. Did you mean 'regression'?"),
        (pd.date_range("2020-01-01", periods=3), "auto", "should hold numbers or classes, but it holds datetime"),
        ([["x"], ["x", "y"]], "auto", "should hold numbers or classes, but it holds mixed"),
        ([*QUANTITIES, *["?!"] * 10], "auto", "looks like numbers, but 10 of its 110 cells hold"),
        (1e-170 * np.arange(1.5, 50), "regression", "with a standard deviation of 1e-150 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_targets_raise(cells, task, words):
    with pytest.raises(ValueError) as caught:
        fitted(cells, task)
    assert words in str(caught.value)


def test_numbers_that_repeat_may_be_classes():
    assert len(fitted([k % 20 for k in range(60)], "classification").classes) == 20


# ---- rows


def test_rows_whose_target_is_missing_or_no_number_are_left_out(rng):
    table = pd.DataFrame({"x": range(80), "y": rng.normal(size=80)})
    missing = table.assign(y=table["y"].where(table["x"] > 9))
    rows, notes = rows_with_target(missing, "y")
    assert (len(rows), notes) == (70, ("10 rows whose target 'y' is missing are left out.",))
    bad = table.assign(y=[*table["y"].astype(str)[:-1], "n/a?"])
    rows, notes = rows_with_target(bad, "y")
    assert (rows["y"].dtype, len(rows)) == (np.float64, 79)
    assert notes == ("The target 'y' holds no numbers in 1 row of 80 ('n/a?'), which is left out.",)
    _, notes = rows_with_target(table.assign(y=table["y"].astype(str)), "y")
    assert notes == ("The target 'y' holds text that is numbers, and is taken for numbers.",)
    classes = table.assign(y=["1", "2", "other", "4"] * 20)
    rows, (note,) = rows_with_target(classes, "y")
    assert len(rows) == 80
    assert note.startswith("The target 'y' is taken for classes, since it holds no numbers in 20 rows of 80")
    with pytest.raises(ValueError, match="All cells of the target column 'y' are missing"):
        rows_with_target(table.assign(y=None), "y")


@pytest.mark.parametrize(
    "name, words",
    [
        ("Price", r"Unknown target column 'Price'\. Did you mean 'price'\? Choose from: price, size"),
        ("zzz", r"Unknown target column 'zzz'\. Choose from:"),
        ("price,size", "There is one target column, but 'price,size' names 2: train a model for each"),
    ],
)
def test_an_absent_target_suggests_the_nearest_column(name, words):
    with pytest.raises(ValueError, match=words):
        rows_with_target(pd.DataFrame({"price": [1.0], "size": [2.0]}), name)


# ---- encoding


def test_classes_are_encoded_and_decoded():
    target = fitted(["no", "yes", "no", "perhaps"])
    assert target.classes == ("no", "perhaps", "yes")
    assert target.encode(pd.Series(["yes", "no"])).tolist() == [2, 0]
    decoded = target.decode(np.array([[0.2, 0.1, 0.7], [0.5, 0.3, 0.2]]))
    assert list(decoded) == ["prediction", "probability_no", "probability_perhaps", "probability_yes"]
    assert decoded["prediction"].tolist() == ["yes", "no"]
    assert decoded["probability_perhaps"].tolist() == [0.1, 0.3]


def test_quantities_are_standardised_and_decoded(rng):
    cells = pd.Series(rng.normal(5.0, 2.0, 80), name="y")
    target = fitted(cells)
    y = target.encode(cells)
    np.testing.assert_allclose([y.mean(), y.std()], [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(target.decode(y)["prediction"], cells, rtol=1e-12)
    assert target.knows(pd.Series([7.0, 0.5])).all()


def test_class_unseen_in_training_raises():
    target = fitted(["a", "b", "a"])
    with pytest.raises(ValueError, match="class 'c', which did not occur in training; the model knows 'a', 'b'"):
        target.encode(pd.Series(["a", "c"]))
    assert target.knows(pd.Series(["a", "c", "b"])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("classes", "labels", "cells"),
    [
        ([True, False, True], (False, True), [1, 0, 1.0, "True", "false", "0", np.True_]),
        ([1, 0, 1], (0, 1), [True, False, 1.0, "1", "0.0", "False", np.int8(1)]),
        (["True", "False", "True"], ("False", "True"), [True, False, 1, 1.0, "false", 0, True]),
        (["1", "2", "1"], ("1", "2"), [1, 2.0, "1", 1.0, "2", 2, np.float32(1)]),
        ([2.0, 1.0, 2.0], (1, 2), [2, 1, 2.0, "2", "1", 1.0, np.int8(2)]),
        ([Decimal("2.0"), Decimal(1), Decimal(2)], (1, 2), [2, 1, 2.0, "2", "1", 1.0, Decimal(2)]),
    ],
)
def test_classes_are_recognised_in_other_types(classes, labels, cells):
    target = fitted(classes)
    assert target.classes == labels
    assert list(map(type, target.classes)) == list(map(type, labels))
    first, second = target.encode(pd.Series(classes[:2], name="y"))
    expected = [first, second, first, first, second, second, first]
    assert target.encode(pd.Series(cells, name="y", dtype=object)).tolist() == expected


# ---- storing


def test_target_round_trips_through_a_dictionary():
    for cells in (["a", "b", "a"], [1, 2, 1], [True, False, True], [0.5, 1.0, 2.5]):
        target = fitted(cells)
        assert Target.from_dict({**target.to_dict(), "classes": list(target.classes)}) == target
        assert target.is_text == isinstance(cells[0], str)
    warm = Target("y", "classification", ("a", "b"), temperature=1.5)
    assert Target.from_dict(warm.to_dict()) == warm
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="needs a positive temperature"):
            Target("y", "classification", ("a", "b"), temperature=temperature)
