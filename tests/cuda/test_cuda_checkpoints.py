"""Checkpoints on a GPU: fits of nets and populations go on to the same bits, in every kernel family."""

import numpy as np
import pytest
import small_blocks
from cuda_cases import OPTIMIZERS, Place, shorten_calls
from kernel_clock import KernelClock
from resumed_fits import assert_extended_fit, assert_same_fit, killed, resumed, train

import fastmlp
from fastmlp.kernels.structs import STEPS_DONE
from fastmlp.persistence.checkpoint_files import read

rng = np.random.default_rng(0)
X, X_held_out = rng.normal(size=(22, 3)), rng.normal(size=(9, 3))
y, y_held_out = (X[:, 0] > 0).astype(int), (X_held_out[:, 0] > 0).astype(int)
HELD_OUT = X_held_out, y_held_out
SETTINGS = {"loss": "binary_cross_entropy", "device": "cuda", "random_state": 3}


def make(sizes=(3, 4, 1), **settings):
    return fastmlp.MLP(sizes, **SETTINGS, **settings)


def population(n_nets, sizes=(3, 4, 1), **settings):
    return fastmlp.Population(sizes, n_nets, **SETTINGS, **settings)


NETS = {
    "adam": {"batch_size": 8, "optimizer": "adam", "validation_data": HELD_OUT, "early_stopping": 6},
    "rprop": {"optimizer": "rprop", "epochs": 60, "early_stopping": 5, "every": 3},  # several epochs a call
    "momentum": {"batch_size": 4, "optimizer": OPTIMIZERS["momentum"], "every": "0.000001 s"},  # states of whole epochs
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("place", ["block", "layers"])
def test_a_net_goes_on_to_the_same_bits(cuda, tmp_path, monkeypatch, place, name):
    Place(place, monkeypatch)
    fit = {"epochs": 8} | NETS[name]
    fresh = lambda: make(dropout=0.2)
    expected = train(fresh(), (X, y), **{**fit, "every": "5 min"})
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", 2, monkeypatch, **fit), expected)


@pytest.mark.parametrize(
    "place, precision",
    [("block", "exact"), ("layers", "exact"), ("layers", "bfloat16")],
    ids=["block", "layers", "fused"],
)
def test_records_do_not_depend_on_where_kernel_calls_end(cuda, monkeypatch, place, precision):
    """Calls are cut by the time they take, within epochs, too."""
    Place(place, monkeypatch)
    fit = {"epochs": 4, "batch_size": 5}
    expected = train(make(precision=precision), (X, y), **fit)
    shorten_calls(monkeypatch)
    assert_same_fit(train(make(precision=precision), (X, y), **fit), expected)


EARLY = {"validation_data": HELD_OUT, "early_stopping": 3}
FITS = {
    "thread": (140, {"optimizer": "adam", "converged": 0.62}),
    "block": (6, {"optimizer": "rprop", "batch_size": 8, **EARLY}),
    "batched": (5, {"optimizer": "rmsprop", "batch_size": 8, **EARLY}),
    "layers": (3, {"optimizer": "adagrad", "batch_size": 8}),
}


@pytest.mark.parametrize("n_writes", [2, 5])
@pytest.mark.parametrize("place", FITS)
def test_a_population_goes_on_to_the_same_bits(cuda, tmp_path, monkeypatch, place, n_writes):
    Place(place, monkeypatch)
    n_nets, fit = FITS[place]
    fit = {"epochs": 14, **fit}
    fresh = lambda: population(n_nets, dropout=0.3 * (place == "batched"))
    expected = train(fresh(), (X, y), **fit)
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", n_writes, monkeypatch, **fit), expected)


@pytest.mark.parametrize("stops", [False, True], ids=["to the end", "stopped early"])
@pytest.mark.parametrize("place", FITS)
def test_a_finished_population_goes_on_to_more_epochs(cuda, tmp_path, monkeypatch, place, stops):
    """With early stopping, some nets have ended before, and the others have the parameters of their best epoch."""
    Place(place, monkeypatch)
    n_nets, fit = FITS[place]
    early = {"validation_data": HELD_OUT, "early_stopping": 6, "optimizer": fastmlp.RMSprop(0.2), "batch_size": 8}
    fit = fit | (early | {"converged": None} if stops else {"early_stopping": None})
    expected = train(population(n_nets), (X, y), epochs=16, **fit)
    path, pop = tmp_path / "run.ckpt", population(n_nets)
    short = train(population(n_nets), (X, y), path, epochs=9, **fit)[1]
    assert not stops or (short.best_epoch[short.stopped_by == "epochs"] < 8).any(), "all have their last parameters"
    pop.params[:] = 7.0
    assert_extended_fit(train(pop, (X, y), path, epochs=16, resume=True, **fit), expected)


@pytest.mark.slow
def test_few_nets_left_of_many_keep_the_rounding_of_many(cuda, tmp_path, monkeypatch):
    """Less than a block of nets would be trained by other kernels, which add in another order."""
    path, fit = tmp_path / "run.ckpt", {"epochs": 60, "optimizer": "adam", "converged": 0.62, "every": 4}
    expected = train(population(140), (X, y), **{**fit, "every": "5 min"})
    killed(12, monkeypatch, population(140), (X, y), path, **fit)
    assert 0 < len(read(path, "population").state["suspended.net_index"]) < 128
    assert_same_fit(train(population(140), (X, y), path, resume=True, **fit), expected)


def test_windows_go_on_one_after_another(emulated_cuda, tmp_path, monkeypatch):
    share, fit = "fastmlp.kernels.cuda.population.train.SHARE_OF_MEMORY", {"epochs": 12, "batch_size": 8}
    fresh = lambda: population(20, (3, 3, 1))
    monkeypatch.setattr(share, 7 * 800 / emulated_cuda.settings.limit)
    expected = train(fresh(), (X, y), **fit)
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", 4, monkeypatch, every=4, **fit), expected)
    killed(1, monkeypatch, fresh(), (X, y), tmp_path / "2.ckpt", every=4, **fit)
    monkeypatch.setattr(share, 3 * 800 / emulated_cuda.settings.limit)
    assert_same_fit(train(fresh(), (X, y), tmp_path / "2.ckpt", every=4, resume=True, **fit), expected)


def test_a_checkpoint_of_another_kind_of_device_is_refused(cuda, tmp_path):
    path = tmp_path / "run.ckpt"
    train(make(), (X, y), path, epochs=2)
    net = fastmlp.MLP((3, 4, 1), **SETTINGS | {"device": "cpu"})
    with pytest.raises(ValueError, match="its device was cuda, and here it is cpu"):
        train(net, (X, y), path, epochs=2, resume=True)


@pytest.mark.parametrize("more", [{"batch_size": 4}, {"early_stopping": 50, "batch_size": 22}])
def test_a_fit_that_its_time_limit_ended_goes_on(cuda, tmp_path, monkeypatch, more):
    from fastmlp.devices import backend

    fit = {"epochs": 8, "validation_data": HELD_OUT, **more}
    expected = train(make(), (X, y), **fit)
    clock = KernelClock(monkeypatch, step=0.1, module=backend(expected[0].device))
    n_calls, found = 0, None
    while found is None or found[1].stopped_by == "time_limit":
        found = train(make(), (X, y), tmp_path / "run.ckpt", resume=True, every=1, time_limit=1.6, **fit)
        n_calls += 1
        assert n_calls < 20
    assert clock.n_steps
    assert n_calls > 1 or more["batch_size"] == 22
    np.testing.assert_array_equal(found[0].params, expected[0].params)
    assert (found[1].stopped_by, found[1].best_epoch) == (expected[1].stopped_by, expected[1].best_epoch)
    # A device adds up the losses of each call: where a call ends within an epoch, sums round differently.
    np.testing.assert_allclose(found[1].loss, expected[1].loss, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["block", "layers"])
def test_a_fit_to_rows_on_disk_goes_on_from_the_end_of_a_block(cuda, tmp_path, monkeypatch, place):
    """A device keeps the sums of an epoch, so that there is no state within a block."""
    Place(place, monkeypatch)
    small_blocks.use_small_blocks(monkeypatch)
    data, path = (small_blocks.Rows(), None), tmp_path / "run.ckpt"
    fit = {"epochs": 2, "batch_size": small_blocks.BATCH, "memory_limit": 1_000_000, "validation_data": HELD_OUT}
    fit["early_stopping"] = 5
    expected = train(make(), data, **fit)
    killed(4, monkeypatch, make(), data, path, every="0.000001 s", **fit)  # blocks 1 to 4
    arrays = read(path, "net").state
    reached = len(arrays["net.0.loss"]), arrays["net.0.place"][0], arrays["net.0.scalars"][STEPS_DONE]
    assert reached == (1, 1, 0)
    assert_same_fit(train(make(), data, path, resume=True, **fit), expected)


def test_ctrl_c_within_a_block_costs_this_block(cuda, tmp_path, monkeypatch):
    small_blocks.use_small_blocks(monkeypatch)
    small_blocks.cut_calls(monkeypatch)
    data, path = (small_blocks.Rows(), None), tmp_path / "run.ckpt"
    fit = {"epochs": 2, "batch_size": small_blocks.BATCH, "memory_limit": 1_000_000}
    expected = train(make(), data, **fit)
    with monkeypatch.context() as patches:
        small_blocks.cut_calls(patches, last=5)
        assert train(make(), data, path, **fit)[1].stopped_by == "interrupt"
    assert read(path, "net").state["net.0.place"][0] == 1
    assert_same_fit(train(make(), data, path, resume=True, **fit), expected)
