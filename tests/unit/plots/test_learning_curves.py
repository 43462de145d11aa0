"""Learning curves: records over epochs, with the best epoch."""

import numpy as np
import pytest

import fastmlp
from fastmlp import plots


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


def test_a_result_of_a_population_is_no_history():
    with pytest.raises(ValueError, match=r"needs the History that fit returned.*it was given list"):
        plots.history([1.0])


def test_plot_of_a_metric_shows_its_validation():
    made = history(
        loss=[2.0, 1.0], metrics={"r2": np.array([0.1, 0.5])}, validation_metrics={"r2": np.array([0.2, 0.1])}
    )
    ax = made.plot("r2")
    assert texts(ax) == ["training", "validation", "best: 0.2, epoch 1"], "the higher the better"
    assert ax.get_title(loc="left") == "R2 over 2 epochs"
    made.metrics["mine"] = np.array([1.0, 2.0])
    assert texts(made.plot("mine")) == ["training"], "a user's metric has no best epoch"
