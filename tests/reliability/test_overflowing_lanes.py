"""Populations whose gradients, steps or losses overflow.

Every net ends with finite parameters, and its `stopped_by` is that of the same net trained by itself.
"""

import warnings

import numpy as np
import pytest

from fastmlp import MLP, SGD, Adam, Population, Quickprop, Rprop
from fastmlp.execution import unrolled_code
from fastmlp.kernels.structs import UNROLLED_ALWAYS
from fastmlp.optimizers import OPTIMIZERS

N_NETS = 20  # enough for population_simd, and no multiple of the number of lanes
BIG = {"float32": 1e15, "float64": 1e100}
WIDE, TINY = (7, 33, 3), (2, 2, 1)  # trained by loops, and by unrolled code
CASES = {
    **{name: (WIDE, cls(), {}) for name, cls in OPTIMIZERS.items()},
    "unrolled": (TINY, Adam(), {}),
    "momentum": (WIDE, SGD(1e3, momentum=0.9), {}),
    "a step that overflows": (WIDE, SGD(1e38), {}),
    "unrolled, the step": (TINY, SGD(1e38), {}),
    "clipped": (WIDE, SGD(1e-3, clip_norm=1.0), {}),
    "clipped by adam": (WIDE, Adam(1e-3, clip_norm=1.0), {}),
    "clipped, with a long step": (WIDE, SGD(1e30, clip_norm=1.0), {}),
    "batches": (WIDE, SGD(1e30), {"batch_size": 3}),
    "monitored loss": (WIDE, SGD(1e30), {"early_stopping": 5}),
    "monitored validation data": (WIDE, SGD(1e30), {"early_stopping": 5, "validation": True}),
    "penalty": (WIDE, Rprop(), {"l2": 0.1}),
    "quick steps": (WIDE, Quickprop(1e30), {}),
}


def samples(sizes, size):
    X = np.full((4, sizes[0]), size)
    X[1::2] *= -0.5
    return X, np.zeros((4, sizes[-1]))


@pytest.mark.parametrize("epochs", (1, 2, 70))
@pytest.mark.parametrize("case", CASES)
def test_nets_with_overflowing_gradients_end_as_single_nets(case, epochs, is_long, count):
    sizes, optimizer, options = CASES[case]
    n_tried = 0
    for dtype in ("float32", "float64") if is_long else ("float32",):
        for size in (1.0, BIG[dtype], BIG[dtype] ** 1.3, BIG[dtype] ** 2.4):
            n_tried += compare(sizes, optimizer, dict(options), dtype, size, epochs)
    count("populations with overflowing gradients", n_tried)


def compare(sizes, optimizer, options, dtype, size, epochs):
    X, y = samples(sizes, size)
    settings = {"dtype": dtype, "l2": options.pop("l2", 0.0), "random_state": 0, "device": "cpu"}
    if options.pop("validation", False):
        options["validation_data"] = X, y
    fit = {"epochs": epochs, "optimizer": optimizer, "verbose": 0, "shuffle": False, **options}
    pop = Population(sizes, N_NETS, **settings)
    starts = pop.params.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = pop.fit(X, y, **fit)
        of_single_nets = []
        for k in (0, N_NETS - 1):
            settings["random_state"] = int(pop.seeds[k])
            net = MLP(sizes, **settings)
            np.testing.assert_array_equal(net.params, starts[k])
            of_single_nets.append(net.fit(X, y, **fit).stopped_by)
            assert np.isfinite(net.params).all()
    assert np.isfinite(pop.params).all()
    assert np.isfinite(pop.best().params).all()
    assert [result.stopped_by[k] for k in (0, -1)] == of_single_nets
    diverged = result.stopped_by == "divergence"
    assert np.isnan(result.loss[diverged]).all()
    assert np.isfinite(result.loss[~diverged]).all()
    return 1


@pytest.mark.parametrize("sizes", (TINY, (2, 3, 1), WIDE), ids=str)
def test_a_diverged_net_leaves_nothing_in_its_lane(sizes, rng, monkeypatch):
    """Batches of 10 are padded to 12 columns, where held-out rows leave units of the diverged net."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # so that lanes have several nets
    monkeypatch.setattr(unrolled_code, "choose_unrolled_nets", lambda *_: UNROLLED_ALWAYS)
    X, held_out = rng.normal(size=(30, sizes[0])), rng.normal(size=(6, sizes[0]))
    settings = {"hidden_activation": "relu", "random_state": 0, "device": "cpu"}
    fit = {"epochs": 4, "batch_size": 10, "optimizer": SGD(0.01), "shuffle": False, "verbose": 0, "early_stopping": 9}
    fit["validation_data"] = held_out, np.zeros((6, sizes[-1]))
    nets = [Population(sizes, 100, **settings) for _ in range(2)]
    nets[0].params[:8] = 1e30
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [pop.fit(X, np.zeros((30, sizes[-1])), **fit) for pop in nets]
    diverged = results[0].stopped_by == "divergence"
    assert diverged.tolist() == [True] * 8 + [False] * 92
    assert (results[1].stopped_by == "epochs").all()
    np.testing.assert_array_equal(nets[0].params[8:], nets[1].params[8:])


def test_clipping_works_if_the_sum_of_squares_overflows():
    """A clipped gradient keeps its direction and has the norm clip_norm, even if its sum of squares overflows."""
    for dtype in ("float32", "float64"):
        X, y = samples(WIDE, BIG["float32"])
        pop = Population(WIDE, N_NETS, dtype=dtype, random_state=0)
        starts = pop.params.copy()
        pop.fit(X, y, epochs=1, optimizer=SGD(1e-3, clip_norm=2.0), verbose=0)
        net = MLP(WIDE, dtype=dtype, random_state=int(pop.seeds[3]))
        net.fit(X, y, epochs=1, optimizer=SGD(1e-3, clip_norm=2.0), verbose=0)
        steps = np.linalg.norm((pop.params - starts).astype(float), axis=1)
        np.testing.assert_allclose(steps, 2e-3, rtol=1e-2 if dtype == "float32" else 1e-9)
        np.testing.assert_allclose(net.params, pop.params[3], rtol=1e-5, atol=1e-6)
