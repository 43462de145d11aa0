"""Where the nets of a population are: fixtures that are entered for a whole test, and checked at its end."""

import pytest
from cuda_cases import PLACES, Place

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
