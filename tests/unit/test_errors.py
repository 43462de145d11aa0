"""Error messages: they state the expected and the given value, and suggest the nearest name."""

from inspect import signature

import numpy as np
import pytest

import fastmlp.kernels.formulas.losses
from fastmlp import MLP, MLPClassifier
from fastmlp.callbacks import MONITORS
from fastmlp.devices import NAMES
from fastmlp.errors import checked_count, checked_number, unknown_name
from fastmlp.initialization import INITIALIZERS
from fastmlp.interface.likely_names import ALIASES, SEPARATORS
from fastmlp.interface.setting_checks import PRECISIONS
from fastmlp.network.spec import HIDDEN
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.schedules import SCHEDULES
from fastmlp.sweeps.space import KNOWN


def test_unknown_name_suggests_the_nearest_choice():
    error = unknown_name("fruit", "aple", ["apple", "pear"])
    assert isinstance(error, ValueError)
    assert str(error) == "Unknown fruit 'aple'. Did you mean 'apple'? Choose from: apple, pear."


@pytest.mark.parametrize("name", ("xyz", 7, None, ()))
def test_unknown_name_without_a_similar_choice_lists_the_choices(name):
    assert str(unknown_name("fruit", name, ["apple", "pear"])).endswith(f"{name!r}. Choose from: apple, pear.")


@pytest.mark.parametrize("value", (0, 1, 0.5, np.float32(0.5), np.int64(1), np.float64(0.25)))
def test_checked_number_returns_a_float(value):
    checked = checked_number("x", value, 0.0, 1.0)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize("value", (-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True, [0.5], 1j))
def test_non_numbers_raise_with_the_interval(value):
    with pytest.raises(ValueError) as caught:
        checked_number("x", value, 0.0, 1.0)
    assert str(caught.value) == f"x must be a number in [0, 1], but it is {value!r}."


def test_open_interval_excludes_its_ends():
    assert checked_number("x", 0.1, 0.0, 1.0, open_low=True, open_high=True) == 0.1
    for value in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"in \(0, 1\), but"):
            checked_number("x", value, 0.0, 1.0, open_low=True, open_high=True)


@pytest.mark.parametrize("value", (1, 7, np.int64(3), np.uint8(2)))
def test_checked_count_returns_an_int(value):
    assert checked_count("n", value) == value
    assert type(checked_count("n", value)) is int


@pytest.mark.parametrize("value", (0, -1, 1.0, 2.5, "3", None, True, np.float64(2)))
def test_non_counts_raise(value):
    with pytest.raises(ValueError) as caught:
        checked_count("n", value)
    assert str(caught.value) == f"n must be a whole number of at least 1, but it is {value!r}."


LOSSES = [row.name for row in fastmlp.kernels.formulas.losses.LOSSES]


@pytest.mark.parametrize(
    "name, choices, meant",
    (
        ("mse", LOSSES, "squared_error"),
        ("bce", LOSSES, "binary_cross_entropy"),
        ("bce", ("log_loss", "squared_error", "huber"), "log_loss"),
        ("cross-entropy", LOSSES, "softmax_cross_entropy"),
        ("logistic", LOSSES, "binary_cross_entropy"),
        ("kaiming_uniform", INITIALIZERS, "he_uniform"),
        ("gpu", NAMES, "cuda"),
        ("gpu:1", NAMES, "cuda"),
    ),
)
def test_names_of_other_libraries_are_suggested(name, choices, meant):
    assert f" Did you mean {meant!r}? " in str(unknown_name("thing", name, choices))


def test_aliases_point_to_existing_names():
    known = {*LOSSES, *HIDDEN, *INITIALIZERS, *NAMES, *MONITORS, *SCHEDULES, *KNOWN, *OPTIMIZERS, *PRECISIONS}
    known |= {"exponential", "log_loss"} | {*signature(MLPClassifier).parameters, *signature(MLP.fit).parameters}
    for alias, names in ALIASES.items():
        assert set(names) <= known, alias
        assert alias == alias.lower().translate(SEPARATORS)


def test_a_misspelt_alias_is_recognised():
    assert "Did you mean 'sigmoid'?" in str(unknown_name("activation", "logisitc", HIDDEN))
    assert "Did you mean 'logistic'?" in str(unknown_name("activation", "logisitc", ("logistic", *HIDDEN)))
