"""Fits to rows on disk that go on from a state: the same bits as without the interruption, wherever it came."""

import signal

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS
from kernel_clock import KernelClock
from kernel_families import use
from resumed_fits import assert_same_fit, killed, resumed, train
from small_blocks import BATCH, Rows, X, Y, cut_calls, use_small_blocks

import fastmlp
from fastmlp import AdamW, EarlyStopping, OptimizerState
from fastmlp.fit.one_net import OneNet
from fastmlp.kernels.structs import STEPS_DONE
from fastmlp.persistence.checkpoint_files import read
from fastmlp.streams import shuffled_blocks

HELD_OUT = X[:20] + 0.1, Y[:20]
WRONG = X[:20], 1 - Y[:20]  # the first epoch is the best
LIMIT, EACH_CALL = 1_000_000, "0.000001 s"  # an interval after which a checkpoint is due after each kernel call
DATA = Rows(), None


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    use_small_blocks(monkeypatch)


def make(loss="binary_cross_entropy", **settings):
    return fastmlp.MLP((3, 4, 1), loss=loss, device="cpu", random_state=3, **settings)


def fitted(net, path=None, data=DATA, **arguments):
    return train(net, data, path, **{"batch_size": BATCH, "memory_limit": LIMIT, **arguments})


def state_in(path):
    """Return (finished epochs, trained blocks of the next one, steps in the block after them) in a checkpoint."""
    arrays, numbers = read(path, "net").state
    return len(arrays["net.0.loss"]), numbers["fits"]["0"]["n_blocks"], int(arrays["net.0.scalars"][STEPS_DONE])


FITS = {
    "shuffled": {"schedule": "cosine"},
    "in order": {"shuffle": False, "schedule": "one_cycle"},
    "scheduled decay": {"optimizer": AdamW(weight_decay_schedule="flat_cosine")},
    "early stopping by held-out loss": {"validation_data": WRONG, "early_stopping": 8},
    "early stopping by accuracy": {"early_stopping": EarlyStopping(6, "accuracy")},
    "held-out samples alone": {"validation_data": HELD_OUT},
}


@pytest.mark.thinned(4)
@pytest.mark.parametrize("n_writes", [1, 4])
@pytest.mark.parametrize("fit", FITS)
def test_every_kind_of_fit_goes_on_to_the_same_bits(tmp_path, monkeypatch, fit, n_writes):
    arguments = {"epochs": 12, "batch_size": BATCH, "memory_limit": LIMIT, **FITS[fit]}
    expected = train(make(), DATA, **arguments)
    found = resumed(make, DATA, tmp_path / "run.ckpt", n_writes, monkeypatch, every=1, **arguments)
    assert_same_fit(found, expected)
    assert found[1].epochs_before == n_writes


@pytest.mark.thinned(3)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(tmp_path, monkeypatch, optimizer):
    fit = {"epochs": 6, "batch_size": BATCH, "memory_limit": LIMIT, "optimizer": OPTIMIZERS[optimizer]}
    expected = train(make(), DATA, **fit)
    assert_same_fit(resumed(make, DATA, tmp_path / "run.ckpt", 1, monkeypatch, **fit), expected)


@pytest.mark.parametrize("settings", [{"loss": "squared_error"}, {"dropout": 0.3}, {"dtype": "float64"}], ids=str)
def test_nets_of_other_kinds_go_on_to_the_same_bits(tmp_path, monkeypatch, settings):
    fit = {"epochs": 6, "batch_size": 4, "memory_limit": LIMIT, "validation_data": HELD_OUT}
    fresh = lambda: make(**settings)
    expected = train(fresh(), DATA, **fit)
    assert_same_fit(resumed(fresh, DATA, tmp_path / "run.ckpt", 2, monkeypatch, **fit), expected)


PLACES = {  # number of the checkpoint -> finished epochs, trained blocks, steps in the block after them
    2: (0, 0, 2),
    3: (0, 1, 0),
    9: (1, 0, 0),
    10: (1, 0, 1),
    14: (1, 1, 2),
}


@pytest.mark.parametrize("n_writes", PLACES)
def test_a_fit_goes_on_from_every_place_of_an_epoch(tmp_path, monkeypatch, n_writes):
    path = tmp_path / "run.ckpt"
    fit = {"epochs": 3, "batch_size": BATCH, "memory_limit": LIMIT, "schedule": "cosine", "validation_data": HELD_OUT}
    fit["early_stopping"] = 5
    expected = train(make(), DATA, **fit)
    with monkeypatch.context() as patches:
        cut_calls(patches)
        killed(n_writes, monkeypatch, make(), DATA, path, every=EACH_CALL, **fit)
    assert state_in(path) == PLACES[n_writes]
    net = make()
    net.params[:] = 7.0
    assert_same_fit(train(net, DATA, path, resume=True, **fit), expected)


