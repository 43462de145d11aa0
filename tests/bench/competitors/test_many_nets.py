"""Competitors that train many nets reach the reference's parameters, in blocks that do not divide the nets too."""

import numpy as np
import pytest
from competitors import Unsupported, many_nets, many_nets_jax, many_nets_numpy, many_nets_torch
from required_libraries import library
from suite.cases.populations import NAMES, VERIFY_RUNS, PopulationCase

FORMS = ("jax blocked", "jax vmap", "torch batched", "torch compiled", "numpy blocked")
UNSUPPORTED = {"jax vmap": ("adam", "quickprop", "rprop"), "torch batched": ("quickprop", "rprop")}


@pytest.mark.thinned(4)
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("sizes, activation", [((2, 2, 1), "sigmoid"), ((2, 4, 4, 1), "tanh")])
def test_competitors_of_many_nets_reach_the_reference(name, optimizer, sizes, activation, monkeypatch):
    name_of_library = name.split()[0]
    if name_of_library != "numpy":
        module = library(name_of_library, extras="bench")
    if name_of_library == "torch":  # compiling takes a minute
        monkeypatch.setattr(module, "compile", lambda function, **_: function)
        many_nets_torch.compiled.cache_clear()
        monkeypatch.setattr(many_nets_torch, "BLOCK_NETS", {})
    for forms in (many_nets_jax, many_nets_numpy, many_nets_torch):
        monkeypatch.setattr(forms, "BLOCK", 9)
    case = PopulationCase("x", "population", sizes, activation, optimizer, 70, verify_runs=VERIFY_RUNS[optimizer])
    try:
        form = many_nets.form_class(name)(sizes, activation, optimizer, case.start)
    except Unsupported:
        assert optimizer in UNSUPPORTED[name]
        return
    finally:
        many_nets_torch.compiled.cache_clear()
    assert optimizer not in UNSUPPORTED.get(name, ())
    found = np.asarray(form.run(case.verify_runs))
    assert found.shape == case.start.shape
    assert case.check(None, found) == {"share of nets": 0.0}
    assert case.check(None, np.asarray(form.run(case.verify_runs))) == {"share of nets": 0.0}, "each run starts anew"
