"""Fixtures of the kernels that train nets; `place` checks at the end of a test that they have trained there."""

import pytest
from cuda_cases import PLACES, Place

COUNTS = {
    "thread": 131,
    "block": 9,
    "workspace": 9,
    "batched": 5,
    "layers": 4,
}  # from 128 nets on small ones share a block


def placed(names):
    @pytest.fixture(params=names)
    def place(cuda, request, monkeypatch):
        place = Place(request.param, monkeypatch)
        place.n = COUNTS[place.name]
        yield place
        place.check()

    return place


place, lanes = placed(PLACES), placed(PLACES[:-1])  # all nets of `lanes` train at once
