"""Finished fits of populations that go on to more epochs: the bits of a fit that had as many from the start."""

from dataclasses import replace

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS
from resumed_fits import assert_extended_fit, assert_same_fit, killed, train

import fastmlp
from fastmlp import EarlyStopping
from fastmlp.fit.outcome import joined_records
from fastmlp.fit.state import FitState
from fastmlp.fit.task import epochs_of_attempt
from fastmlp.kernels.structs import SuspendedNets
from fastmlp.persistence import checkpoint_files

rng = np.random.default_rng(0)
X, X_held_out = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
y, y_held_out = (X[:, 0] > 0).astype(int), (X_held_out[:, 0] > 0).astype(int)
HELD_OUT = X_held_out, y_held_out
SHORT, LONG = 18, 45  # epochs
DIVERGING = 3  # number of a net


def make(n_nets=40, sizes=(5, 6, 1), **settings):
    return fastmlp.Population(sizes, n_nets, loss="binary_cross_entropy", device="cpu", random_state=3, **settings)


def extended(make, path, short=SHORT, long=LONG, **fit):
    """Return (population, result) of a fit of `long` epochs that goes on where one of `short` epochs has ended."""
    train(make(), (X, y), path, epochs=short, **fit)
    pop = make()
    pop.params[:] = 7.0  # a fit that does not go on from the file ends elsewhere
    return train(pop, (X, y), path, epochs=long, resume=True, **fit)


def state_in(path):
    return FitState.from_file(checkpoint_files.read(path, "population").state)


def with_a_long_step(learning_rate):
    """Return SGD with small learning rates, and this one for the net that is to diverge."""
    rates = np.linspace(0.005, 0.2, 40)
    rates[DIVERGING] = learning_rate
    return fastmlp.SGD(rates, momentum=0.9)


FITS = {
    "in batches": {"batch_size": 16},
    "full batches": {"optimizer": "rprop"},
    "with a goal": {"batch_size": 16, "optimizer": fastmlp.Adam(0.01), "converged": 0.3},
    "stopped early": {
        "batch_size": 16,
        "validation_data": HELD_OUT,
        "early_stopping": 2,
        "optimizer": fastmlp.RMSprop(0.02),
    },
    "stopped early by accuracy": {"batch_size": 16, "early_stopping": EarlyStopping(12, "accuracy")},
    "stopped early by full batches": {"early_stopping": EarlyStopping(4, "loss", 2e-3), "optimizer": "rprop"},
    "own settings": {"batch_size": 16, "optimizer": fastmlp.SGD(np.linspace(0.1, 1.0, 40), momentum=0.9)},
    "scheduled": {"batch_size": 16, "schedule": lambda steps, n_steps: 0.99**steps},
}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("fit", FITS)
def test_nets_in_lanes_go_on_to_more_epochs(tmp_path, fit):
    expected = train(make(), (X, y), epochs=LONG, **FITS[fit])
    assert_extended_fit(extended(make, tmp_path / "run.ckpt", **FITS[fit]), expected)


def test_nets_that_a_rule_has_ended_stay_and_the_others_go_on(tmp_path):
    """These two fits have nets of both kinds, and such as the rule ends later."""
    for fit in ("with a goal", "stopped early"):
        path, rule = tmp_path / f"{fit}.ckpt", "converged" if fit == "with a goal" else "early_stopping"
        short = train(make(), (X, y), path, epochs=SHORT, **FITS[fit])[1]
        ended, went_on = short.stopped_by == rule, short.stopped_by == "epochs"
        assert ended.any()
        assert went_on.any()
        long = train(make(), (X, y), path, epochs=LONG, resume=True, **FITS[fit])[1]
        np.testing.assert_array_equal(long.epochs[ended], short.epochs[ended])
        assert (long.epochs[went_on] > SHORT).all()


