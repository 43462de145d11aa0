"""Parameters of functions have names that say what they are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAY_NOTHING = {"of", "say", "most", "rest", "theirs"}  # words of a sentence, which need one to be understood
MAY_BE_ONE = re.compile(rf"\b({'|'.join(SAY_NOTHING)})\s*[,:=)/]")  # as a parameter stands in formatted code
FILES = [path for folder in ("src", "kernels", "tests", "bench", "tools") for path in (ROOT / folder).rglob("*.py")]


def parameters_in(text):
    """Return {(function, parameter)} of a source that may have one in SAY_NOTHING; most need not be parsed."""
    if not MAY_BE_ONE.search(text):
        return set()
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return {
        (node.name, argument.arg)
        for node in functions
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    }


@pytest.mark.slow
def test_no_parameter_has_a_name_that_says_nothing():
    found = [
        (path.relative_to(ROOT).as_posix(), *names)
        for path in FILES
        for names in parameters_in(path.read_text(encoding="utf-8"))
        if names[1] in SAY_NOTHING
    ]
    assert not found
    assert len(FILES) > 500


@pytest.mark.parametrize("text", ["def f(of): ...", "def f(a, *, most=1): ...", "async def f(rest, /): ..."])
def test_such_names_are_found(text):
    assert {name for _, name in parameters_in(text)} & SAY_NOTHING
