"""Plots of records: curves over epochs with the best one, and histograms of populations."""

from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots
from fastmlp.convergence import EpochStatistics, wilson_interval


def history(**records):
    made = fastmlp.History()
    for name, values in records.items():
        setattr(made, name, np.array(values) if isinstance(values, list) else values)
    return made


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_plot_of_training_loss_marks_the_best_epoch():
    ax = history(loss=[3.0, 1.0, 2.0]).plot()
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("Loss over 3 epochs", "epoch", "loss")
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), [[1, 3], [2, 1], [3, 2]])
    assert texts(ax) == ["training", "best: 1, epoch 2"]


def test_best_epoch_follows_the_validation_loss():
    made = history(loss=[3.0, 2.0, 1.0], validation_loss=[2.0, 1.5, 4.0])
    assert texts(made.plot()) == ["training", "validation", "best: 1.5, epoch 2"]
    made.best_epoch = 0
    assert texts(made.plot())[-1] == "best: 2, epoch 1"


@pytest.mark.parametrize("loss, scale", [([1.0, 0.0], "linear"), ([-1.0, 2.0], "linear"), ([1.0, np.nan, 0.5], "log")])
def test_log_scale_is_used_for_positive_losses(loss, scale):
    assert history(loss=loss).plot().get_yscale() == scale


def test_plot_uses_the_given_axes(headless):
    _, ax = headless.subplots()
    assert history(loss=[2.0]).plot(ax=ax) is ax
    assert ax.get_title(loc="left") == "Loss after one epoch"


def test_invalid_quantities_raise():
    with pytest.raises(ValueError, match="nothing to plot: the history has no finished epoch"):
        fastmlp.History().plot()
    with pytest.raises(ValueError, match=r"Unknown quantity 'los'\. Did you mean 'loss'"):
        history(loss=[1.0]).plot("los")
    with pytest.raises(ValueError, match="There is no accuracy"):
        history(loss=[1.0]).plot("accuracy")
    with pytest.raises(ValueError, match=r"Unknown quantity 'mse'.*accuracy, loss, r2"):
        history(loss=[1.0], metrics={"r2": np.array([0.1])}).plot("mse")


def test_plot_of_a_metric_shows_its_validation():
    made = history(
        loss=[2.0, 1.0], metrics={"r2": np.array([0.1, 0.5])}, validation_metrics={"r2": np.array([0.2, 0.1])}
    )
    ax = made.plot("r2")
    assert texts(ax) == ["training", "validation", "best: 0.2, epoch 1"], "the higher the better"
    assert ax.get_title(loc="left") == "R2 over 2 epochs"
    made.metrics["mine"] = np.array([1.0, 2.0])
    assert texts(made.plot("mine")) == ["training"], "a user's metric has no best epoch"


# ---- populations


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
