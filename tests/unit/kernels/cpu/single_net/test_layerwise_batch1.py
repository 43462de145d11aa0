"""Kernel family layerwise_batch1: batches of one sample, without a gradient in memory or packed weights."""

import kernel_families
import numpy as np
import pytest
import reference_optimizers
from reference_net import ReferenceMLP
from reference_random import epoch_order
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.execution import dispatch
from fastmlp.kernels.formulas.net_seeds import fit_seed
from fastmlp.kernels.structs import HYPER
from fastmlp.optimizers import settings_of

pytestmark = pytest.mark.thinned(3)

# Widths that are no multiple of a vector, and that exceed the block of a product and of an update.
SIZES, WIDE = (5, 300, 18, 3), (5, 1100, 3)
OPTIMIZERS = (
    SGD(0.02),
    SGD(0.01, momentum=0.8),
    Adam(0.002, beta1=0.8, beta2=0.95, epsilon=1e-3),
    Adam(0.002, epsilon=1e-3, clip_norm=0.05),
    AdamW(0.002, epsilon=1e-3, weight_decay=0.2),
    RMSprop(0.001, beta2=0.8, epsilon=0.02),
    Quickprop(0.002, growth=1.5),
    Rprop(0.002, growth=1.1, shrink=0.4, smallest=1e-4, biggest=0.01),
)


@pytest.fixture
def choose(monkeypatch):
    """choose(threads, family): fits from then on use this family and number of threads."""

    def use(threads, family="layerwise"):
        kernel_families.use(family, monkeypatch)
        monkeypatch.setattr(dispatch, "choose_threads", lambda *_: threads)

    return use


def title(optimizer):
    return f"{optimizer.rule.name}{optimizer.clip_norm or ''}{optimizer.weight_decay or ''}"


def make(dtype, hidden="tanh", sizes=SIZES, **settings):
    return MLP(sizes, hidden_activation=hidden, dtype=dtype, random_state=2, device="cpu", **settings)


@pytest.fixture
def samples():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(14, SIZES[0]))
    return X, np.sin(X[:, :3]) + 0.1 * rng.normal(size=(14, 3)), rng.integers(1, 4, 14).astype(float)


@pytest.mark.thinned(6)
@pytest.mark.parametrize(
    "sizes, hidden, l2", [(SIZES, "tanh", 0.0), (SIZES, "softplus", 0.1), (WIDE, "tanh", 0.0)], ids=["", "l2", "wide"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=title)
def test_training_matches_the_reference(choose, samples, optimizer, sizes, hidden, l2):
    choose(1)
    X, y, weight = samples
    net = make("float64", hidden, sizes, l2=l2)
    reference = ReferenceMLP(sizes, (*(len(sizes) - 2) * (hidden,), "identity"), "squared_error", net.params, l2=l2)
    used = {field for field in settings_of(optimizer) if field in HYPER or field == "nesterov"}
    settings = {name: value for name, value in settings_of(optimizer).items() if name in used}
    losses = reference_optimizers.train(
        reference, X, y, type(optimizer).__name__, settings, epochs=3, batch_size=1, weight=weight / weight.mean()
    )
    before = net.params.copy()
    history = net.fit(X, y, epochs=3, batch_size=1, optimizer=optimizer, shuffle=False, sample_weight=weight, verbose=0)
    tolerance = TOLERANCES["training", "float64"]
    assert np.abs(reference.params - before).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=tolerance)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("family", ("layerwise", "layerwise_data_parallel"))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("optimizer", OPTIMIZERS[:4], ids=title)
def test_any_number_of_threads_gives_the_same_bits(choose, samples, optimizer, dtype, family):
    X, y, _ = samples
    found = []
    for threads in (1, 2, 3, 8):
        choose(threads, family)
        net = make(dtype, dropout=0.2)
        history = net.fit(X, y, epochs=2, batch_size=1, optimizer=optimizer, verbose=0)
        found.append((net.params, history.loss))
    for params, losses in found[1:]:
        np.testing.assert_array_equal(params, found[0][0])
        np.testing.assert_array_equal(losses, found[0][1])


def test_shuffled_training_equals_training_in_that_order(choose, samples):
    choose(2)
    X, y, _ = samples
    shuffled, in_order = make("float64"), make("float64")
    order = epoch_order(len(X), fit_seed(shuffled.seed, 0), 0)
    shuffled.fit(X, y, epochs=1, batch_size=1, optimizer=Adam(0.01), verbose=0)
    in_order.fit(X[order], y[order], epochs=1, batch_size=1, optimizer=Adam(0.01), shuffle=False, verbose=0)
    np.testing.assert_array_equal(shuffled.params, in_order.params)


def test_fits_of_other_batch_sizes_continue_from_the_parameters(choose, samples):
    """Larger batches read packed weights, which must be packed again after batches of one sample."""
    X, y, _ = samples
    found = []
    for family in ("layerwise", "batch_simd_16"):
        choose(1, family)
        net = make("float64")
        for rows in (5, 1, 14):
            net.fit(X, y, epochs=2, batch_size=rows, optimizer=SGD(0.01), shuffle=False, verbose=0)
        found.append(net.params)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-12)
