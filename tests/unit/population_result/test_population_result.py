"""`PopulationResult`: success rate, best epochs, and their form in files."""

from dataclasses import replace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import EarlyStopping, Population

SETTINGS = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 0, "device": "cpu"}


@pytest.mark.parametrize("y", (XOR_Y, XOR_Y * 0.5), ids=["classes", "numbers"])
def test_result_without_a_convergence_rule_has_no_success_rate(y):
    """Without `converged=` there is no definition of success: no attribute and no sentence has a rate."""
    result = Population((2, 2, 1), 20, **SETTINGS).fit(XOR_X, y, epochs=3, verbose=0)
    assert result.success_rate is None
    assert result.success_interval is None
    assert "success" not in repr(result)
    text = result.summary()
    assert "no convergence rule was given: " in text
    assert "pass converged=... to fit to define when a net has converged" in text
    assert "interval" not in text


def test_result_with_a_convergence_rule_has_a_success_rate():
    result = Population((2, 2, 1), 20, **SETTINGS).fit(XOR_X, XOR_Y, epochs=3, converged=1e-9, verbose=0)
    assert result.success_rate == 0.0
    assert result.success_interval[0] == 0.0 < result.success_interval[1]
    assert "success_rate=0" in repr(result)


@pytest.mark.parametrize("times", ([10] * 90 + [30] * 9 + [31], [*range(8, 53), *[53] * 3]))
def test_lines_of_the_histogram_count_the_epochs_they_name(times):
    pop = Population((2, 2, 1), len(times), **SETTINGS)
    result = pop.fit(XOR_X, XOR_Y, epochs=1, converged=1e9, verbose=0)
    assert result.converged.all()
    result.epochs[:] = times
    lines = result.summary().split("histogram")[1].split("later")[0].splitlines()[1:]
    for line in filter(str.strip, lines):
        words = line.split("#")[0].split()
        first, last = int(words[0]), int(words[2] if "to" in words else words[0])
        assert int(words[-1]) == sum(first <= time <= last for time in times), line


@pytest.fixture
def fitted():
    pop = Population((2, 2, 1), 20, **SETTINGS)
    return pop, pop.fit(XOR_X, XOR_Y, epochs=30, optimizer=fastmlp.SGD(4.0), early_stopping=EarlyStopping(5), verbose=0)


def test_best_epoch_counts_from_zero_as_in_history(fitted):
    pop, result = fitted
    net = fastmlp.MLP((2, 2, 1), **SETTINGS | {"random_state": int(pop.seeds[3])})
    history = net.fit(XOR_X, XOR_Y, epochs=30, optimizer=fastmlp.SGD(4.0), early_stopping=EarlyStopping(5), verbose=0)
    assert result.best_epoch[3] == history.best_epoch
    assert result.best_value[3] == pytest.approx(history.loss[result.best_epoch[3]], rel=1e-5)
    assert (result.best_epoch >= 0).all()


def test_saved_best_epoch_counts_from_one_as_in_earlier_versions(fitted, tmp_path):
    """Best epochs in files count from 1, so that files of earlier versions keep their meaning; 0 is none."""
    pop, result = fitted
    np.testing.assert_array_equal(result.arrays()["best_epoch"], result.best_epoch + 1)
    for best_epoch in (result.best_epoch, np.array([-2, -1, *range(18)])):
        pop.result = replace(result, best_epoch=best_epoch)
        pop.save(tmp_path / "nets")
        np.testing.assert_array_equal(fastmlp.load(tmp_path / "nets").result.best_epoch, np.maximum(best_epoch, -1))


def test_overflowing_validation_data_give_no_best_epoch():
    """Validation data whose loss overflows: no epoch is the best, and the last parameters stay."""
    pop = Population((2, 3, 1), 20, hidden_activation="identity", random_state=0, device="cpu")
    far = np.full((2, 2), 3e38, np.float32)
    result = pop.fit(XOR_X, XOR_Y, epochs=8, validation_data=(far, [0.0, 0.0]), early_stopping=3, verbose=0)
    assert set(result.best_epoch) == {-1}
    assert np.isfinite(pop.params).all()
    net = fastmlp.MLP((2, 3, 1), hidden_activation="identity", random_state=int(pop.seeds[1]), device="cpu")
    history = net.fit(XOR_X, XOR_Y, epochs=8, validation_data=(far, [0.0, 0.0]), early_stopping=3, verbose=0)
    assert history.best_epoch is None
    assert (result.epochs[1], result.stopped_by[1]) == (history.epochs, history.stopped_by)
    np.testing.assert_allclose(pop.params[1], net.params, rtol=1e-5, atol=1e-7)


def test_a_result_says_how_to_get_a_report(tmp_path, rng):
    """The default estimator of tables has several nets, and its history_ is a result."""
    pytest.importorskip("matplotlib")
    population = fastmlp.Population((2, 3, 1), 2, random_state=0, device="cpu")
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    result = population.fit(X, y, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="save it and call `fastmlp report FILE TABLE`"):
        result.report(tmp_path / "page.html")
    fastmlp.History(population.best()).report(tmp_path / "page.html", X, y)
    assert (tmp_path / "page.html").exists()
