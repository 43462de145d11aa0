"""What takes `executor=`, on the processes of a pool: the bits of one process, and Ctrl-C."""

import numpy as np
import pytest
from executor_cases import X, Y, fit, process_pool
from interrupted_fits import with_sigint
from scipy.stats import loguniform

from fastmlp import sweep
from fastmlp.fit import slices_on_workers


@pytest.fixture(scope="module")
def pool():
    with process_pool(2) as executor:
        yield executor


@pytest.fixture
def small_tasks(monkeypatch):
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(slices_on_workers, name, 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)


def test_a_search_has_the_bits_of_one_process(pool, small_tasks):
    space = {"hidden_layer_sizes": [(4,), (6,)], "learning_rate": loguniform(1e-3, 1e-1)}
    settings = {"n": 12, "epochs": 5, "batch_size": 16, "random_state": 0, "verbose": 0, "device": "cpu"}
    expected, found = (sweep(X, Y, space, executor=executor, **settings) for executor in (None, pool))
    assert found.settings == expected.settings
    np.testing.assert_array_equal(found.fold_scores, expected.fold_scores)
    np.testing.assert_array_equal(found.train_losses, expected.train_losses)
    np.testing.assert_array_equal(found.best.params, expected.best.params)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_finished_nets_and_the_pool(pool, small_tasks, monkeypatch):
    first = []
    expected, _ = fit("one by one", n_nets=12, change=lambda pop: first.append(pop.params.copy()))
    with monkeypatch.context() as patches:
        take = with_sigint(slices_on_workers.WorkersFit._take, n=2)
        patches.setattr(slices_on_workers.WorkersFit, "_take", take)
        pop, result = fit("one by one", pool, n_nets=12)
    assert result.interrupted
    ended = result.stopped_by == "epochs"
    assert 2 <= ended.sum() < 12
    np.testing.assert_array_equal(pop.params[ended], expected.params[ended])
    np.testing.assert_array_equal(pop.params[~ended], first[0][~ended])
    again, result = fit("one by one", pool, n_nets=12)
    assert not result.interrupted
    np.testing.assert_array_equal(again.params, expected.params)
