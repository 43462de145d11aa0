"""Guarantees of docs/guarantees.md, and lines of docs/explanation/determinism.md: each names tests that exist.

A line of the latter may say instead why it has no test.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADINGS = {"docs/guarantees.md": "| guarantee |", "docs/explanation/determinism.md": "| what changes |"}  # of tables
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows_of(page):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(HEADINGS[page])]


@cache
def functions(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", HEADINGS)
def test_pages_have_rows(page):
    assert len(rows_of(page)) > 20


@pytest.mark.parametrize("row", [row for page in HEADINGS for row in rows_of(page)])
def test_rows_name_existing_tests(row):
    named, says_none = TEST.findall(row), "| no test" in row
    assert bool(named) != says_none, f"no test is named in: {row}"
    if says_none:
        assert row in rows_of("docs/explanation/determinism.md"), "a guarantee needs a test"
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"
