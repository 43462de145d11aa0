"""precision="bfloat16" permits reduced precision: a net that fused_tensor_core cannot train has products in TF32, or
none by cuBLAS and then float32.
"""

import numpy as np
import pytest
from cuda_cases import fit_seed, follow_sgd, reference_of, tensor_cores_first

import fastmlp.execution.thresholds
from fastmlp import MLP, SGD, Population

ROUNDED = 2e-3  # of TF32: of the length of a fit, where a bfloat16's is 1e-2
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


@pytest.mark.parametrize(
    "sizes, rates, kind",
    [
        ((40, 129, 129, 3), (), "LayerwiseWorkspace"),
        ((40, 120, 128, 3), (0.25, 0.25), "LayerwiseWorkspace"),
        ((4, 129, 3), (), "SmallNetWorkspace"),
        ((4, 20, 3), (0.25,), "SmallNetWorkspace"),
    ],
)
@pytest.mark.thinned(2)
def test_wide_nets_and_nets_with_dropout_train_in_tf32_or_float32(works, rng, sizes, rates, kind):
    """The net follows the reference, by products as with precision="tf32"; without cuBLAS, as with "exact"."""
    (X, y), fit = samples(rng, sizes), {"epochs": 2, "batch_size": 8, "optimizer": SGD(0.1), "verbose": 0}
    dropout = rates or 0.0
    same = "tf32" if kind == "LayerwiseWorkspace" else "exact"
    net, other = (MLP(sizes, precision=name, dropout=dropout, **SETTINGS) for name in ("bfloat16", same))
    reference, start = reference_of(net.network, net.params), net.params.copy()
    net.fit(X, y, **fit)
    assert works() == {kind}
    follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=8, seed=fit_seed(0), shuffle=True, rates=rates)
    assert np.abs(net.params - start).max() > 0.01, "it has learned"
    if same == "exact":
        np.testing.assert_allclose(net.params, reference.params, **EXACT)
    else:
        way = np.linalg.norm(reference.params - start)
        assert np.linalg.norm(net.params - reference.params) / way < ROUNDED
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


def test_mid_sized_populations_train_together_in_tf32(works, rng):
    """One after another on tensor cores, nets would leave most of a GPU idle."""
    sizes, fit = (64, 128, 64, 10), {"epochs": 1, "batch_size": 10, "optimizer": SGD(0.1), "verbose": 0}
    X, y = samples(rng, sizes)
    pop, other = (Population(sizes, 2, precision=name, **SETTINGS) for name in ("bfloat16", "tf32"))
    references, starts = [reference_of(pop.network, params) for params in pop.params], pop.params.copy()
    pop.fit(X, y, **fit)
    other.fit(X, y, **fit)
    assert works() == set(), "no net may train alone"
    np.testing.assert_array_equal(pop.params, other.params)
    for k, reference in enumerate(references):
        follow_sgd(reference, X, y, 0.1, epochs=1, batch_size=10, seed=fit_seed(pop.seeds[k]), shuffle=True)
        way = np.linalg.norm(reference.params - starts[k])
        assert np.linalg.norm(pop.params[k] - reference.params) / way < ROUNDED


def test_populations_train_one_by_one_on_tensor_cores(works, rng, monkeypatch):
    """Nets whose steps fill a GPU by themselves: near the reference, with rounding errors."""
    monkeypatch.setattr(fastmlp.execution.thresholds, "ONE_BY_ONE_FROM_STEP", 0)
    tensor_cores_first(monkeypatch)
    sizes, fit = (64, 128, 64, 10), {"epochs": 1, "batch_size": 10, "optimizer": SGD(0.1), "verbose": 0}
    X, y = samples(rng, sizes)
    pop = Population(sizes, 2, precision="bfloat16", **SETTINGS)
    references, starts = [reference_of(pop.network, params) for params in pop.params], pop.params.copy()
    pop.fit(X, y, **fit)
    assert works() == {"FusedWorkspace"}
    for k, reference in enumerate(references):
        follow_sgd(reference, X, y, 0.1, epochs=1, batch_size=10, seed=fit_seed(pop.seeds[k]), shuffle=True)
        way = np.linalg.norm(reference.params - starts[k])
        assert 1e-4 < np.linalg.norm(pop.params[k] - reference.params) / way < 2.5e-2
        net = MLP(sizes, precision="bfloat16", **SETTINGS | {"random_state": int(pop.seeds[k])})
        net.fit(X, y, **fit)
        np.testing.assert_array_equal(pop.params[k], net.params)
