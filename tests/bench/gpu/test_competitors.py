"""Competitors of bench/gpu/run.py, run on the CPU, and the check that refuses wrong ones."""

import numpy as np
import pytest
from gpu import batched_population, competitors
from required_libraries import needs

import fastmlp

NETS = (64, 128, 64, 10)  # those of bench/gpu/run.py


@pytest.mark.parametrize("competitor", ["torch", "jax"])
@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
def test_competitors_of_batched_nets_match_numpy(competitor, precision, rng):
    """Two steps of every net, each in another order, equal float64 NumPy; then an epoch runs."""
    needs(competitor, extras="bench")
    sizes, X, y = (6, 20, 12, 3), rng.normal(size=(24, 6)).astype(np.float32), rng.integers(3, size=24)
    start = (rng.normal(size=(4, 7 * 20 + 21 * 12 + 13 * 3)) * 0.3).astype(np.float32)
    orders = np.array([rng.permutation(24)[:16].reshape(2, 8) for _ in range(4)]).transpose(1, 0, 2)
    make = {"torch": lambda *job: batched_population.Torch(*job, "cpu"), "jax": batched_population.Jax}[competitor]
    made = make(sizes, start, X, y, precision)
    reached, expected = made.steps(orders), batched_population.numpy_steps(start, sizes, X, y, orders)
    batched_population.check(competitor, reached, expected, start, sizes, precision)
    wrong = reached + 1e-4 if precision == "exact" else start + 0.5 * (expected - start)
    with pytest.raises(AssertionError, match="of their length off"):
        batched_population.check(competitor, wrong, expected, start, sizes, precision)
    made.epoch(8)


def start_and_data(seed, sizes=NETS, n_nets=20, batch=32):
    """(initial parameters, X, y, orders of two steps, equal for all nets) as in bench/gpu/run.py."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(2 * batch, sizes[0])).astype(np.float32), rng.integers(sizes[-1], size=2 * batch)
    start = fastmlp.Population(sizes, n_nets, loss="softmax_cross_entropy", device="cpu", random_state=seed).params
    return start, X, y, np.broadcast_to(np.arange(2 * batch).reshape(2, 1, batch), (2, n_nets, batch))


@pytest.mark.parametrize("seed", range(10))
def test_float32_steps_pass_the_check(seed):
    """Tiny gradients, whose sign decides Adam's first steps, lead to other parameters, which the check tolerates."""
    start, X, y, orders = start_and_data(seed)
    steps = lambda dtype: batched_population.numpy_steps(start, NETS, X, y, orders, dtype)
    assert steps(np.float32).dtype == np.float32
    batched_population.check("float32", steps(np.float32), steps(np.float64), start, NETS, "exact")


def with_untrained_part(parts, steps, layer, which):
    """Parameters after these steps, except that one layer's weights or biases stay untrained."""
    mixed = [list(pair) for pair in steps]
    mixed[layer][which] = parts[layer][which]
    return batched_population.flatten(mixed)


@pytest.mark.parametrize("precision", batched_population.TOLERANCES)
def test_wrong_steps_fail_the_check(precision):
    """Missing or reordered steps and samples, untrained layers, another learning rate. Single precision reveals more
    faults than half precision.
    """
    start, X, y, orders = start_and_data(0)
    steps = lambda orders: batched_population.numpy_steps(start, NETS, X, y, orders)
    expected, one_net = steps(orders), orders.copy()
    one_net[:, 3] = orders[::-1, 3]
    parts = [batched_population.layers_of(x, NETS) for x in (start, expected)]
    stays = {
        f"layer {k}'s {'Wb'[which]}": with_untrained_part(*parts, k, which) for k in range(3) for which in range(2)
    }
    finer = {
        "last weights": stays.pop("layer 2's W"),
        "last biases": stays.pop("layer 2's b"),
        "one net": steps(one_net),
        "one sample in 32": steps((orders + 1) % len(X)),
        "the rate": start + 0.67 * (expected - start),
        "every parameter": expected + 1e-4,
    }
    wrong = {"start": start, "one step": steps(orders[:1]), "the other way round": steps(orders[::-1]), **stays}
    for name, reached in (wrong | finer if precision == "exact" else wrong).items():
        with pytest.raises(AssertionError, match=rf"{name}: two steps of (weights|biases) end"):
            batched_population.check(name, reached, expected, start, NETS, precision)


@pytest.mark.parametrize("competitor", ["torch", "jax"])
@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16"])
def test_competitors_of_single_nets_match_numpy(competitor, precision, rng):
    """Two steps equal float64 NumPy; then an epoch runs."""
    needs(competitor, extras="bench")
    sizes, X, y = (12, 40, 30, 3), rng.normal(size=(240, 12)).astype(np.float32), rng.integers(3, size=240)
    start = (rng.normal(size=13 * 40 + 41 * 30 + 31 * 3) * 0.2).astype(np.float32)
    batches = np.arange(240).reshape(2, 120)
    expected = batched_population.numpy_steps(start[None], sizes, X, y, batches[:, None])
    kind = {"torch": lambda *job: competitors.Torch(*job, "cpu"), "jax": competitors.Jax}[competitor]
    made = kind(sizes, start, X, y, precision)
    reached = made.steps(batches)[None]
    batched_population.check(competitor, reached, expected, start[None], sizes, precision)
    with pytest.raises(AssertionError, match="of their length off"):
        batched_population.check(competitor, start + 0.5 * (expected - start), expected, start[None], sizes, precision)
    made.epoch(80)
