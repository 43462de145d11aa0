"""Tests that need libraries beside those of the extra `test`: skipped without them, but not in .ci/full."""

from pathlib import Path

import pytest
from required_libraries import library, needs

FULL = Path(__file__).parents[2] / ".ci" / "full"
MISSING = r"missing: no_such_tracker; pip install 'fastmlp\[trackers\]' has it"


def test_a_missing_library_skips_or_fails_a_test(monkeypatch):
    monkeypatch.delenv("FASTMLP_REQUIRE_LIBRARIES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=MISSING):
        needs("pytest", "no_such_tracker", extras="trackers")
    monkeypatch.setenv("FASTMLP_REQUIRE_LIBRARIES", "1")
    with pytest.raises(pytest.fail.Exception, match=MISSING):
        library("no_such_tracker", extras="trackers")
    assert library("pytest", extras="test") is pytest


def test_ci_full_requires_the_libraries_of_recipes():
    lines = FULL.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    [step] = [line for line in lines if "test_code_blocks" in line]
    assert "FASTMLP_REQUIRE_LIBRARIES=1" in step
