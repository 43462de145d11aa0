"""fastmlp.interface.keywords: signatures, and the name that is meant by one that a function does not have."""

import pickle
from inspect import signature

import pytest

from fastmlp import MLP, sweep
from fastmlp.interface.keywords import explains_names, unknown_keyword


@explains_names
def draw(shape, *, size=3, line_width=1.5, color=None):
    return shape, size, line_width, color


class Canvas:
    @explains_names
    def __init__(self, *, background="white"):
        self.background = background

    @explains_names
    def draw(self, shape, *, line_width=1.5, color=None):
        return shape, line_width, color

    fit = draw


def test_functions_stay_as_they_are():
    assert str(signature(draw)) == "(shape, *, size=3, line_width=1.5, color=None)"
    assert pickle.loads(pickle.dumps(draw)) is draw
    assert draw(1, color="red") == (1, 3, 1.5, "red")
    assert Canvas(background="red").draw(1) == (1, 1.5, None)


@pytest.mark.parametrize(
    "function, name, message",
    [
        (draw, "colour", r"^draw\(\) got an unexpected keyword argument 'colour'. Did you mean 'color'\?$"),
        (draw, "sizes", r"Did you mean 'size'\?$"),
        (draw, "xyz", r"^draw\(\) got an unexpected keyword argument 'xyz'.$"),
        (sweep, "epoch", r"^sweep\(\) got .* Did you mean 'epochs'\?$"),
        (Canvas().draw, "linewidth", r"^Canvas.draw\(\) got .* Did you mean 'line_width'\?$"),
        (Canvas().draw, "background", r"It is a parameter of Canvas: write Canvas\(background=...\).$"),
        (Canvas().draw, "back_ground", r"the parameter 'background' of Canvas\? Write Canvas\(background=...\).$"),
        (lambda X, **given: MLP((2, 1)).fit(X, X, **given), "epoch", r"^MLP.fit\(\) got .* Did you mean 'epochs'\?$"),
        (lambda _, **given: Canvas(**given), "back", r"^Canvas\(\) got an unexpected keyword argument 'back'"),
        (lambda _, **given: Canvas(**given), "color", r"It is an argument of fit: write fit\(X, y, color=...\).$"),
    ],
)
def test_misspelt_names(function, name, message):
    with pytest.raises(TypeError, match=message):
        function(1, **{name: 2})


def test_names_of_other_libraries():
    assert "Did you mean 'epochs'?" in str(unknown_keyword("fit", "max_iter", ["epochs"]))
    assert "write MLP(dropout=...)." in str(unknown_keyword("MLP.fit", "dropout", ["schedule"], MLP))
