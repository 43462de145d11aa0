"""Fixtures of the kernel that trains a population; each checks at the end of a test that this kernel was used."""

import numpy as np
import pytest
from cuda_cases import PLACES, Place
from tolerances import TOLERANCES

COUNTS = {
    "thread": 131,
    "block": 9,
    "workspace": 9,
    "batched": 5,
    "layers": 4,
}  # from 128 nets on, small ones share a block


def placed(names):
    @pytest.fixture(params=names)
    def place(cuda, request, monkeypatch):
        place = Place(request.param, monkeypatch)
        place.n = COUNTS[place.name]
        place.some = sorted({0, 1, 2, place.n // 2, place.n // 3, place.n - 1})
        yield place
        place.check()

    return place


place, small = placed(PLACES), placed(("thread", "block", "batched"))
lanes = placed(("thread", "block", "workspace", "batched"))


@pytest.fixture
def assert_same(request):
    """assert_same(found, expected): results of two kernels with the same formulas. Equal bits in the emulator; on a GPU
    as far as rounding goes, since NVRTC may join other multiplications and additions in one than in the other.
    """

    def check(found, expected):
        if request.config.getoption("--device") == "emulator":
            np.testing.assert_array_equal(found, expected)
        else:
            tolerance = TOLERANCES["training", found.dtype.name]
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    return check
