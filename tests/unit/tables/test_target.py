"""Target of a table: inferred task, encoding of targets, decoding of outputs."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from fastmlp.tables.target import Target, infer_task

pd = pytest.importorskip("pandas")


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
    ],
)
def test_task_is_inferred_from_the_target(cells, task):
    assert infer_task(pd.Series(cells)) == task
    assert infer_task(pd.Series(cells), "regression") == "regression"
    assert infer_task(pd.Series(pd.Categorical(cells))) == "classification"


def test_classes_are_encoded_and_decoded():
    target = Target.fit(pd.Series(["no", "yes", "no", "perhaps"], name="y"))
    assert target.classes == ("no", "perhaps", "yes")
    assert target.encode(pd.Series(["yes", "no"])).tolist() == [2, 0]
    outputs = np.array([[0.2, 0.1, 0.7], [0.5, 0.3, 0.2]])
    decoded = target.decode(outputs)
    assert list(decoded) == ["prediction", "probability_no", "probability_perhaps", "probability_yes"]
    assert decoded["prediction"].tolist() == ["yes", "no"]
    assert decoded["probability_perhaps"].tolist() == [0.1, 0.3]


@pytest.mark.parametrize("cells", ([2.0, 1.0, 2.0], [Decimal("2.0"), Decimal(1), Decimal(2)]))
def test_integer_classes_stay_integers(cells):
    target = Target.fit(pd.Series(cells, name="y"))
    assert target.classes == (1, 2)
    assert all(type(label) is int for label in target.classes)
    assert target.encode(pd.Series([1, 2])).tolist() == [0, 1]


def test_class_unseen_in_training_raises():
    target = Target.fit(pd.Series(["a", "b", "a"], name="y"))
    with pytest.raises(ValueError, match="class 'c', which did not occur in training; the model knows 'a', 'b'"):
        target.encode(pd.Series(["a", "c"]))
    assert target.knows(pd.Series(["a", "c", "b"])).tolist() == [True, False, True]
    assert Target.fit(pd.Series([0.5, 1.5])).knows(pd.Series([7.0, 0.5])).all()


@pytest.mark.parametrize(
    ("classes", "cells"),
    [
        ([True, False, True], [1, 0, 1.0, "True", "false", "0", np.True_]),
        ([1, 0, 1], [True, False, 1.0, "1", "0.0", "False", np.int8(1)]),
        (["True", "False", "True"], [True, False, 1, 1.0, "false", 0, True]),
        (["1", "2", "1"], [1, 2.0, "1", 1.0, "2", 2, np.float32(1)]),
    ],
)
def test_classes_are_recognised_in_other_types(classes, cells):
    target = Target.fit(pd.Series(classes, name="y"))
    first, second = target.encode(pd.Series(classes[:2], name="y"))
    expected = [first, second, first, first, second, second, first]
    assert target.encode(pd.Series(cells, name="y", dtype=object)).tolist() == expected


QUANTITIES = [str(k / 7) for k in range(100)]


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (QUANTITIES, "auto", False),
        ([*QUANTITIES, "?!"], "auto", False),
        (["1", "2", "3"] * 20 + ["?!"], "auto", True),
        (["1", "2", "3"] * 20 + ["?!"], "regression", False),
        (["a", "b"] * 20, "auto", True),
        ([*QUANTITIES, *["?!"] * 200], "auto", True),
    ],
)
def test_task_of_numbers_with_a_few_other_cells(cells, task, classes):
    assert infer_task(pd.Series(cells, name="y"), task) == ("classification" if classes else "regression")


def test_numbers_with_many_other_cells_raise():
    cells = pd.Series([*QUANTITIES, *["?!"] * 10], name="y")
    with pytest.raises(
        ValueError, match=r"'y' looks like numbers, but 10 of its 110 cells hold '\?!'; correct or empty"
    ):
        Target.fit(cells)
    assert infer_task(cells, "classification") == "classification"


def test_a_temperature_is_in_the_description_only_if_there_is_one():
    """Earlier versions read files of nets without one."""
    target = Target("y", "classification", ("a", "b"))
    assert "temperature" not in target.to_dict()
    warm = Target("y", "classification", ("a", "b"), temperature=1.5)
    assert Target.from_dict(warm.to_dict()) == warm
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="needs a positive temperature"):
            Target("y", "classification", ("a", "b"), temperature=temperature)


def test_target_round_trips_through_a_dictionary():
    for cells in (["a", "b", "a"], [1, 2, 1], [True, False, True], [0.5, 1.0, 2.5]):
        target = Target.fit(pd.Series(cells, name="y"))
        assert Target.from_dict({**target.to_dict(), "classes": list(target.classes)}) == target
        assert target.is_text == isinstance(cells[0], str)


def test_a_target_column_of_extreme_scale_is_refused():
    with pytest.raises(ValueError, match=r"^The target column 'y' should hold .* deviation of 1e-150 or more"):
        Target.fit(pd.Series(1e-170 * np.arange(1.5, 50), name="y"), "regression")
