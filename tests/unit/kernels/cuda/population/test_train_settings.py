"""Optimiser settings per net, in every kernel that trains populations."""

import numpy as np
import pytest
from cuda_cases import DTYPES, OPTIMIZERS, follow, own, reference_of
from cuda_populations import make
from tolerances import TOLERANCES

from fastmlp import AdamW, Rprop
from fastmlp.optimizers import settings_of

pytestmark = pytest.mark.thinned(16)

# From the first net to the last; wide enough that a neighbour's setting shows, and no two are the same.
RANGES = {
    "learning_rate": (0.6, 1.0),  # of the optimiser's
    "weight_decay": (0.05, 0.6),
    "clip_norm": (0.1, 0.5),
    "momentum": (0.2, 0.9),
    "beta1": (0.5, 0.95),
    "beta2": (0.6, 0.97),
    "epsilon": (0.01, 0.3),
    "growth": (1.1, 1.9),
    "shrink": (0.35, 0.75),
    "smallest": (0.001, 0.03),
    "biggest": (0.05, 0.13),
}
NOT_OF_NETS = {"nesterov", "by_fan_in", "bias_input"}
CAN_BE_ZERO = {"weight_decay", "clip_norm"}  # which is off: every third net goes without


def spread(optimizer, n_nets):
    """Arrays (n_nets,) of every setting that the optimiser has and uses."""
    found = {}
    for name in settings_of(optimizer).keys() - NOT_OF_NETS:
        found[name] = np.linspace(*RANGES[name], n_nets)
        if name == "learning_rate":
            found[name] *= optimizer.learning_rate
        if name in CAN_BE_ZERO:
            found[name][(2 if name == "clip_norm" else 1) :: 3] = 0.0
        if name == "momentum" and not optimizer.momentum:
            del found[name]  # plain gradient descent is a rule of its own
    return found


def samples(n):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 2))
    return X, np.tanh(X @ rng.normal(size=(2, 2)))


@pytest.mark.thinned(64)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_setting_may_differ_per_net(place, optimizer, dtype):
    X, y = samples(16)
    settings, pop = spread(optimizer, place.n), make(place.n, l2=0.01, dtype=dtype)
    start, mine = pop.params.copy(), own(optimizer, **settings)
    result = pop.fit(X, y, epochs=12, optimizer=mine, verbose=0)

    def train_alone(k, **other):
        reference = reference_of(pop.network, start[k])
        return follow(reference, X, y, own(mine.of_net(k), **other), epochs=12), reference.params

    tolerance, seen = TOLERANCES["training", dtype], set()
    for k in place.some:
        losses, params = train_alone(k)
        np.testing.assert_allclose(pop.params[k], params, rtol=tolerance, atol=tolerance, err_msg=f"net {k}")
        assert result.loss[k] == pytest.approx(losses[-1], rel=tolerance, abs=tolerance)
        for name, values in settings.items():
            if (
                values[k] != values[0]
                and np.abs(train_alone(k, **{name: values[0]})[1] - params).max() > 10 * tolerance
            ):
                seen.add(name)
    signs_only = {"clip_norm"} if isinstance(optimizer, Rprop) else set()
    assert seen == set(settings) - signs_only, "a setting that has no say would pass whatever the kernels did with it"


def test_settings_stay_with_their_net_after_others_end(place):
    """A net may take the slot of another that has ended, and keeps its settings."""
    X, y = samples(16)
    optimizer = AdamW(0.05)
    pop = make(place.n, l2=np.linspace(0.0, 0.05, place.n))
    start, mine = pop.params.copy(), own(optimizer, **spread(optimizer, place.n))
    result = pop.fit(X, y, epochs=20, batch_size=9, shuffle=False, optimizer=mine, converged=0.2, verbose=0)
    assert len(set(result.epochs[place.some])) > 2, "nets end together, so that none takes the place of another"
    for k in place.some:
        reference = reference_of(pop.network, start[k], pop.l2[k])
        losses = follow(reference, X, y, mine.of_net(k), epochs=int(result.epochs[k]), batch_size=9)
        np.testing.assert_allclose(pop.params[k], reference.params, rtol=1e-9, atol=1e-9, err_msg=f"net {k}")
        assert result.loss[k] == pytest.approx(losses[-1])
