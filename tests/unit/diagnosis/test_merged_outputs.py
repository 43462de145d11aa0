"""Merged outputs: the share of samples of different targets with one common output."""

import numpy as np
import toy_data as data

from fastmlp.diagnosis import merged_outputs
from fastmlp.diagnosis.merged_outputs import MOST, merged_share

XOR = data.XOR_Y[:, None].astype(float)


def merged_shares(*outputs):
    return merged_share(np.array(outputs, float)[:, :, None], XOR).tolist()


def test_local_minima_of_xor_are_recognised():
    assert merged_shares([0, 1, 0.5, 0.5]) == [0.5], "two patterns at one half: ln 2 / 2"
    assert merged_shares([0, 2 / 3, 2 / 3, 2 / 3]) == [0.75], "three at two thirds: 0.477"
    assert merged_shares([0.5] * 4) == [1.0], "all at the base rate"


def test_equal_outputs_without_a_minimum_are_not_counted():
    assert merged_shares([0, 1, 1, 0], [0.1, 0.9, 0.9, 0.1]) == [0, 0], "equal outputs for equal targets"
    assert merged_shares([0.4, 0.4, 0.4, 0.4]) == [0], "not the mean of the targets: training goes on"
    assert merged_shares([0.3, 0.6, 0.45, 0.55]) == [0]


def test_processing_nets_in_parts_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    outputs = np.round(rng.random((50, 4, 1)) * 2) / 2
    together = merged_share(outputs, XOR)
    assert 0 < together.max() <= 1
    monkeypatch.setattr(merged_outputs, "PAIRS", 40)
    np.testing.assert_array_equal(merged_share(outputs, XOR), together)


def test_many_samples_or_equal_targets_give_nan():
    assert np.isnan(merged_share(np.zeros((2, MOST + 1, 1)), np.arange(MOST + 1.0)[:, None])).all()
    assert np.isnan(merged_share(np.zeros((1, 4, 1)), np.ones((4, 1)))).all()
