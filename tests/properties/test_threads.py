"""Any number of threads gives the same bits of parameters, records and outputs, in every family that has several."""

from itertools import product

import kernel_families
import numpy as np
import pytest
from net_cases import reference_of
from tolerances import TOLERANCES

import fastmlp.fit.hooks.steps_and_threads
from fastmlp import MLP, SGD, Adam, Population, Rprop
from fastmlp.execution import dispatch, thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.execution.cpu_families import n_shards
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam
from fastmlp.kernels.cpu.workspace import PANELS_FROM

NETS = {  # family, layer sizes, rates of dropout, numbers of samples, samples of a batch
    "layers": ("layerwise", (7, 40, 33, 3), 0.3, (405, 401), 200),  # a last batch with fewer rows than chunks
    "layers of one unit": ("layerwise", (1, 1, 2), 0.0, (5,), 2),
    "packed weights": ("layerwise", (40, 400, 500, 3), 0.0, (309,), 150),
    "layers, micro-batches": ("layerwise", (20, 30, 17, 3), 0.0, (298,), 250),
    "copies of a net": ("layerwise_data_parallel", (7, 40, 33, 3), 0.3, (405, 401), 200),
    "copies of a larger net": ("layerwise_data_parallel", (64, 256, 200, 3), 0.0, (109,), 50),
    "copies of a net, micro-batches": ("layerwise_data_parallel", (20, 30, 17, 3), 0.0, (298,), 250),
    "batches of one": ("layerwise", (5, 300, 18, 3), 0.2, (14,), 1),
    "shards": ("batch_simd_data_parallel", (5, 7, 6, 3), 0.0, (605, 601), 300),
    "shards, micro-batches": ("batch_simd_data_parallel", (20, 30, 17, 3), 0.0, (298,), 250),
}
FITS = {
    "adam": {"optimizer": Adam(0.01)},
    "clipped": {"optimizer": Adam(0.01, clip_norm=0.1)},
    "weight decay": {"optimizer": Adam(0.01, weight_decay=0.1)},
    "momentum, in order": {"optimizer": SGD(0.05, momentum=0.9), "shuffle": False},
    "rprop, all samples in a batch": {"optimizer": Rprop(0.01), "batch_size": None},
    "batches of three": {"optimizer": Adam(0.01), "batch_size": 3},
}


@pytest.fixture
def threads(monkeypatch):
    """threads(n, far): so many from then on, whose processors share no cache if `far`; without trials of one thread,
    which would be due on a busy machine.
    """
    monkeypatch.setattr(fastmlp.fit.hooks.steps_and_threads, "TRIAL_AFTER", (np.inf, np.inf))
    monkeypatch.setattr(fastmlp.fit.hooks.steps_and_threads, "FIRST_TRIAL", np.inf)

    def choose(n, far=False):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(dispatch, name, lambda *_: n)
        monkeypatch.setattr(ThreadTeam, "share_no_cache", lambda team: far)

    return choose


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("name", NETS)
def test_any_number_of_threads_gives_the_same_bits(name, dtype, threads, monkeypatch):
    """One thread, two near each other and two far from each other, three and eight; losses decide when a fit stops."""
    family, sizes, dropout, samples, batch_size = NETS[name]
    kernel_families.use(family, monkeypatch)
    if name.endswith("micro-batches"):
        monkeypatch.setattr(thresholds, "MICRO_BATCH_ROWS", 96)
    for n, (title, fit) in product(samples, FITS.items()):
        if batch_size == 1 and fit.get("batch_size", 1) != 1:
            continue
        fit, found, rng = {"batch_size": batch_size, **fit}, [], np.random.default_rng(0)
        X, y, weight = rng.normal(size=(n, sizes[0])), rng.integers(0, sizes[-1], n), np.linspace(0.5, 1.5, n)
        most = n_shards(min(fit["batch_size"] or n, thresholds.MICRO_BATCH_ROWS))
        for n_threads, far in ((1, False), (2, False), (2, True), (3, False), (8, False)):
            threads(min(n_threads, most) if family == "batch_simd_data_parallel" else n_threads, far)
            buffers.released.clear()
            net = MLP(sizes, dropout=dropout, loss="softmax_cross_entropy", l2=0.01, dtype=dtype, random_state=2)
            history = net.fit(X, y, epochs=3, sample_weight=weight, verbose=0, **fit)
            found.append((net.params, history.loss, history.accuracy))
        for other in found[1:]:
            for values, of_one in zip(other, found[0], strict=True):
                np.testing.assert_array_equal(values, of_one, err_msg=f"{title}, {n} samples")


