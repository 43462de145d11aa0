"""Fits of populations: restarts, records, summaries and progress."""

from dataclasses import replace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.console.progress_bar
import fastmlp.execution.thresholds
from fastmlp import MLP, SGD, Converged, DivergenceWarning, EarlyStopping, Population
from fastmlp.devices import Device
from fastmlp.execution.dispatch import choose_nets_variant
from fastmlp.fit.hooks import lane_calls
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.cpu.workspace import VECTOR_BYTES
from fastmlp.kernels.structs import LANES
from fastmlp.optimizers import OPTIMIZERS

XOR = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 2, "device": "cpu"}


def test_restarts_use_other_weights_and_count_lost_epochs():
    """Records are those of the last attempt."""
    given = {"optimizer": "rprop", "verbose": 0}
    pop = Population((2, 2, 1), 200, **XOR)
    once = pop.fit(XOR_X, XOR_Y, epochs=60, converged=0.05, **given)
    pop.reset()
    result = pop.fit(XOR_X, XOR_Y, epochs=600, converged=Converged(0.05, restart_after=60), **given)
    np.testing.assert_array_equal(result.restarts == 0, once.converged)
    np.testing.assert_array_equal(result.epochs[once.converged], once.epochs[once.converged])
    late = result.restarts > 0
    assert late.any()
    assert result.success_rate > once.success_rate
    assert (result.epochs[late] > 60 * result.restarts[late]).all()
    assert (result.epochs[late] <= 60 * (result.restarts[late] + 1)).all()
    length = np.where(result.converged, result.epochs - 60 * result.restarts, 60)
    np.testing.assert_array_equal(np.isnan(result.records), result.record_epochs[:, None] > length)


WIDE_FITS = {
    **{name: {"optimizer": name} for name, kind in OPTIMIZERS.items() if not kind().rule.is_second_order},
    "momentum": {"optimizer": SGD(0.5, momentum=0.9)},
    "own rates": {"optimizer": SGD(np.linspace(0.1, 3.0, 150))},
    "converged": {"optimizer": fastmlp.Rprop(), "converged": "40-20-40"},
    "batches": {"batch_size": 3, "converged": 0.05},
    "penalties": {"optimizer": fastmlp.AdamW(0.05, clip_norm=0.2), "schedule": "cosine"},
    "early stopping": {"optimizer": fastmlp.Rprop(), "early_stopping": 5},
}


@pytest.mark.full
@pytest.mark.parametrize(
    "name, dtype", [(name, "float32") for name in WIDE_FITS] + [(name, "float64") for name in ("adam", "converged")]
)
def test_number_of_lanes_of_unrolled_code_changes_no_bit(name, dtype, monkeypatch):
    """150 nets are not a multiple of any number of lanes."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    network = Population((2, 2, 1), 1).network
    lanes = lambda n, validates: choose_nets_variant(network, Device("cpu", ""), n, validates, 100).lanes
    assert [lanes(n, False) for n in (4, 150)] == [max(8, VECTOR_BYTES // 4), 2 * max(8, VECTOR_BYTES // 4)]
    assert lanes(150, True) == LANES
    fits = []
    for up_to in (0, 21):
        monkeypatch.setattr(fastmlp.execution.thresholds, "WIDE_UP_TO_PARAMS", up_to)
        settings = {"hidden_activation": "tanh", "output_activation": "sigmoid", "random_state": 1, "dtype": dtype}
        pop = Population((2, 2, 1), 150, **settings, l2=1e-3 if name == "penalties" else 0.0)
        fits.append((pop, pop.fit(XOR_X, XOR_Y, epochs=70, verbose=0, **WIDE_FITS[name])))
    (narrow, of_narrow), (wide, of_wide) = fits
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


def test_the_result_keeps_settings_that_differ():
    pop = Population((2, 2, 1), 3, loss="binary_cross_entropy", l2=np.array([0.0, 0.1, 0.2]), random_state=0)
    result = pop.fit(XOR_X, XOR_Y, epochs=2, verbose=0)
    assert list(result.settings) == ["l2"]
    np.testing.assert_array_equal(result.settings["l2"], [0.0, 0.1, 0.2])
    assert (result.monitor, result.judged_by, result.interrupted) == (None, "all right", False)


def test_summary_of_a_rule_has_rate_quantiles_and_histogram():
    result = Population((2, 2, 1), 300, **XOR).fit(
        XOR_X, XOR_Y, epochs=200, optimizer="rprop", converged="40-20-40", verbose=0
    )
    text = result.summary()
    for words in ("300 nets", "% (95 % interval", "stopped by", "best restart", "best net", "worst"):
        assert words in text
    lines = text.split("histogram")[1].split("final")[0].splitlines()[1:]
    assert sum(int(line.split("#")[0].split()[-1].replace(",", "")) for line in lines) == 300
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
    classes = Population((1, 3, 1), 8, loss="binary_cross_entropy").fit(x, x > 0, epochs=5, verbose=0).summary()
    assert "no convergence rule was given: " in classes
    assert "have all samples right" in classes
    assert "epochs            mean" not in classes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integer_rules_equal_float_rules(dtype):
    """Kernels compiled for a float rule take an integer one, and the other way round."""
    losses = []
    for loss, delta in ((1.0, 0.0), (1, 0), (1.0, 0.0)):
        pop = Population((2, 3, 1), 20, random_state=0, dtype=dtype)
        rules = {"converged": Converged(loss=loss), "early_stopping": EarlyStopping(5, min_delta=delta)}
        losses.append(pop.fit(XOR_X, XOR_Y, epochs=9, verbose=0, **rules).loss)
    for other in losses[1:]:
        np.testing.assert_array_equal(other, losses[0])


def test_calls_with_many_blocks_take_many_epochs(monkeypatch):
    """A call limited to a fit's own epochs would end after each block of nets and start threads anew."""
    asked, train = [], backend.train_nets
    monkeypatch.setattr(backend, "train_nets", lambda *job: (asked.append(job[-1]), train(*job)))
    monkeypatch.setattr(lane_calls, "CALL_SECONDS", (1e9, 2e9))
    monkeypatch.setattr(lane_calls, "FIRST_CALL", 1.0)
    Population((2, 2, 1), 5000, random_state=0).fit(XOR_X, XOR_Y, epochs=7, verbose=0)
    assert asked[:5] == [1, 1, 2, 4, 8]
    assert max(asked) > 50
