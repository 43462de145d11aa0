"""precision="bfloat16" permits reduced precision: large nets and populations have products of bfloat16 operands, and
small nets are trained in float32.
"""

import numpy as np
import pytest
from cuda_cases import fit_seed, follow_sgd, reference_of
from reference_bfloat16 import RoundedMLP
from reference_net import ReferenceMLP

from fastmlp import MLP, SGD, Population

# Relative to the length of a fit: from the reference that rounds operands, too, and from the one that does not.
CLOSE, ROUNDED = 1e-3, (2e-3, 5e-2)
EXACT = {"rtol": 2e-4, "atol": 2e-5}  # float32 against float64; a bfloat16's operands are off by 4e-3
SETTINGS = {"hidden_activation": "tanh", "device": "cuda", "random_state": 0}


@pytest.fixture
def works(cuda, monkeypatch):
    """Return a function that returns the names of the workspaces that single nets have used."""
    from fastmlp.kernels.cuda import backend

    found, make_workspace = [], backend.make_workspace

    def made(*arguments):
        found.append(make_workspace(*arguments))
        return found[-1]

    monkeypatch.setattr(backend, "make_workspace", made)
    return lambda: {type(work).__name__ for work in found}


def samples(rng, sizes, n=20):
    return rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))


def follow_both(net, start, X, y, **fit):
    """Return the parameters that the rounded reference and the exact one reach."""
    references = [reference_of(net.network, start, kind=kind) for kind in (RoundedMLP, ReferenceMLP)]
    for reference in references:
        follow_sgd(reference, X, y, 0.02, shuffle=True, **fit)
    return [reference.params for reference in references]


def assert_in_bfloat16(params, start, close, exact):
    way = np.linalg.norm(exact - start)
    assert np.linalg.norm(params - close) / way < CLOSE
    assert ROUNDED[0] < np.linalg.norm(params - exact) / way < ROUNDED[1]


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize("sizes, rates", [((40, 129, 129, 3), ()), ((40, 120, 128, 3), (0.25, 0.25))])
def test_wide_nets_and_nets_with_dropout_train_in_bfloat16(works, rng, sizes, rates):
    (X, y), fit = samples(rng, sizes), {"epochs": 2, "batch_size": 8}
    net = MLP(sizes, precision="bfloat16", dropout=rates or 0.0, **SETTINGS)
    start = net.params.copy()
    close, exact = follow_both(net, start, X, y, seed=fit_seed(0), rates=rates, **fit)
    net.fit(X, y, optimizer=SGD(0.02), verbose=0, **fit)
    assert works() == {"LayerwiseWorkspace"}
    assert_in_bfloat16(net.params, start, close, exact)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("sizes, rates", [((4, 129, 3), ()), ((4, 20, 3), (0.25,))])
def test_nets_in_a_block_train_in_float32(works, rng, sizes, rates):
    (X, y), fit = samples(rng, sizes), {"epochs": 2, "batch_size": 8, "optimizer": SGD(0.1), "verbose": 0}
    net, other = (MLP(sizes, precision=name, dropout=rates or 0.0, **SETTINGS) for name in ("bfloat16", "exact"))
    reference = reference_of(net.network, net.params)
    net.fit(X, y, **fit)
    assert works() == {"SmallNetWorkspace"}
    follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=8, seed=fit_seed(0), shuffle=True, rates=rates)
    np.testing.assert_allclose(net.params, reference.params, **EXACT)
    other.fit(X, y, **fit)
    np.testing.assert_array_equal(net.params, other.params)


def test_populations_in_one_launch_train_in_float32(works, rng):
    """Nets of a population that train in one launch, one per block, are trained in float32."""
    sizes, fit = (4, 16, 3), {"epochs": 2, "batch_size": 8, "optimizer": SGD(0.1), "verbose": 0}
    X, y = samples(rng, sizes)
    pop, exact = (Population(sizes, 3, precision=name, **SETTINGS) for name in ("bfloat16", "exact"))
    references = [reference_of(pop.network, params) for params in pop.params]
    pop.fit(X, y, **fit)
    assert works() == set(), "no net may train alone"
    for k, reference in enumerate(references):
        follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=8, seed=fit_seed(pop.seeds[k]), shuffle=True)
        np.testing.assert_allclose(pop.params[k], reference.params, **EXACT)
    exact.fit(X, y, **fit)
    np.testing.assert_array_equal(pop.params, exact.params)


@pytest.mark.full
def test_mid_sized_populations_train_together_in_bfloat16(works, rng):
    """One after another on tensor cores, nets would leave most of a GPU idle."""
    sizes, fit = (64, 128, 64, 10), {"epochs": 1, "batch_size": 10}
    X, y = samples(rng, sizes)
    pop = Population(sizes, 2, precision="bfloat16", **SETTINGS)
    starts = pop.params.copy()
    pop.fit(X, y, optimizer=SGD(0.02), verbose=0, **fit)
    assert works() == set(), "no net may train alone"
    for k, start in enumerate(starts):
        close, exact = follow_both(pop, start, X, y, seed=fit_seed(pop.seeds[k]), **fit)
        assert_in_bfloat16(pop.params[k], start, close, exact)