ENDED_BY_RULES = {  # rule, and settings with which one net diverges, the rule ends others, and the rest go on
    "stopped early": (
        "early_stopping",
        {"batch_size": 16, "validation_data": HELD_OUT, "early_stopping": 4, "optimizer": with_a_long_step(1e4)},
    ),
    "stopped early by full batches": (
        "early_stopping",
        {"validation_data": HELD_OUT, "early_stopping": 4, "optimizer": with_a_long_step(1e38)},
    ),
    "with a goal": ("converged", {"converged": 0.4, "optimizer": with_a_long_step(1e4)}),
}


@pytest.mark.filterwarnings("ignore::fastmlp.DivergenceWarning")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("case", ENDED_BY_RULES)
def test_a_net_that_has_diverged_stays_and_the_others_go_on(tmp_path, monkeypatch, case, n_threads):
    monkeypatch.setattr(fastmlp.fit.lanes, "lane_threads", lambda *_: n_threads)
    (rule, fit), path, fresh = ENDED_BY_RULES[case], tmp_path / "run.ckpt", lambda: make(hidden_activation="leaky_relu")
    whole = train(fresh(), (X, y), epochs=LONG, **fit)
    pop, short = train(fresh(), (X, y), path, epochs=SHORT, **fit)
    assert np.flatnonzero(short.stopped_by == "divergence").tolist() == [DIVERGING]
    assert {*short.stopped_by} == {"divergence", rule, "epochs"}
    found = train(fresh(), (X, y), path, epochs=LONG, resume=True, **fit)
    assert_extended_fit(found, whole)
    ended = short.stopped_by != "epochs"
    np.testing.assert_array_equal(found[0].params[ended], pop.params[ended])
    np.testing.assert_array_equal(found[1].epochs[ended], short.epochs[ended])
    assert (found[1].epochs[~ended] > SHORT).all()


@pytest.mark.thinned(3)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_more_epochs(tmp_path, optimizer):
    fit, fresh = {"batch_size": 16, "optimizer": OPTIMIZERS[optimizer]}, lambda: make(20)
    expected = train(fresh(), (X, y), epochs=9, **fit)
    assert_extended_fit(extended(fresh, tmp_path / "run.ckpt", 4, 9, **fit), expected)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("sizes, settings", [((5, 2, 1), {}), ((5, 6, 1), {"dropout": 0.2, "l2": 0.01})])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_unrolled_nets_and_nets_with_dropout_go_on_to_more_epochs(tmp_path, sizes, settings, optimizer):
    fresh = lambda: make(70, sizes, **settings)
    expected = train(fresh(), (X, y), epochs=80, optimizer=optimizer)
    assert_extended_fit(extended(fresh, tmp_path / "run.ckpt", 40, 80, optimizer=optimizer), expected)


@pytest.mark.parametrize("fit", ["in batches", "full batches", "with a goal", "stopped early"])
def test_nets_one_by_one_go_on_to_more_epochs(tmp_path, fit):
    fresh = lambda: make(5)
    expected = train(fresh(), (X, y), epochs=LONG, **FITS[fit])
    assert_extended_fit(extended(fresh, tmp_path / "run.ckpt", **FITS[fit]), expected)


@pytest.mark.parametrize("n_nets", [5, 40], ids=["one by one", "in lanes"])
@pytest.mark.parametrize("short", [5, 8, 12, 16, 20])
def test_attempts_go_on_and_others_follow(tmp_path, n_nets, short):
    """With restarts after 8 epochs: the first attempt, or the last one, was cut short, or none was."""
    fit, fresh = {"optimizer": "rprop", "converged": 0.1, "restart_after": 8}, lambda: make(n_nets)
    expected = train(fresh(), (X, y), epochs=30, **fit)
    assert expected[1].restarts.max() == 3
    assert_extended_fit(extended(fresh, tmp_path / "run.ckpt", short, 30, **fit), expected)


@pytest.mark.slow
@pytest.mark.parametrize("n_nets", [5, 40], ids=["one by one", "in lanes"])
def test_a_fit_is_extended_twice_and_ends_at_once_where_nothing_is_left(tmp_path, n_nets):
    path, fit, fresh = tmp_path / "run.ckpt", FITS["stopped early"], lambda: make(n_nets)
    expected = train(fresh(), (X, y), epochs=LONG, **fit)
    extended(fresh, path, 7, SHORT, **fit)
    train(fresh(), (X, y), path, epochs=SHORT, resume=True, **fit)
    found = train(fresh(), (X, y), path, epochs=LONG, resume=True, **fit)
    assert_extended_fit(found, expected)
    assert_same_fit(train(fresh(), (X, y), path, epochs=LONG, resume=True, **fit), found)


