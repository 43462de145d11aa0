"""Fixtures of the reliability tests: fits, saves and processes that are interrupted, killed or attacked.

Most tests have a short form, which is part of the suite, and a long form: `pytest tests/reliability --long`. Both count
the cases they tried, and the summary at the end of the run prints the counts.
"""

import pytest


@pytest.fixture
def is_long(request):
    """Return whether the long form is to run (--long)."""
    return request.config.getoption("--long")


@pytest.fixture
def count(record_property):
    """Return a function that records a count for the summary at the end of the run: count("kills of a save", 50)."""

    def keep(what, number):
        record_property("count", f"{number:,} {what}")

    return keep
