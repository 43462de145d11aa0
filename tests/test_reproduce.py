"""Published results, run again: small here, in full by `fastmlp reproduce`."""

import itertools

import numpy as np
import pytest

from fastmlp import reproduce
from fastmlp.cli import Experiment


def test_quickprop_gives_fahlmans_histogram():
    """10,000 trials: failures within 992 +- 60, median 19 or 20, mean within 0.8 of 28.78, distance below 5 %'s."""
    rows = list(itertools.islice(reproduce.xor_quickprop(), 5))
    assert sum(reproduce.FAHLMAN_BINS) == 10_000 - 992
    assert all(row.agrees is not False for row in rows), rows
    result = reproduce.quickprop_xor(10_000)
    assert abs(10_000 - result.n_converged - 992) <= 60
    assert result.epoch_statistics.median in (19, 20)
    assert abs(np.where(result.converged, result.epochs, 100).mean() - 28.78) <= 0.8
    assert reproduce.kolmogorov_smirnov(result) < 0.02


def test_other_codings_do_not():
    assert reproduce.kolmogorov_smirnov(reproduce.quickprop_xor(2000, coding=0.0)) > 0.3


def test_parity_comes_near():
    rows = [row for row in reproduce.parity(300) if "mean epochs" in row.name]
    for row in rows:
        assert float(row.ours) == pytest.approx(float(row.published), rel=0.4)


def test_proben1(data_folder, monkeypatch):
    monkeypatch.setattr(reproduce, "PROBEN1", {name: reproduce.PROBEN1[name] for name in ("cancer1", "diabetes3")})
    for row in reproduce.proben1(16, data=data_folder):
        assert float(row.ours) == pytest.approx(float(row.published), rel=0.5)


def test_data_must_be_named(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="--data or FASTMLP_DATA"):
        next(reproduce.two_spirals())
    with pytest.raises(FileNotFoundError, match=r"must name the folder that has two_spirals"):
        next(reproduce.two_spirals(data=tmp_path))


def test_the_command_names_every_experiment():
    assert {name.value for name in Experiment} == {"all", *reproduce.EXPERIMENTS}
