"""fastmlp.interface.keywords: signatures, defaults and misspelt names of keywords that a TypedDict describes."""

from __future__ import annotations

import pickle
from inspect import Parameter, signature
from typing import Any, TypedDict, get_type_hints

import pytest

from fastmlp import MLP
from fastmlp.interface.keywords import completed, unknown_keyword, with_keywords


class Drawing(TypedDict, total=False):
    color: str | None
    line_width: float


DEFAULTS: Drawing = {"line_width": 1.5, "color": None}


@with_keywords(Drawing, DEFAULTS)
def draw(shape: Any, *, size: int = 3, **keywords: Any) -> str:
    return repr(completed(draw, keywords, DEFAULTS))


class Canvas:
    def __init__(self, *, background: str = "white"):
        self.background = background

    @with_keywords(Drawing, DEFAULTS)
    def draw(self, shape: Any, **keywords: Any) -> Any:
        return completed(Canvas.draw, keywords, DEFAULTS, Canvas)


def test_keywords_are_in_the_signature():
    expected = "(shape: 'Any', *, size: 'int' = 3, line_width: 'float' = 1.5, color: 'str | None' = None) -> 'str'"
    assert str(signature(draw)) == expected
    assert list(signature(Canvas().draw).parameters) == ["shape", "line_width", "color"]
    kinds = {parameter.kind for parameter in signature(Canvas.draw).parameters.values()}
    assert kinds == {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}


def test_types_can_be_evaluated():
    expected = {"shape": Any, "size": int, "line_width": float, "color": str | None, "return": str}
    assert get_type_hints(draw) == expected


def test_functions_can_be_pickled():
    assert pickle.loads(pickle.dumps(draw)) is draw


def test_defaults_of_the_others():
    assert draw(1, color="red") == "{'line_width': 1.5, 'color': 'red'}"
    assert Canvas().draw(1) == DEFAULTS


@pytest.mark.parametrize(
    "function, name, message",
    [
        (draw, "colour", r"^draw\(\) got an unexpected keyword argument 'colour'. Did you mean 'color'\?$"),
        (draw, "sizes", r"Did you mean 'size'\?$"),
        (draw, "xyz", r"^draw\(\) got an unexpected keyword argument 'xyz'.$"),
        (Canvas().draw, "linewidth", r"^Canvas.draw\(\) got .* Did you mean 'line_width'\?$"),
        (Canvas().draw, "background", r"It is a parameter of Canvas: write Canvas\(background=...\).$"),
        (Canvas().draw, "back_ground", r"the parameter 'background' of Canvas\? Write Canvas\(background=...\).$"),
    ],
)
def test_misspelt_names(function, name, message):
    with pytest.raises(TypeError, match=message):
        function(1, **{name: 2})


def test_names_of_other_libraries():
    assert "Did you mean 'epochs'?" in str(unknown_keyword("fit", "max_iter", ["epochs"]))
    assert "write MLP(dropout=...)." in str(unknown_keyword("MLP.fit", "dropout", ["schedule"], MLP))
