"""Plans of fits and evaluations: the description of a net for kernels, and the buffers."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.devices import resolve
from fastmlp.execution import thresholds
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


def test_predictions_and_validations_within_each_other_have_buffers_of_their_own(rng):
    """A thread keeps the buffers of its last evaluation; a callback's prediction must not write to those of the
    validation in progress.
    """
    X, y, seen = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), []
    nets = [MLP((3, 40, 40, 2), random_state=0) for _ in range(2)]
    alone = nets[0].fit(X, y, epochs=4, validation_data=(X, y), verbose=0)
    look = lambda epoch, history: seen.append(nets[0].predict(X))
    watched = nets[1].fit(X, y, epochs=4, validation_data=(X, y), callbacks=look, verbose=0)
    np.testing.assert_array_equal(watched.validation_loss, alone.validation_loss)
    for outputs in (*seen, nets[1].predict(X)):
        np.testing.assert_array_equal(outputs, nets[0].predict(X))
    other = MLP((3, 40, 40, 2), hidden_activation="tanh", random_state=0)
    for rows in (1, 2, 1, 300, 40):  # other samples, and another net, take over the buffers
        assert (other.predict(X[:rows]) != nets[0].predict(X[:rows])).any()
        np.testing.assert_array_equal(nets[0].predict(X[:rows]), seen[0][:rows])


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
