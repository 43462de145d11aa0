"""fastmlp.fit.keywords: keywords of MLP.fit and Population.fit have a type and a default each."""

from inspect import signature

import pytest
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, Adam, LevenbergMarquardt, Population, sweep
from fastmlp.fit.keywords import MLP_KEYWORDS, POPULATION_KEYWORDS, FitKeywords, PopulationFitKeywords


@pytest.mark.parametrize(
    "kinds, defaults", [(FitKeywords, MLP_KEYWORDS.rows), (PopulationFitKeywords, POPULATION_KEYWORDS.rows)]
)
def test_every_keyword_has_a_type_and_a_default(kinds, defaults):
    assert kinds.__annotations__.keys() == defaults.keys()


def test_shared_keywords_have_the_same_defaults():
    for name in FitKeywords.__annotations__:
        assert MLP_KEYWORDS.rows[name] == POPULATION_KEYWORDS.rows[name]


@pytest.mark.parametrize("function", [MLP.fit, Population.fit, sweep])
def test_no_keyword_is_positional(function):
    data = [name for name in signature(function).parameters if name in ("self", "X", "y", "space")]
    positional = [p.name for p in signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert positional == data


@pytest.mark.parametrize(
    "call, name, message",
    [
        (MLP((2, 1)).fit, "epoch", r"^MLP.fit\(\) got an unexpected keyword argument 'epoch'. Did you mean 'epochs'\?"),
        (MLP((2, 1)).fit, "dropout", r"It is a parameter of MLP: write MLP\(dropout=...\)."),
        (MLP((2, 1)).fit, "learning_rate", r"setting of optimizer: write .*Adam\(learning_rate=...\)."),
        (MLP((2, 1)).fit, "resume", r"write checkpoint=fastmlp.Checkpoint\(resume=...\)."),
        (Population((2, 1), 2).fit, "restart_after", r"write converged=fastmlp.Converged\(restart_after=...\)."),
        (Population((2, 1), 2).fit, "momentum", r"write optimizer=fastmlp.SGD\(momentum=...\)."),
        (MLP((2, 1)).fit, "converged", r"^MLP.fit\(\) got an unexpected keyword argument 'converged'.$"),
        (Population((2, 1), 2).fit, "batchsize", r"^Population.fit\(\) .* Did you mean 'batch_size'\?"),
        (Population((2, 1), 2).fit, "seed", r"the parameter 'random_state' of Population\?"),
        (lambda X, y, **given: sweep(X, y, {}, **given), "batchsize", r"^sweep\(\) .* Did you mean 'batch_size'\?"),
        (lambda X, y, **given: sweep(X, y, {}, **given), "check_point", r"^sweep\(\) .* Did you mean 'checkpoint'\?"),
    ],
)
def test_unknown_keywords(call, name, message):
    with pytest.raises(TypeError, match=message):
        call(XOR_X, XOR_Y, **{name: 3})


@pytest.mark.parametrize(
    "make, name, message",
    [
        (Adam, "lr", r"^Adam\(\) got an unexpected keyword argument 'lr'. Did you mean 'learning_rate'\?"),
        (LevenbergMarquardt, "mu", "Did you mean 'damping'"),
        (
            lambda **given: MLP((2, 1), **given),
            "hidden_activaton",
            r"^MLP\(\) got .* Did you mean 'hidden_activation'\?",
        ),
        (lambda **given: MLP((2, 1), **given), "activation", r"Did you mean 'hidden_activation'\?"),
        (lambda **given: MLP((2, 1), **given), "epochs", r"It is an argument of fit: write fit\(X, y, epochs=...\)."),
        (lambda **given: Population((2, 1), 2, **given), "lose", r"^Population\(\) got .* Did you mean 'loss'\?"),
        (lambda **given: Population((2, 1), 2, **given), "converged", r"write fit\(X, y, converged=...\)."),
        (lambda **given: MLP((2, 1), **given), "colour", r"^MLP\(\) got an unexpected keyword argument 'colour'.$"),
    ],
)
def test_unknown_keywords_of_constructors(make, name, message):
    with pytest.raises(TypeError, match=message):
        make(**{name: 3})
    assert list(signature(MLP).parameters)[:2] == ["layer_sizes", "hidden_activation"]
