"""Guarantees of docs/guarantees.md, and lines of docs/explanation/determinism.md: each names tests that run.

A test that runs with `--full` or `--long` only is followed by that option. A line of the latter page may say instead
why it has no test.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADINGS = {"docs/guarantees.md": "| guarantee |", "docs/explanation/determinism.md": "| what changes |"}  # of tables
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`(?: with `(--\w+)`)?")


def rows_of(page):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(HEADINGS[page])]


@cache
def options_of(path):
    """Return {name: option} of the tests of a file; the option is that without which none of its cases runs, or ""."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    marks = [ast.unparse(node.value) for node in tree.body if is_pytestmark(node)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {function.name: option_of(function, marks) for function in functions}


def is_pytestmark(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def option_of(function, marks):
    decorators = [ast.unparse(node) for node in function.decorator_list]
    whole = [*marks, *(text for text in decorators if not text.startswith("pytest.mark.parametrize"))]
    if any("pytest.mark.full" in text for text in whole) or any(map(is_full_case_by_case, function.decorator_list)):
        return "--full"
    skips = [ast.unparse(node) for node in function.body if isinstance(node, ast.If)]
    return "--long" if any(text.startswith("if not is_long:\n    pytest.skip(") for text in skips) else ""


def is_full_case_by_case(decorator):
    """Return whether all cases that a decorator lists are marked as full."""
    text = ast.unparse(decorator)
    if not text.startswith("pytest.mark.parametrize") or not isinstance(cases := decorator.args[1], ast.List):
        return False
    return all("pytest.mark.full" in ast.unparse(case) for case in cases.elts)


@pytest.mark.parametrize("page", HEADINGS)
def test_pages_have_rows(page):
    assert len(rows_of(page)) > 20


@pytest.mark.parametrize("row", [row for page in HEADINGS for row in rows_of(page)])
def test_rows_name_tests_that_run(row):
    named, says_none = TEST.findall(row), "| no test" in row
    assert bool(named) != says_none, f"no test is named in: {row}"
    if says_none:
        assert row in rows_of("docs/explanation/determinism.md"), "a guarantee needs a test"
    for path, name, option in named:
        assert name in options_of(path), f"{path} has no {name}"
        needed = options_of(path)[name]
        assert option == needed, f"{path}::{name} runs {f'with {needed} alone' if needed else 'by default'}: say so"