@pytest.mark.parametrize("n_nets", [5, 40], ids=["one by one", "in lanes"])
@pytest.mark.parametrize("long", [LONG, 60])
def test_an_extension_that_is_killed_goes_on(tmp_path, monkeypatch, n_nets, long):
    """With the same number of epochs, and with a larger one."""
    path, fit, fresh = tmp_path / "run.ckpt", FITS["in batches"], lambda: make(n_nets)
    expected = train(fresh(), (X, y), epochs=long, **fit)
    train(fresh(), (X, y), path, epochs=SHORT, **fit)
    killed(3, monkeypatch, fresh(), (X, y), path, epochs=LONG, every=2, resume=True, **fit)
    assert 0 < state_in(path).n_ended < n_nets or state_in(path).n_steps(3, 16) < 3 * LONG
    assert_extended_fit(train(fresh(), (X, y), path, epochs=long, resume=True, **fit), expected)


@pytest.mark.parametrize("n_nets", [5, 90], ids=["one by one", "in lanes"])
def test_a_fit_that_is_killed_goes_on_to_more_epochs(tmp_path, monkeypatch, n_nets):
    """Nets that have ended with the last epoch, nets in training, and nets that have not begun."""
    monkeypatch.setattr(fastmlp.fit.lanes, "lane_threads", lambda *_: 1)
    monkeypatch.setattr(fastmlp.fit.nets, "one_by_one_threads", lambda *_: 1)
    path, fit, fresh = tmp_path / "run.ckpt", FITS["in batches"], lambda: make(n_nets)
    expected = train(fresh(), (X, y), epochs=LONG, **fit)
    killed(8 if n_nets == 5 else 6, monkeypatch, fresh(), (X, y), path, epochs=SHORT, every=5, **fit)
    state = state_in(path)
    assert 0 < state.n_ended < n_nets
    assert len(state.suspended.net_index) or any(state.outcome["status"][net] == 0 for net in state.nets)
    assert_extended_fit(train(fresh(), (X, y), path, epochs=LONG, resume=True, **fit), expected)


def test_a_schedule_that_depends_on_the_number_of_epochs_is_a_warning(tmp_path, recwarn):
    fit = {"batch_size": 16, "schedule": "cosine"}
    train(make(20), (X, y), tmp_path / "run.ckpt", epochs=4, **fit)
    assert not recwarn
    with pytest.warns(UserWarning, match="The schedule depends on the number of epochs, which is another one"):
        train(make(20), (X, y), tmp_path / "run.ckpt", epochs=9, resume=True, **fit)
    adamw = fastmlp.AdamW(0.01, weight_decay_schedule="flat_cosine")
    train(make(20), (X, y), tmp_path / "2.ckpt", epochs=4, optimizer=adamw)
    with pytest.warns(UserWarning, match="had the factors on the weight decay of the fit as it was begun"):
        train(make(20), (X, y), tmp_path / "2.ckpt", epochs=9, resume=True, optimizer=adamw)


def test_a_schedule_of_attempts_is_not_that_of_all_epochs(tmp_path, recwarn):
    """Each attempt has the whole schedule, so that more attempts change none of those before."""
    fit = {"optimizer": "rmsprop", "schedule": "cosine", "converged": 0.1, "restart_after": 6}
    expected = train(make(20), (X, y), epochs=24, **fit)
    assert_extended_fit(extended(lambda: make(20), tmp_path / "run.ckpt", 12, 24, **fit), expected)
    assert not recwarn


