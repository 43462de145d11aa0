"""Plans of fits and evaluations: the description of a net for kernels, and the buffers."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.devices import resolve
from fastmlp.execution import dispatch, thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.execution.plan import Plan
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.jit.call import _entries


def network(sizes, **settings):
    return MLP(sizes, **settings).network


def test_kernels_are_compiled_once_per_dtype(rng):
    """A kernel is compiled once per dtype for every net, schedule and use, since compiling takes many seconds."""
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    schedules = (None, "cosine", lambda steps, n_steps: 0.5, lambda steps, n_steps: np.ones(len(steps), np.float32))
    for sizes, settings in (((3, 4, 2), {}), ((3, 4, 2), {"dropout": 0.5}), ((3, 50, 2), {"l2": 0.1})):
        net = MLP(sizes, **settings)
        for schedule in schedules:
            net.fit(X, y, epochs=1, batch_size=8, schedule=schedule, sample_weight=np.arange(40), verbose=0)
        net.fit(X, y, epochs=1, validation_fraction=0.2, verbose=0)
        net.loss_and_gradient(X, y)
        net.evaluate(X, y), net.predict(X)
    for family in ("layerwise", "batch_simd_16"):
        for kernel in (backend.TRAIN[family], backend.EVALUATE[family]):
            of_float32 = {
                found.signature for (name, _), found in _entries.items() if name == kernel and "<f4" in found.signature
            }
            assert len(of_float32) == 1, f"{kernel} was compiled {len(of_float32)} times"


def evaluation_plan(net, n, n_threads=None):
    return Plan.for_evaluation(net.network, net.device, net.dtype, n, n_threads)


def test_released_evaluation_plan_is_reused_for_equal_calls():
    """A thread keeps the plan of its last evaluation, for the same architecture, dtype and number of samples, unless it
    is in use: a callback's prediction must not write to the buffers of the validation in progress.
    """

    def plan(net, n, n_threads=None):
        found = evaluation_plan(net, n, n_threads)
        found.release()
        return found

    net, equal = MLP((3, 40, 40, 2), random_state=0), MLP((3, 40, 40, 2), random_state=1)
    other = MLP((3, 40, 40, 2), hidden_activation="tanh", random_state=0)
    cached = plan(net, 1)
    assert plan(net, 1) is plan(equal, 1) is cached, "a plan has no parameters"
    assert plan(net, 2) is not cached
    assert plan(net, 1) is not cached, "only the last plan is cached"
    for changed in ((other, 1), (net, 1, 1)):
        cached = plan(net, 1)
        assert plan(*changed) is not cached
    cached = plan(net, 300)
    assert plan(net, 700) is cached, "both evaluate in blocks of equal size"
    validation, prediction = evaluation_plan(net, 1), evaluation_plan(net, 1)
    assert prediction.work.a is not validation.work.a


def test_evaluation_plan_of_another_net_is_dispatched_anew(monkeypatch):
    """Its threads and kernel family are those that the settings of now ask for, though an equal net had others."""
    first, second = MLP((3, 40, 40, 2), random_state=0), MLP((3, 40, 40, 2), random_state=1)
    for net, n_threads, family in ((first, 1, "layerwise"), (second, 2, "layerwise"), (first, 1, "batch_simd_16")):
        monkeypatch.setattr(dispatch, "choose_evaluation_threads", lambda *_, n=n_threads: n)
        monkeypatch.setattr(dispatch, "choose_evaluation_family", lambda *_, name=family: name)
        plan = evaluation_plan(net, 16)
        assert (plan.n_threads, plan.choice.family) == (n_threads, family)
        plan.release()


def test_evaluation_rows_are_shared_equally_among_threads():
    net = MLP((3, 600, 600, 2), random_state=0)
    for n_samples in (16, 600, 1797, 10_000):
        plan = Plan.for_evaluation(net.network, net.device, net.dtype, n_samples, 2)
        shares = [0, 0]
        for block, first in enumerate(range(0, n_samples, plan.choice.rows_of_thread)):
            shares[block % 2] += min(plan.choice.rows_of_thread, n_samples - first)
        assert max(shares) <= 1.05 * n_samples / 2 + 8


@pytest.mark.parametrize("sizes", ((64, 64, 32, 10), (2, 16, 16, 2), (100, 400, 400, 10)))
def test_memory_is_independent_of_the_batch_size(sizes):
    """Batches are processed in micro-batches, but those of the smallest nets on one thread."""

    def n_bytes(rows):
        buffers.released.clear()
        made = Plan.for_training(network(sizes), resolve("cpu"), np.dtype(np.float32), 10**8, rows, False, 2)
        return sum(x.nbytes for x in made.work if isinstance(x, np.ndarray))

    assert n_bytes(10**8) == n_bytes(thresholds.MICRO_BATCH_ROWS)
    rows = thresholds.MICRO_BATCH_ROWS + 1000
    smallest = Plan.for_training(network((2, 1)), resolve("cpu"), np.dtype(np.float32), rows, rows, False)
    assert smallest.work.rows == rows
