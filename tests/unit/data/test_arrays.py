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
