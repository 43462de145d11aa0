"""Published results reproduced at a small scale; `fastmlp reproduce` runs them in full."""

import dataclasses
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import reference_optimizers
from command_runs import run_command
from reference_net import ReferenceMLP
from rich.console import Console

from fastmlp.commands import reproduce

ROOT = Path(__file__).parents[3]


def test_quickprop_gives_fahlmans_histogram():
    """10,000 trials: failures within 992 +- 60, median 19 or 20, mean within 0.8 of 28.78, distance below 5 %'s."""
    rows = list(reproduce.xor_quickprop())
    assert sum(reproduce.FAHLMAN_BINS) == 10_000 - 992
    assert all(row.agrees is not False for row in rows), rows
    result = reproduce.quickprop_xor(10_000)
    assert abs(10_000 - result.n_converged - 992) <= 60
    assert result.epoch_statistics.median in (19, 20)
    times = reproduce.epochs_to_learn(result)
    assert abs((times.sum() + 100 * (10_000 - len(times))) / 10_000 - 28.78) <= 0.8
    assert reproduce.kolmogorov_smirnov(times, 10_000) < 0.0125
    assert reproduce.kolmogorov_smirnov(times + 1, 10_000) > 0.05, "Fahlman's program did not count the last epoch"


def test_quickprop_decays_weights_and_no_biases(monkeypatch):
    """In Fahlman's terms: slopes are sums over the samples, and a bias is a weight times a constant input.

    In his program these weights of constant inputs decay as the others do.
    """
    starts, fit = [], reproduce.Population.fit

    def noted(pop, *arguments, **settings):
        starts.append((pop, pop.params.copy()))
        return fit(pop, *arguments, **settings)

    monkeypatch.setattr(reproduce.Population, "fit", noted)
    X, y = np.array(list(itertools.product((-0.5, 0.5), repeat=2))), np.array([0, 1, 1, 0]) - 0.5
    decay, bias_input, growth, epochs = 0.3, 0.5, 2.25, 5
    result = reproduce.quickprop_xor(3, epochs=epochs, bias_input=bias_input, decay=decay, dtype="float64")
    assert not result.converged.any()
    ((pop, start),) = starts
    net = ReferenceMLP((2, 2, 1), ("fahlman_sigmoid",) * 2, "atanh_error", start[0])
    inputs, rates = np.ones(9), np.empty(9)
    for (_, b), (W_rates, b_rates) in zip(net.layers(inputs), net.layers(rates), strict=True):
        b[:] = bias_input
        W_rates[:] = b_rates[:] = 4.0 / (len(W_rates) + 1)

    def trained(k, decays):
        weights, state = start[k] / inputs, {}
        for _ in range(epochs):
            net.params = weights * inputs
            slopes = len(X) * net.loss_and_gradient(X, y[:, None])[1] * inputs + decays * weights
            weights = reference_optimizers.quickprop(weights, slopes, state, None, rates, growth)
        return weights * inputs

    for k in range(3):
        np.testing.assert_allclose(pop.params[k], trained(k, decay * (inputs == 1.0)), rtol=1e-9, atol=1e-10)
        assert np.abs(pop.params[k] - trained(k, decay)).max() > 1e-3


def test_training_functions_reach_the_goals_of_two_problems(monkeypatch):
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    rows = list(reproduce.trainlm(6))
    assert [row.name.split(", ")[0] for row in rows] == ["SIN"] * 4 + ["PARITY"] * 4
    assert all(row.ours.endswith(" of 6") for row in rows)
    assert rows[0].ours.endswith("6 of 6")
    assert rows[4].ours.endswith("6 of 6")


def test_ctrl_c_prints_finished_rows():
    def rows():
        yield reproduce.Row("one", "1", "1.01", "", True)
        reproduce.require_complete(dataclasses.replace(reproduce.quickprop_xor(20), interrupted=True))

    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(KeyboardInterrupt):
        reproduce.Experiment("Cut off", rows, "").show(console)
    assert "1.01" in console.file.getvalue()


def test_the_command_shows_the_table_for_the_number_of_nets():
    words = run_command("reproduce", "xor-quickprop", "--nets", 20)
    assert "failures of 20 " in words
    assert "A net that has not learned within 99 epochs is a failure" in words
