"""Fixture of tests that are the same on a CPU and a GPU."""

import pytest


@pytest.fixture(params=("cpu", "cuda"))
def device(request):
    return request.getfixturevalue("cuda") and "cuda" if request.param == "cuda" else "cpu"
