"""Windows of a population: as many nets at a time as fit into memory, and interruption between launches."""

import signal

import numpy as np
import pytest
from cuda_cases import fit_seed, follow, reference_of
from cuda_populations import make
from reference_optimizers import adam
from reference_random import epoch_order
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.fit.hooks.of_lanes
from fastmlp import Adam
from fastmlp.execution.work import products

pytestmark = pytest.mark.thinned(16)


@pytest.fixture
def windows(monkeypatch):
    """The list of the nets of each window that is opened."""
    from fastmlp.kernels.cuda.population.window import Window

    found, begin = [], Window.__init__

    def opened(self, work, members, *arguments):
        found.append(members)
        begin(self, work, members, *arguments)

    monkeypatch.setattr(Window, "__init__", opened)
    return found


@pytest.mark.parametrize("n_nets, n_in_window", [(400, 160), (20, 7)], ids=["thread", "block"])
def test_windows_smaller_than_the_population_change_no_result(emulated_cuda, n_nets, n_in_window, windows, monkeypatch):
    """With memory for only a part of the nets at a time, every net ends as it would with memory for all."""
    fit = {"epochs": 30, "optimizer": Adam(0.1), "converged": 0.4, "batch_size": 3, "shuffle": True, "verbose": 0}
    pops = [make(n_nets, (2, 3, 1), loss="binary_cross_entropy") for _ in range(2)]
    start = pops[0].params.copy()
    results = [pops[0].fit(XOR_X, XOR_Y, **fit)]
    assert [len(window) for window in windows] == [n_nets]
    windows.clear()
    monkeypatch.setattr(
        "fastmlp.kernels.cuda.population.train.SHARE_OF_MEMORY", n_in_window * 800 / emulated_cuda.settings.limit
    )
    results.append(pops[1].fit(XOR_X, XOR_Y, **fit))
    assert len(windows) > 2
    np.testing.assert_array_equal(np.concatenate(windows), np.arange(n_nets))
    if len(windows[-1]) >= 128 or n_nets < 128:  # a last window of few nets is trained in blocks, which round otherwise
        np.testing.assert_array_equal(pops[0].params, pops[1].params)
    np.testing.assert_allclose(pops[0].params, pops[1].params, rtol=1e-9, atol=1e-9)
    for name in ("epochs", "status", "converged"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))
    np.testing.assert_allclose(results[0].records, results[1].records, rtol=1e-9)
    for k in (0, n_nets // 2, n_nets - 1):
        reference = reference_of(pops[1].network, start[k])
        losses = follow_by_adam(reference, int(results[1].epochs[k]), fit_seed(pops[1].seeds[k]))
        assert results[1].loss[k] == pytest.approx(losses[-1])
        np.testing.assert_allclose(pops[1].params[k], reference.params, rtol=1e-9, atol=1e-9)


def follow_by_adam(reference, epochs, seed):
    """Losses of the reference trained with Adam on XOR, shuffled, in batches of three and one."""
    orders = np.concatenate([epoch_order(4, seed, epoch) for epoch in range(epochs)])
    state, losses = {}, []
    for epoch in range(epochs):
        rows, sums = orders[4 * epoch : 4 * epoch + 4], 0.0
        for part in (rows[:3], rows[3:]):
            loss, gradient = reference.loss_and_gradient(XOR_X[part], XOR_Y[part, None])
            sums += loss * len(part)
            reference.params = adam(reference.params, gradient, state, loss, 0.1)
        losses.append(sums / 4)
    return losses


@pytest.mark.parametrize(
    "members, rows",
    [([3, 4, 5], slice(3, 6)), ([7], slice(7, 8)), ([], slice(0, 0)), ([0, 2, 1, 3], None), ([5, 4], None)],
)
def test_rows_in_order_are_a_slice(cuda, members, rows):
    from fastmlp.kernels.cuda.population.window import rows_of

    given = np.array(members, np.int64)
    found = rows_of(given)
    assert found is given if rows is None else found == rows


def test_memory_of_orders_is_that_of_lists_only_where_many_threads_draw_them(emulated_cuda, windows, monkeypatch):
    """An order of 1,000 samples has 4,000 bytes; with lists, which nets in threads have not, it would have 12,000."""
    from fastmlp.kernels.cuda.population import train

    X, y = np.zeros((1000, 2)), np.zeros(1000)
    monkeypatch.setattr(train, "SHARE_OF_MEMORY", 200 * 5000 / emulated_cuda.settings.limit)
    make(400, (2, 1, 1)).fit(X, y, epochs=1, batch_size=500, shuffle=True, verbose=0)
    assert 150 < len(windows[0]) < 250


@pytest.mark.parametrize("sizes, n_nets", [((2, 3, 1), 200), ((2, 40, 40, 1), 40)], ids=["small", "large"])
def test_windows_fit_into_any_amount_of_memory(emulated_cuda, sizes, n_nets, windows, monkeypatch):
    """Windows sized by the free memory fit into it for any limit, with arrays in global memory too."""
    from fastmlp.kernels.cuda.population import train

    if len(sizes) > 3:
        monkeypatch.setattr(train, "shared_limit", lambda: 4000)
    pop = make(n_nets, sizes, dtype="float32")
    emulated_cuda.settings.limit = 150_000 if len(sizes) == 3 else 1_500_000
    result = pop.fit(XOR_X, XOR_Y, epochs=3, optimizer=Adam(0.1), verbose=0)
    assert len(windows) > 1
    assert (result.epochs == 3).all()
    emulated_cuda.settings.limit = 30_000 if len(sizes) == 3 else 400_000
    assert np.isfinite(pop.predict(XOR_X)).all()
    assert np.isfinite(pop.evaluate(XOR_X, XOR_Y)["loss"]).all()


def test_too_little_memory_for_one_net_raises(emulated_cuda):
    pop = make(3, (2, 100, 90, 1))
    emulated_cuda.settings.limit = 10_000
    with pytest.raises(MemoryError, match=r"no room for .* bytes are wanted, [\d,]+ of 10,000 are free"):
        pop.fit(XOR_X, XOR_Y, epochs=1, verbose=0)


# ---- interruption


@pytest.mark.parametrize("n_nets, n_in_window", [(400, 160), (20, 7)], ids=["thread", "block"])
def test_interruption_in_the_second_window_keeps_the_first(emulated_cuda, n_nets, n_in_window, windows, monkeypatch):
    """Ctrl-C in the second window: the first has finished, the second is training, the rest has not started."""
    from fastmlp.kernels.cuda.population import train

    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 1e9))
    monkeypatch.setattr(train, "SHARE_OF_MEMORY", n_in_window * 800 / emulated_cuda.settings.limit)
    launch = train.launch

    def interrupted(*arguments, **job):
        if len(windows) == 2 and "train" in arguments[0].name:
            count.append(1)
            if len(count) == 3:
                signal.raise_signal(signal.SIGINT)
        launch(*arguments, **job)

    monkeypatch.setattr(train, "launch", interrupted)
    count = []
    pop = make(n_nets, (2, 3, 1))
    start = pop.params.copy()
    result = pop.fit(XOR_X, XOR_Y, epochs=5, optimizer=Adam(0.1), verbose=0)
    assert result.interrupted
    done, under_way = windows
    assert (result.epochs[done] == 5).all()
    assert (result.epochs[under_way] == 3).all()
    waiting = np.setdiff1d(np.arange(n_nets), np.concatenate(windows))
    assert len(waiting)
    assert (result.epochs[waiting] == 0).all()
    np.testing.assert_array_equal(pop.params[waiting], start[waiting])
    for nets_of, epochs in ((done, 5), (under_way, 3)):
        for k in nets_of[[0, -1]]:
            reference = reference_of(pop.network, start[k])
            losses = follow(reference, XOR_X, XOR_Y[:, None], Adam(0.1), epochs=epochs)
            np.testing.assert_allclose(pop.params[k], reference.params, rtol=1e-9)
            assert result.loss[k] == pytest.approx(losses[-1])
    assert set(result.stopped_by) == {"epochs", "interrupt"}
    monkeypatch.setattr(train, "launch", launch)
    assert (pop.fit(XOR_X, XOR_Y, epochs=2, verbose=0).epochs == 2).all(), "the population is usable"


