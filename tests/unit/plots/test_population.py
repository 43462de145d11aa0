"""Plots of populations: histogram of epochs to converge, and nets by verdict."""

from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots
from fastmlp.convergence import EpochStatistics, wilson_interval


def result(times, n_nets, limit=1000):
    times = np.asarray(times, float)
    return SimpleNamespace(
        epoch_statistics=EpochStatistics(times, n_nets),
        n_nets=n_nets,
        n_converged=len(times),
        success_rate=len(times) / n_nets,
        claim="converged",
        success_interval=wilson_interval(len(times), n_nets),
        epochs=np.full(n_nets, limit),
    )


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


@pytest.mark.parametrize("times", [[5], [7, 7, 8, 30], range(1, 300), [1, 2, 3, 50, 4000, 9000]])
def test_histogram_counts_every_converged_net_once(times):
    ax = plots.epochs_to_converge(result(times, len(times) + 3), bins=20)
    assert sum(heights(ax)) == len(times)
    assert ax.get_xscale() == ("log" if max(times) > 30 * min(times) else "linear")
    assert ax.get_xlabel() == "epochs to converge"
    assert f"{len(times):,} of {len(times) + 3:,} nets converged" in ax.get_title(loc="left")


def test_histogram_without_a_converged_net_and_without_a_rule():
    ax = plots.epochs_to_converge(result([], 50))
    assert ax.get_title(loc="left") == "0 of 50 nets converged: 0 %"
    assert [text.get_text() for text in ax.texts] == ["95 % interval 0.0 to 7.1 %"]
    of = result([10, 20], 4)
    of.success_rate = of.success_interval = None
    ax = plots.epochs_to_converge(of)
    assert ax.get_title(loc="left") == "2 of 4 nets converged"
    assert ax.texts[0].get_text() == "no rule of convergence"


def test_without_a_rule_the_plot_of_a_result_shows_the_losses():
    """All nets train for the same epochs then, which would be one bar."""
    pop = fastmlp.Population((2, 2, 1), 40, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    ax = pop.fit(XOR_X, XOR_Y, epochs=300, optimizer="rprop").plot(bins=10)
    assert ax.get_xlabel() == "final loss"
    assert ax.get_xscale() == "log"
    assert sum(heights(ax)) == 40
    assert np.count_nonzero(heights(ax)) > 1
    assert f"median {np.median(pop.result.loss):.4g}" in ax.get_title(loc="left")


@pytest.mark.parametrize("losses", [[0.5, 0.5, 0.5], [0.1, 0.2, np.nan], [1e-9, 1.0, 3.0], [0.0, 1.0, 1e3]])
def test_each_finite_loss_is_in_a_bar(losses):
    ax = plots.final_losses(SimpleNamespace(loss=np.array(losses, np.float32), n_nets=3))
    assert sum(heights(ax)) == np.isfinite(losses).sum()
    assert ax.texts[0].get_text() == ("" if np.isfinite(losses).all() else "1 without a finite loss")


def test_losses_of_diverged_nets_alone_are_refused():
    with pytest.raises(ValueError, match="no net has a finite loss"):
        plots.final_losses(SimpleNamespace(loss=np.full(3, np.nan), n_nets=3))
