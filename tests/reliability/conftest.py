"""Tests of what must hold when a fit, a save or a process is interrupted, killed or attacked.

Each has a short form, which belongs to the suite, and a long one: `pytest tests/reliability --long`. Both count what
they tried, and the summary at the end of the run prints the counts.
"""

import pytest


@pytest.fixture
def is_long(request):
    """Whether the long form was asked for."""
    return request.config.getoption("--long")


@pytest.fixture
def count(record_property):
    """count("kills of a save", 50): printed at the end of the run."""

    def keep(what, number):
        record_property("count", f"{number:,} {what}")

    return keep