@pytest.mark.parametrize("sizes, n_nets", [((2, 5, 5, 1), 100), ((2, 80, 70, 1), 5)], ids=["lanes", "one by one"])
def test_any_number_of_threads_gives_a_population_the_same_bits(sizes, n_nets, monkeypatch, rng):
    X, y, found = rng.normal(size=(40, 2)), rng.integers(0, 2, 40), []
    for n_threads in (1, 2, 3):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n_threads))
        pop = Population(sizes, n_nets, loss="binary_cross_entropy", random_state=1, device="cpu")
        result = pop.fit(X, y, epochs=20, batch_size=8, converged=0.6, verbose=0)
        found.append((pop.params, result.loss, result.epochs, pop.evaluate(X, y)["loss"]))
    for other in found[1:]:
        for values, of_one in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(values, of_one)


@pytest.mark.parametrize("n", (1, 5, 256, 700, 3 * PANELS_FROM + 1))
@pytest.mark.parametrize("sizes", [(4, 30, 3), (30, 330, 40, 350, 3)], ids=["narrow", "packed weights"])
def test_any_number_of_threads_evaluates_to_the_same_bits(sizes, n, threads, rng, monkeypatch):
    """A thread evaluates blocks of 256 rows; it packs the weights of wide layers first if it has many rows."""
    kernel_families.use("layerwise", monkeypatch)
    net = MLP(sizes, loss="softmax_cross_entropy", random_state=0, dtype="float32")
    X, labels, weight = rng.normal(size=(n, sizes[0])), rng.integers(0, 3, n), rng.random(n) + 0.1
    threads(1)
    outputs, figures = net.predict(X), net.evaluate(X, labels, sample_weight=weight)
    for n_threads in (1, 2, 3):
        threads(n_threads)
        np.testing.assert_array_equal(net.predict(X), outputs)
        np.testing.assert_array_equal(
            np.concatenate([net.predict(part) for part in np.array_split(X, min(n, 7))]), outputs
        )
        assert net.evaluate(X, labels, sample_weight=weight) == pytest.approx(figures, rel=1e-13)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_threads_divide_the_columns_of_one_row(dtype, threads, rng, monkeypatch):
    """A row alone has the bits on any number of threads that it has among others."""
    kernel_families.use("layerwise", monkeypatch)
    wide, outputs_too, too_few_columns = (30, 400, 257, 700, 7), (5, 256, 390), (700, 127, 3)
    for sizes in (wide, outputs_too, too_few_columns):
        net = MLP(sizes, hidden_activation="gelu", loss="softmax_cross_entropy", dtype=dtype, random_state=1)
        X, label = rng.normal(size=(9, sizes[0])), np.array([sizes[-1] - 1])
        threads(1)
        among_others, figures = net.predict(X), net.evaluate(X[:1], label)
        tolerance = TOLERANCES["value", dtype]
        np.testing.assert_allclose(among_others, reference_of(net).predict(X), rtol=tolerance, atol=tolerance)
        for n_threads, k in product((2, 3), range(3)):
            threads(n_threads)
            np.testing.assert_array_equal(net.predict(X[k : k + 1]), among_others[k : k + 1])
            assert net.evaluate(X[:1], label) == figures
