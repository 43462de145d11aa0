"""The peers of populations: each form trains the nets that the reference trains, in blocks that leave a rest too."""

import numpy as np
import pytest
from peers import Unsupported, many_nets
from populations import VERIFY_RUNS, PopulationWork


@pytest.mark.parametrize("name", ["jax blocked", "jax vmap", "torch batched", "numpy blocked"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("sizes, activation", [((2, 2, 1), "sigmoid"), ((2, 4, 4, 1), "tanh")])
def test_forms(name, optimizer, sizes, activation, monkeypatch):
    if not name.startswith("numpy"):
        pytest.importorskip(name.split()[0])
    monkeypatch.setattr(many_nets, "JAX_BLOCK", 7)
    monkeypatch.setattr(many_nets, "NUMPY_BLOCK", 7)
    work = PopulationWork("x", "population", sizes, activation, optimizer, 30, verify_runs=VERIFY_RUNS[optimizer])
    try:
        form = many_nets.FORMS[name](sizes, activation, optimizer, work.start)
    except Unsupported:
        assert (name, optimizer) == ("jax vmap", "adam")
        return
    found = np.asarray(form.run(work.verify_runs))
    assert found.shape == work.start.shape
    assert work.check(None, found) == {"share of nets": 0.0}
    assert work.check(None, np.asarray(form.run(work.verify_runs))) == {"share of nets": 0.0}, "each run starts anew"
