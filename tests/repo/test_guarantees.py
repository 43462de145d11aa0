"""Guarantees of docs/guarantees.md: each names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_guarantees_page_has_rows():
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("| guarantee")])
def test_guarantees_name_existing_tests(row):
    named = TEST.findall(row)
    assert named, f"no test is named in: {row}"
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"