def interrupted(path, monkeypatch, call, **arguments):
    """Fit until Ctrl-C comes after this kernel call, each of one step."""
    with monkeypatch.context() as patches:
        cut_calls(patches, last=call)
        assert fitted(make(), path, **arguments)[1].stopped_by == "interrupt"


CALLS = {2: (0, 0, 2), 5: (0, 1, 2), 8: (0, 2, 2), 9: (1, 0, 0), 12: (1, 1, 0), 13: (1, 1, 1)}  # place as above


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_leaves_the_place_that_was_reached(tmp_path, monkeypatch, call):
    """Calls 9 and 12 are the last of their blocks, and 9 is the last of its epoch."""
    path, fit = tmp_path / "run.ckpt", {"epochs": 3, "early_stopping": EarlyStopping(5, "loss")}
    expected = fitted(make(), **fit)
    interrupted(path, monkeypatch, call, **fit)
    assert state_in(path) == CALLS[call]
    assert_same_fit(fitted(make(), path, resume=True, **fit), expected)


def test_an_epoch_that_has_begun_counts(tmp_path, monkeypatch):
    """Its steps have changed the parameters: a fit of the finished epochs alone would not end with them."""
    path = tmp_path / "run.ckpt"
    interrupted(path, monkeypatch, 13, epochs=4)
    assert state_in(path) == (1, 1, 1)
    with pytest.raises(ValueError, match=r"has 1 epoch and a part of the next, but epochs=1. Give at least 2"):
        fitted(make(), path, epochs=1, resume=True)
    assert_same_fit(fitted(make(), path, epochs=2, resume=True), fitted(make(), epochs=2))


def test_more_epochs_go_on_from_within_the_first(tmp_path, monkeypatch):
    interrupted(tmp_path / "run.ckpt", monkeypatch, 5, epochs=4)
    assert_same_fit(fitted(make(), tmp_path / "run.ckpt", epochs=6, resume=True), fitted(make(), epochs=6))


def test_more_epochs_warn_within_the_first_if_the_schedule_depends_on_their_number(tmp_path, monkeypatch):
    interrupted(tmp_path / "run.ckpt", monkeypatch, 5, epochs=4, schedule="cosine")
    with pytest.warns(UserWarning, match="The schedule depends on the number of epochs"):
        fitted(make(), tmp_path / "run.ckpt", epochs=6, schedule="cosine", resume=True)


def test_callbacks_are_called_once_for_each_epoch(tmp_path):
    path, seen = tmp_path / "run.ckpt", []
    expected = fitted(make(), epochs=6)

    def call(epoch, history):
        seen.append((epoch, len(history.loss)))
        if len(seen) == 4:
            signal.raise_signal(signal.SIGINT)
        return len(seen) == 2

    for reason in ("callback", "interrupt", "epochs"):
        found = fitted(make(), path, epochs=6, callbacks=call, resume=True)
        assert found[1].stopped_by == reason
    assert seen == [(epoch, epoch + 1) for epoch in (0, 1, 2, 3, 4, 5)]
    assert_same_fit(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_another_number_of_threads_goes_on_to_the_same_bits(tmp_path, monkeypatch, before, after):
    use("batch_simd_data_parallel", monkeypatch)
    path, fit = tmp_path / "run.ckpt", {"epochs": 4, "batch_size": 24}
    expected = fitted(make(), **fit)
    for n_threads, part in ((before, {"callbacks": lambda epoch, history: epoch == 1}), (after, {"resume": True})):
        monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_, n=n_threads: n)
        found = fitted(make(), path, **part, **fit)
    assert_same_fit(found, expected)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("family", ["batch_simd_data_parallel", "layerwise_data_parallel"])
def test_threads_go_on_from_within_a_block(tmp_path, monkeypatch, family, before, after):
    """Each thread has the scalars of the fit."""
    use(family, monkeypatch)
    monkeypatch.setattr(shuffled_blocks, "SHARE", 5e-3)  # blocks of 48 and 22 rows
    path, fit = tmp_path / "run.ckpt", {"epochs": 3, "batch_size": 24}
    expected = fitted(make(), **fit)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_: before)
    interrupted(path, monkeypatch, 4, **fit)
    assert state_in(path) == (1, 0, 1)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_: after)
    assert_same_fit(fitted(make(), path, resume=True, **fit), expected)