def test_fewer_epochs_and_other_fits_are_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    train(make(20), (X, y), path, epochs=4)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"is a checkpoint of a fit of 4 epochs, but epochs=3\. Give at least 4"):
        train(make(20), (X, y), path, epochs=3, resume=True)
    with pytest.raises(ValueError, match="is a checkpoint of another fit: its batch_size was 40, and here it is 16"):
        train(make(20), (X, y), path, epochs=9, batch_size=16, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("n_nets", [5, 20], ids=["one by one", "in lanes"])
def test_files_without_the_state_of_finished_nets_serve_for_the_same_number_of_epochs(tmp_path, n_nets):
    """As a fit with restarts on workers writes them."""
    path, fresh = tmp_path / "run.ckpt", lambda: make(n_nets)
    expected = train(fresh(), (X, y), path, epochs=4)
    found = checkpoint_files.read(path, "population")
    old = replace(FitState.from_file(found.state), ended=SuspendedNets.none(), nets={}).to_file()
    arrays = dict(old.arrays)
    arrays["seeds"] = found.state.arrays["seeds"]
    checkpoint_files.write(path, "population", found._replace(state=old._replace(arrays=arrays)))
    assert_same_fit(train(fresh(), (X, y), path, epochs=4, resume=True), expected)  # and writes the file again
    words = rf"has {n_nets} finished nets without the optimiser state .*Give epochs=4"
    with pytest.raises(ValueError, match=words):
        train(fresh(), (X, y), path, epochs=5, resume=True)


@pytest.mark.parametrize("n_nets, copies", [(5, 1), (40, 2)], ids=["one by one", "in lanes"])
def test_states_that_memory_does_not_hold_are_refused_before_the_fit(tmp_path, monkeypatch, n_nets, copies):
    pop = make(n_nets)
    n_bytes = copies * 4 * pop.params.nbytes  # parameters of two epochs, and the two vectors of Adam
    monkeypatch.setattr(fastmlp.runtime.memory_check, "memory_bytes", lambda: n_bytes - 1)
    with pytest.raises(ValueError, match=rf"The states of {n_nets} nets, for checkpoints, would take"):
        train(pop, (X, y), tmp_path / "run.ckpt", epochs=2)
    assert not (tmp_path / "run.ckpt").exists()
    np.testing.assert_array_equal(pop.params, make(n_nets).params)


def test_a_checkpoint_has_no_state_of_nets_that_a_rule_has_ended(tmp_path):
    for n_nets in (5, 40):
        path = tmp_path / f"{n_nets}.ckpt"
        result = train(make(n_nets), (X, y), path, epochs=LONG, **FITS["with a goal"])[1]
        state, finished = state_in(path), np.flatnonzero(result.stopped_by == "epochs")
        assert len(finished) < n_nets
        np.testing.assert_array_equal(sorted([*state.nets, *state.ended.net_index]), finished)


def joined(before, now, n_done):
    kept, epochs = joined_records(np.array(before), np.array(now), n_done)
    return kept.tolist(), epochs.tolist()


def test_records_of_epochs_that_are_done_are_those_of_the_shorter_fit():
    assert joined([1, 3, 9], [1, 3, 9], 9) == ([0, 1, 2], [1, 3, 9])
    assert joined([1, 3, 9], [1, 3, 9], 0) == ([], [1, 3, 9])
    assert joined([1, 3, 9], [1, 3, 9], 5) == ([0, 1], [1, 3, 9])
    assert joined([1, 3, 9], [1, 2, 4, 8, 16, 32], 9) == ([0, 1, 2], [1, 3, 9, 16, 32])
    assert joined([1, 3, 9], [1, 2, 4, 8, 16, 32], 3) == ([0, 1], [1, 3, 4, 8, 16, 32])
    assert joined([1], [1, 2, 4, 8, 16, 32], 7) == ([0], [1, 8, 16, 32])
    assert joined([1, 2, 3, 4, 5], [1, 10, 20, 30, 40], 5) == ([0], [1, 10, 20, 30, 40])  # at most five


def test_epochs_of_attempts():
    assert epochs_of_attempt(20, None, 0) == 20
    assert [epochs_of_attempt(20, 8, attempt) for attempt in range(4)] == [8, 8, 4, -4]
    assert epochs_of_attempt(5, 8, 0) == 5
