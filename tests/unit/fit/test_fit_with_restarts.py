"""Fits of populations: restarts, divergence, records, summaries, interruption and progress."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.console.nets_progress
import fastmlp.console.progress_bar
import fastmlp.execution.dispatch
import fastmlp.execution.thresholds
import fastmlp.fit.hooks.of_lanes
import fastmlp.fit.nets
import fastmlp.kernels.cpu.backend
from fastmlp import MLP, SGD, Converged, DivergenceWarning, EarlyStopping, Population
from fastmlp.devices import Device
from fastmlp.execution.dispatch import choose_nets_variant
from fastmlp.kernels.cpu.workspace import VECTOR_BYTES
from fastmlp.kernels.structs import LANES
from fastmlp.optimizers import OPTIMIZERS


def test_restarts_use_other_weights_and_count_lost_epochs():
    settings = {"loss": "binary_cross_entropy", "hidden_activation": "tanh"}
    pop = Population((2, 2, 1), 200, **settings, random_state=2)
    once = pop.fit(XOR_X, XOR_Y, epochs=60, optimizer="rprop", converged=0.05, verbose=0)
    pop.reset()
    result = pop.fit(XOR_X, XOR_Y, epochs=600, optimizer="rprop", converged=0.05, restart_after=60, verbose=0)
    np.testing.assert_array_equal(result.restarts == 0, once.converged)
    np.testing.assert_array_equal(result.epochs[once.converged], once.epochs[once.converged])
    late = result.restarts > 0
    assert late.any()
    assert result.success_rate > once.success_rate
    assert (result.epochs[late] > 60 * result.restarts[late]).all()
    assert (result.epochs[late] <= 60 * (result.restarts[late] + 1)).all()


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 80, 70, 1)], ids=["lanes", "one by one"])
def test_one_diverging_net_leaves_the_others_finite(sizes):
    rates = np.full(20, 1e-4)
    rates[3] = 1e6
    X, y = XOR_X, XOR_Y * 10.0
    pop = Population(sizes, 20, hidden_activation="leaky_relu", random_state=0)
    with pytest.warns(fastmlp.DivergenceWarning, match="1 of 20 nets"):
        result = pop.fit(X, y, epochs=100, optimizer=fastmlp.SGD(rates), verbose=0)
    assert np.flatnonzero(result.stopped_by == "divergence").tolist() == [3]
    assert np.isfinite(pop.params).all()
    assert np.isnan(result.loss[3])
    assert not result.converged[3]


@pytest.mark.parametrize(
    "clip_norm, remedy", [(0.0, "set clip_norm=1.0"), (5.0, "lower clip_norm"), ([0.0, 5.0], "lower clip_norm")]
)
def test_the_advice_on_divergence_knows_the_clipping(clip_norm, remedy):
    clip_norm = np.array(clip_norm) if isinstance(clip_norm, list) else clip_norm
    pop = Population((2, 3, 1), 2, hidden_activation="leaky_relu", random_state=0)
    with pytest.warns(fastmlp.DivergenceWarning, match=f"Lower the learning rate, {remedy}, or scale"):
        pop.fit(XOR_X, XOR_Y, epochs=300, optimizer=fastmlp.SGD(1e300, clip_norm=clip_norm), verbose=0)


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    def train(n):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n))
        pop = Population((2, 5, 5, 1), 100, dtype="float32", random_state=1)
        pop.fit(XOR_X, XOR_Y, epochs=40, converged=0.01, verbose=0)
        return pop.params.copy()

    np.testing.assert_array_equal(train(1), train(3))


WIDE_FITS = {
    **{name: {"optimizer": name} for name in OPTIMIZERS},
    "momentum": {"optimizer": fastmlp.SGD(0.5, momentum=0.9)},
    "own rates": {"optimizer": fastmlp.SGD(np.linspace(0.1, 3.0, 150))},
    "converged": {"optimizer": fastmlp.Rprop(), "converged": "40-20-40"},
    "batches": {"batch_size": 3, "converged": 0.05},
    "penalties": {"optimizer": fastmlp.AdamW(0.05, clip_norm=0.2), "schedule": "cosine"},
    "early stopping": {"optimizer": fastmlp.Rprop(), "early_stopping": 5},
}


@pytest.mark.full
@pytest.mark.thinned(12)
@pytest.mark.parametrize(
    "name, dtype", [(name, "float32") for name in WIDE_FITS] + [(name, "float64") for name in ("adam", "converged")]
)
def test_number_of_lanes_of_unrolled_code_changes_no_bit(name, dtype, monkeypatch):
    """150 nets are not a multiple of any number of lanes."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")

    def train(up_to):
        monkeypatch.setattr(fastmlp.execution.thresholds, "WIDE_UP_TO_PARAMS", up_to)
        pop = Population(
            (2, 2, 1),
            150,
            hidden_activation="tanh",
            output_activation="sigmoid",
            random_state=1,
            dtype=dtype,
            l2=1e-3 if name == "penalties" else 0.0,
        )
        return pop, pop.fit(XOR_X, XOR_Y, epochs=70, verbose=0, **WIDE_FITS[name])

    network = Population((2, 2, 1), 1).network
    lanes = lambda n, validates: choose_nets_variant(network, Device("cpu", ""), n, validates, 100).lanes
    assert [lanes(n, False) for n in (4, 150)] == [max(8, VECTOR_BYTES // 4), 2 * max(8, VECTOR_BYTES // 4)]
    assert lanes(150, True) == LANES
    (narrow, of_narrow), (wide, of_wide) = train(0), train(21)
    np.testing.assert_array_equal(narrow.params, wide.params)
    for field in ("status", "epochs", "loss", "records"):
        np.testing.assert_array_equal(getattr(of_narrow, field), getattr(of_wide, field))


def test_equal_nets_give_equal_results():
    pop = Population((2, 4, 1), 37, random_state=1)
    pop.params = np.broadcast_to(pop.params[0], pop.params.shape)
    pop.fit(XOR_X, XOR_Y, epochs=50, verbose=0)
    assert (pop.params == pop.params[0]).all()


def test_records_equal_the_losses_of_single_nets():
    pop = Population((2, 4, 1), 20, dtype="float64", random_state=1)
    result = pop.fit(XOR_X, XOR_Y, epochs=50, verbose=0)
    net = MLP((2, 4, 1), dtype="float64", random_state=int(pop.seeds[4]))
    history = net.fit(XOR_X, XOR_Y, epochs=50, verbose=0)
    np.testing.assert_allclose(result.records[:, 4], history.loss[result.record_epochs - 1], rtol=1e-6)
    assert result.record_epochs[[0, -1]].tolist() == [1, 50]
    for epochs, recorded in ((1, [1]), (2, [1, 2]), (10, [1, 10])):
        assert pop.fit(XOR_X, XOR_Y, epochs=epochs, verbose=0).record_epochs.tolist() == recorded
    quantiles = result.loss_quantiles((0.0, 0.5, 1.0))
    np.testing.assert_allclose(quantiles[:, 1], np.median(result.records, axis=1), rtol=1e-6)


def test_summary_of_a_rule_has_rate_quantiles_and_histogram():
    pop = Population((2, 2, 1), 300, hidden_activation="tanh", loss="binary_cross_entropy", random_state=2)
    result = pop.fit(XOR_X, XOR_Y, epochs=200, optimizer="rprop", converged="40-20-40", verbose=0)
    text = result.summary()
    for words in ("300 nets", "% (95 % interval", "stopped by", "harmonic mean", "best restart", "best net", "worst"):
        assert words in text
    histogram = [
        line.split("#")[0].split()[-1] for line in text.split("histogram")[1].split("final")[0].splitlines()[1:]
    ]
    assert sum(int(count.replace(",", "")) for count in histogram) == 300
    assert "epoch 200" in text
    frame = result.to_frame()
    assert len(frame) == 300
    assert list(frame.columns) == ["converged", "epochs", "loss", "accuracy", "restarts", "stopped_by"]
    assert repr(result).startswith("PopulationResult(n_nets=300, success_rate=")


def test_summary_without_a_rule_has_no_success_rate():
    """A regression has no success rate; and the worst net is the one with the largest finite loss."""
    x = np.linspace(-1.0, 1.0, 8)[:, None]
    rates = np.r_[np.full(7, 1e-3), 1e30]
    with pytest.warns(DivergenceWarning):
        result = Population((1, 3, 1), 8, random_state=0).fit(x, x, epochs=20, optimizer=SGD(rates), verbose=0)
    text = result.summary()
    assert "no convergence rule was given: 7 of 8 ended with a finite loss" in text
    for words in ("converged  ", "epochs            mean", "best restart", "histogram", "interval"):
        assert words not in text
    assert result.worst == 7
    assert "worst 7" not in text
    assert "success" not in repr(result)
    assert repr(replace(result, interrupted=True)).endswith(", interrupted=True)")
    classes = Population((1, 3, 1), 8, loss="binary_cross_entropy").fit(x, x > 0, epochs=5, verbose=0)
    assert "no convergence rule was given: " in classes.summary()
    assert "have all samples right" in classes.summary()
    assert "epochs            mean" not in classes.summary()


def test_summary_omits_the_median_if_most_nets_fail():
    pop = Population((2, 2, 1), 300, hidden_activation="tanh", loss="binary_cross_entropy", random_state=2)
    result = pop.fit(XOR_X, XOR_Y, epochs=20, optimizer="rprop", converged="40-20-40", verbose=0)
    assert 0 < result.n_converged < 150
    text = result.summary()
    assert "fewer than half of the nets converged, so there is no median over all" in text
    assert " inf" not in text
    assert "nan" not in text


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 80, 70, 1)], ids=["lanes", "one by one"])
def test_interruption_keeps_finished_nets(sizes, monkeypatch):
    """Ctrl-C after some nets have finished and while others are in training."""
    shown, sent = [], []

    def show(self, done, loss, find_best=None):
        if self.unit == "net":
            shown.append(done)
            if len(shown) > 1 and done and not sent:
                sent.append(done)
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(fastmlp.fit.fits_on_threads, "SHOW_EVERY", 0.001)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL", 1e4)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 0.0))
    pop = Population(sizes, 60, random_state=0)
    start = pop.params.copy()
    result = pop.fit(XOR_X, XOR_Y, epochs=400, verbose=0)
    assert result.interrupted
    changed = (pop.params != start).any(axis=1)
    assert changed.any()
    np.testing.assert_array_equal(changed, result.epochs > 0)
    assert set(result.stopped_by) <= {"epochs", "interrupt"}
    assert np.isfinite(pop.params).all()
    assert not result.converged[result.epochs == 0].any()
    monkeypatch.undo()
    assert (pop.fit(XOR_X, XOR_Y, epochs=3, verbose=0).epochs == 3).all(), "the population is usable"


