"""Where a GPU overtakes the processor: the arithmetic on made-up times, and a real run on sizes that say nothing."""

from math import inf, sqrt

import pytest

import fastmlp
from fastmlp import crossover
from fastmlp.crossover import Row, crossing
from fastmlp.devices import resolve, thresholds
from fastmlp.heuristics import products
from fastmlp.thresholds import thresholds_of


def rows(*ratios):
    """Steps of 1, 10, 100, ... multiply-adds, for which the GPU takes so many times as long as the processor."""
    return [Row(k, 10.0**k, 1.0, ratio) for k, ratio in enumerate(ratios)]


@pytest.mark.parametrize(
    "ratios, wanted",
    [
        ((0.5, 0.5), 1.0), ((4.0, 2.0), inf), ((0.1, 1.0), inf), ((2.0, 0.5), sqrt(10.0)), ((4.0, 0.5), 10 ** (2 / 3)),
        ((2.0, 0.5, 2.0, 0.5, 0.1), 10 ** 2.5),
    ],
)  # fmt: skip
def test_crossing(ratios, wanted):
    """In the middle of two sizes, in logarithms, if one side is as far ahead as the other; the last such place."""
    assert crossing(rows(*ratios)) == pytest.approx(wanted)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    monkeypatch.setattr("fastmlp.thresholds.base_folder", lambda: tmp_path)
    thresholds_of.cache_clear()
    yield
    thresholds_of.cache_clear()


def test_measured_thresholds_are_what_auto_goes_by(cuda, kept, monkeypatch):
    """A processor of 1e9 multiply-adds a second, a GPU that launches a step in 10 microseconds and starts in 3 s."""
    work = lambda width: products(crossover._net("cpu", width).network, crossover.BATCH)
    monkeypatch.setattr(
        crossover, "seconds_of_step", lambda device, width: work(width) / 1e9 if device == "cpu" else 1e-5
    )  # fmt: skip
    monkeypatch.setattr(crossover, "seconds_to_start", lambda device: 1.0 if device == "cpu" else 4.0)
    monkeypatch.setattr(crossover, "WIDTHS", (1, 8, 64))
    assert work(1) / 1e9 > 1e-5, "the smallest is too large already"
    monkeypatch.setattr(crossover, "BATCH", 4)
    shown = []
    found = crossover.measure("cuda", shown.append)
    assert [row.width for row in shown] == [1, 8, 64]
    assert found.total == pytest.approx(3e9)
    assert found.at_once == pytest.approx(1e4)
    assert found == thresholds(fastmlp.devices()[1])
    assert resolve("auto", 4e9, 1.1e4).name == "cuda"
    assert resolve("auto", 4e9, 0.9e4).name == "cpu"


def test_real_times(cuda, kept, monkeypatch):
    for name, value in (("WIDTHS", (2, 3)), ("BATCH", 8), ("BATCHES", 2), ("SECONDS", 0.0)):
        monkeypatch.setattr(crossover, name, value)
    monkeypatch.setattr(crossover, "seconds_to_start", lambda device: 1.0)
    shown = []
    assert crossover.measure("cuda", shown.append).total == 0.0
    assert all(0.0 < row.processor < 10.0 and 0.0 < row.gpu < 10.0 for row in shown)


def test_start_of_a_process():
    assert 0.1 < crossover.seconds_to_start("cpu") < 60.0