@pytest.mark.parametrize("n_nets", [130, 9], ids=["thread", "block"])
def test_interruption_reports_the_loss_of_the_last_epoch(cuda, n_nets, monkeypatch):
    """No record is due in the last epoch of the launch, and the loss is reported nevertheless."""
    from fastmlp.kernels.cuda.population import train

    pop, launch, n_epochs = make(n_nets, (2, 3, 1)), train.launch, []
    start = pop.params.copy()
    per_epoch = fastmlp.fit.hooks.of_lanes.FULL_DEVICE * products(pop.network, len(XOR_X))
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", 7 * per_epoch)

    def interrupted(*arguments, **job):
        if n_epochs:
            signal.raise_signal(signal.SIGINT)
        n_epochs.append(job["n_steps"])
        launch(*arguments, **job)

    monkeypatch.setattr(train, "launch", interrupted)
    result = pop.fit(XOR_X, XOR_Y, epochs=60, optimizer=Adam(0.1), verbose=0)
    assert n_epochs == [7, 7]
    assert 14 not in result.record_epochs
    for k in (0, n_nets - 1):
        losses = follow(reference_of(pop.network, start[k]), XOR_X, XOR_Y[:, None], Adam(0.1), epochs=14)
        assert result.loss[k] == pytest.approx(losses[-1])
