"""Arrays of numbers: values that are no numbers raise."""

import numpy as np
import pytest
from checked_data import features

from fastmlp.data.arrays import as_numbers


def test_masked_entries_raise():
    masked = np.ma.masked_array(np.ones((3, 2)), mask=[[0, 1], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="X has masked entries"):
        as_numbers(masked, "X")


@pytest.mark.parametrize(
    "value, message",
    [(10**400, "fit into float64, but it holds a larger one"), (1 + 2j, "Pass real and imaginary parts as columns")],
)
def test_huge_integers_and_complex_numbers_raise(value, message):
    with pytest.raises(ValueError, match=message):
        features([[0, 1, 2], [value, 2, 3]])


@pytest.mark.parametrize(
    "cell",
    (np.datetime64("NaT"), np.datetime64("2020-01-01"), np.timedelta64("NaT"), np.timedelta64(3, "s"), np.complex64(1)),
    ids=repr,
)
def test_dates_durations_and_complex_numbers_among_objects_raise(cell):
    """NumPy converts them to numbers without an error."""
    with pytest.raises(ValueError, match=r"X must hold numbers, but it holds np\..* at \(1, 0\)"):
        as_numbers(np.array([[1.0, 2.0], [cell, 3.0]], object), "X")
