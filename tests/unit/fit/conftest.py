"""Fixtures of tests of fits."""

import pytest
from fit_kinds import use_small_parts


@pytest.fixture
def small_parts(monkeypatch):
    """Sources are read from disk in blocks of three steps; workers get tasks of one net, or of 16 nets in lanes."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    use_small_parts(monkeypatch)
