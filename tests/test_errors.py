"""The wording of errors: what was expected, what came, and the nearest name."""

import numpy as np
import pytest

from fastmlp.errors import checked_count, checked_number, unknown_name


def test_unknown_name():
    error = unknown_name("fruit", "aple", ["apple", "pear"])
    assert isinstance(error, ValueError)
    assert str(error) == "Unknown fruit 'aple'. Did you mean 'apple'? Choose from: apple, pear."


@pytest.mark.parametrize("name", ("xyz", 7, None, ()))
def test_unknown_name_without_a_near_one(name):
    assert str(unknown_name("fruit", name, ["apple", "pear"])).endswith(f"{name!r}. Choose from: apple, pear.")


@pytest.mark.parametrize("value", (0, 1, 0.5, np.float32(0.5), np.int64(1), np.float64(0.25)))
def test_numbers(value):
    checked = checked_number("x", value, 0.0, 1.0)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize("value", (-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True, [0.5], 1j))
def test_not_numbers(value):
    with pytest.raises(ValueError) as caught:
        checked_number("x", value, 0.0, 1.0)
    assert str(caught.value) == f"x must be a number in [0, 1], but it is {value!r}."


def test_open_intervals():
    assert checked_number("x", 0.1, 0.0, 1.0, open_low=True, open_high=True) == 0.1
    for value in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"in \(0, 1\), but"):
            checked_number("x", value, 0.0, 1.0, open_low=True, open_high=True)


@pytest.mark.parametrize("value", (1, 7, np.int64(3), np.uint8(2)))
def test_counts(value):
    assert checked_count("n", value) == value
    assert type(checked_count("n", value)) is int


@pytest.mark.parametrize("value", (0, -1, 1.0, 2.5, "3", None, True, np.float64(2)))
def test_not_counts(value):
    with pytest.raises(ValueError) as caught:
        checked_count("n", value)
    assert str(caught.value) == f"n must be a whole number of at least 1, but it is {value!r}."


def test_lowest_count():
    assert checked_count("n", 0, at_least=0) == 0
    with pytest.raises(ValueError, match="at least 0"):
        checked_count("n", -1, at_least=0)