def test_interruption_of_one_by_one_training_on_one_thread(monkeypatch):
    """The calling thread itself trains the nets, and Ctrl-C arrives within a net's training."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    shown = []

    def show(self, done, loss, find_best=None):
        shown.append(done)
        if len(shown) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fastmlp.console.nets_progress.PartProgress, "show", show)
    pop = Population((2, 80, 70, 1), 5, random_state=0)
    start = pop.params.copy()
    result = pop.fit(XOR_X, XOR_Y, epochs=1, verbose=0)
    assert result.interrupted
    assert result.stopped_by.tolist() == ["epochs", "epochs", "epochs", "interrupt", "interrupt"]
    assert result.epochs.tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal((pop.params != start).any(axis=1), result.epochs > 0)


def test_interruption_counts_no_net_twice(monkeypatch):
    """Ctrl-C in the second attempt: nets that had not started it keep the epochs of their first, and no loss."""
    calls, redrawn = [], []
    draw = Population._draw

    def show(self, done, loss, find_best=None):
        calls.append(done)
        if redrawn and self.unit == "net" and not sent:
            sent.append(done)
            signal.raise_signal(signal.SIGINT)

    sent = []

    def noted(self, members, attempt):
        redrawn.extend(members if attempt else [])
        draw(self, members, attempt)

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(Population, "_draw", noted)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL", 1e4)
    pop = Population((2, 3, 1), 500, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    result = pop.fit(XOR_X, XOR_Y, epochs=80, optimizer="rprop", converged=0.01, restart_after=40, verbose=0)
    waiting = np.isnan(result.loss)
    assert waiting.any()
    assert (result.epochs[waiting] == 40).all()
    assert (result.restarts[waiting] == 1).all()
    assert np.isnan(result.records[:, waiting]).all()
    assert result.n_finished < 500
    assert result.success_rate == result.converged[result.status != 0].mean()
    assert result.epoch_statistics.n_trials == result.n_finished
    assert f"interrupted; {result.n_finished} had come to their end" in result.summary()


def test_records_cover_the_last_attempt_only():
    pop = Population((2, 2, 1), 200, hidden_activation="tanh", loss="binary_cross_entropy", random_state=2)
    result = pop.fit(XOR_X, XOR_Y, epochs=600, optimizer="rprop", converged=0.05, restart_after=60, verbose=0)
    length = np.where(result.converged, result.epochs - 60 * result.restarts, 60)
    np.testing.assert_array_equal(np.isnan(result.records), result.record_epochs[:, None] > length)


def test_progress_counts_finished_nets(monkeypatch):
    shown = []
    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", lambda self, done, *_: shown.append(done))
    Population((2, 3, 1), 50, random_state=0).fit(XOR_X, XOR_Y, epochs=5, verbose=0)
    assert shown[-1] == 50


def test_interruption_of_one_by_one_training_on_two_threads(monkeypatch):
    """A net that is training stops soon, not after all its epochs."""

    def show(self, done, loss, find_best=None):
        if self.unit == "net" and not sent:
            sent.append(done)
            signal.raise_signal(signal.SIGINT)

    sent = []

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(fastmlp.fit.nets, "one_by_one_threads", lambda *_: 2)
    monkeypatch.setattr(fastmlp.fit.fits_on_threads, "SHOW_EVERY", 0.001)
    X = np.random.default_rng(0).normal(size=(500, 20))
    result = Population((20, 50, 1), 3, random_state=0).fit(X, X[:, 0], epochs=10**6, verbose=0)
    assert result.interrupted
    assert set(result.stopped_by) == {"interrupt"}
    assert (result.epochs < 10**6).all()


@pytest.mark.slow
def test_interruption_before_the_last_attempt_finishes_no_net(monkeypatch):
    """Nets at the end of an attempt would have been restarted, so that none of them has finished."""

    def show(self, done, loss, find_best=None):
        if self.unit == "net" and not sent:
            sent.append(done)
            signal.raise_signal(signal.SIGINT)

    sent = []

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    result = Population((2, 2, 1), 200, random_state=0).fit(
        XOR_X, XOR_Y, epochs=100, converged=1e-9, restart_after=1, verbose=0
    )
    assert result.interrupted
    assert (result.n_finished, set(result.stopped_by)) == (0, {"interrupt"})
    last = Population((2, 2, 1), 200, random_state=0).fit(
        XOR_X, XOR_Y, epochs=1, converged=1e-9, restart_after=1, verbose=0
    )
    assert last.n_finished == 200


def test_integer_rules_equal_float_rules():
    """Kernels compiled for a float rule take an integer one, and the other way round."""
    losses = []
    for dtype in ("float32", "float64"):
        for loss, delta in ((1.0, 0.0), (1, 0), (1.0, 0.0)):
            pop = Population((2, 3, 1), 20, random_state=0, dtype=dtype)
            rules = {"converged": Converged(loss=loss), "early_stopping": EarlyStopping(5, min_delta=delta)}
            losses.append(pop.fit(XOR_X, XOR_Y, epochs=9, verbose=0, **rules).loss)
    for k in (1, 2, 4, 5):
        np.testing.assert_array_equal(losses[k], losses[k // 3 * 3])


def test_calls_with_many_blocks_take_many_epochs(monkeypatch):
    """A call limited to a fit's own epochs would end after each block of nets and start threads anew."""
    asked, train = [], fastmlp.kernels.cpu.backend.train_nets
    monkeypatch.setattr(fastmlp.kernels.cpu.backend, "train_nets", lambda *job: (asked.append(job[-1]), train(*job)))
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (1e9, 2e9))
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL", 1.0)
    Population((2, 2, 1), 5000, random_state=0).fit(XOR_X, XOR_Y, epochs=7, verbose=0)
    assert asked[:5] == [1, 1, 2, 4, 8]
    assert max(asked) > 50