@pytest.mark.parametrize("fit", ["in order", "early stopping by held-out loss", "held-out samples alone"])
def test_more_epochs_extend_a_finished_fit(tmp_path, fit):
    arguments = {name: value for name, value in FITS[fit].items() if name != "schedule"}
    fitted(make(), tmp_path / "run.ckpt", epochs=4, **arguments)
    expected = fitted(make(), epochs=10, **arguments)
    assert_same_fit(fitted(make(), tmp_path / "run.ckpt", resume=True, epochs=10, **arguments), expected)


def test_a_finished_fit_ends_at_once_with_the_same_result(tmp_path, monkeypatch):
    path, fit = tmp_path / "run.ckpt", {"epochs": 500, "early_stopping": EarlyStopping(2, "loss", 0.02)}
    expected = fitted(make(), path, **fit)
    assert expected[1].stopped_by == "early_stopping"
    before = path.read_bytes()
    monkeypatch.setattr(OneNet, "run", None)  # would raise
    assert_same_fit(fitted(make(), path, resume=True, **fit), expected)
    assert path.read_bytes() == before


def test_the_same_call_goes_on_after_a_time_limit(tmp_path, monkeypatch):
    fit = {"epochs": 12, "validation_data": HELD_OUT, "early_stopping": 11}
    expected = fitted(make(), **fit)
    clock, reasons = KernelClock(monkeypatch, step=1.0 / 40), []  # an epoch has 9 steps
    while "epochs" not in reasons:
        found = fitted(make(), tmp_path / "run.ckpt", resume=True, time_limit=1.0, **fit)
        reasons.append(found[1].stopped_by)
        assert len(reasons) < 10
    assert set(reasons[:-1]) == {"time_limit"}
    assert clock.trained == pytest.approx(12 * 9 / 40), "no step is trained twice"
    assert_same_fit(found, expected)


def test_optimizer_state_of_the_user_goes_on(tmp_path):
    path, states = tmp_path / "run.ckpt", [OptimizerState() for _ in range(3)]
    fitted(make(), path, epochs=2, optimizer_state=OptimizerState())
    for state in states[:2]:  # the second fit ends at once
        fitted(make(), path, epochs=4, resume=True, optimizer_state=state)
    fitted(make(), epochs=4, optimizer_state=states[2])
    for state in states[:2]:
        np.testing.assert_array_equal(state.array, states[2].array)
        np.testing.assert_array_equal(state.scalars, states[2].scalars)


def test_parameters_that_a_callback_changes_are_in_the_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"

    def halve(epoch, history):
        history.net.params[:] *= 0.5

    expected = fitted(make(), epochs=4, callbacks=halve)
    fitted(make(), path, epochs=2, callbacks=halve)
    assert_same_fit(fitted(make(), path, epochs=4, callbacks=halve, resume=True), expected)


def test_checkpoints_change_no_bit(tmp_path, monkeypatch):
    fit = {"epochs": 3, "validation_data": HELD_OUT, "early_stopping": 5}
    expected = fitted(make(), **fit)
    cut_calls(monkeypatch)
    assert_same_fit(fitted(make(), tmp_path / "run.ckpt", every=EACH_CALL, **fit), expected)


def test_a_fit_that_diverges_after_its_first_block_goes_on_to_the_same_records(tmp_path, monkeypatch):
    """From the last state that was due, which is finite."""
    path, fit = tmp_path / "run.ckpt", {"epochs": 4, "optimizer": fastmlp.SGD(4.0)}
    fresh = lambda: make("squared_error", hidden_activation="tanh")
    with pytest.warns(fastmlp.DivergenceWarning):
        expected = fitted(fresh(), **fit)
    cut_calls(monkeypatch)
    with pytest.warns(fastmlp.DivergenceWarning):
        fitted(fresh(), path, every=EACH_CALL, **fit)
    assert state_in(path) > (0, 1, 0)
    assert np.isfinite(read(path, "net").state.arrays["net.0.params"]).all()
    net = fresh()
    net.params[:] = 7.0
    with pytest.warns(fastmlp.DivergenceWarning):
        found = fitted(net, path, resume=True, **fit)
    found[0].params[:] = expected[0].params  # the last finite ones depend on where kernel calls end
    assert_same_fit(found, expected)
