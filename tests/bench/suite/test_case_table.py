"""The table of works: all groups are there, and what computes something else is told from what does not."""

import competitors
import numpy as np
import pytest
from suite import case as work_module
from suite import case_table, reference
from suite.case import Wrong
from suite.cases.populations import CHECKED

from fastmlp.benchmarks.results import GROUPS

PEER = competitors.TRAINING[0]


def test_every_group_has_works_and_a_quick_one():
    assert {entry.group for entry in case_table.ENTRIES} == set(GROUPS)
    assert {entry.group for entry in case_table.ENTRIES if entry.in_quick} == set(GROUPS) - {"scaling"}


def test_largest_points_go_on_with_a_curve():
    """That a full run has begun; where memory is short there are fewer of them, or none."""
    largest = [entry for entry in case_table.ENTRIES if entry.largest]
    ordinary = {name.rpartition("-")[0] for name, entry in case_table.WORKS.items() if not entry.largest}
    ordinary |= {name.rpartition("_")[0] for name, entry in case_table.WORKS.items() if not entry.largest}
    assert not any(entry.in_quick for entry in largest)
    for entry in largest:
        assert {entry.name.rpartition("-")[0], entry.name.rpartition("_")[0]} & ordinary, entry.name


def test_memory_decides_what_is_largest(monkeypatch):
    monkeypatch.setattr(work_module, "memory", lambda: 2 * work_module.AT_A_TIME * 4 * 1000)
    assert work_module.fits(1000)
    assert not work_module.fits(1001)


def test_every_work_has_us_once():
    for entry in case_table.ENTRIES:
        assert [peer.kind for peer in entry.peers].count("ours") == 1, entry.name
        assert len({peer.name for peer in entry.peers}) == len(entry.peers), entry.name


@pytest.mark.parametrize("name", ("cross_entropy", "relu_adam", "digits32", "first_net"))
def test_descriptions(name):
    work = case_table.build(name, quick=True)
    entry = case_table.WORKS[name]
    assert (work.name, work.group) == (entry.name, entry.group)
    assert work.n_units >= 1
    assert all(value > 0 for value in work.costs().values())
    assert set(work.thread_settings(2)) <= {1, 2}


@pytest.fixture(scope="module")
def digits():
    work = case_table.build("digits32")
    params = reference.train(work.verification, work.verify_runs)
    return work, params, reference.loss(work, params, work.verification.X, work.verification.y_matrix)


def test_training_from_the_same_start_is_right(digits):
    work, params, loss = digits
    assert max(work.check(PEER, (params.astype(np.float32), loss)).values()) < 1e-5


def test_training_otherwise_is_wrong(digits):
    work, params, loss = digits
    start = work.start.astype(np.float64)
    trained_too_little = reference.train(work.verification, work.verify_runs - 1)
    without_corrections = start - (params - start) * 0.3
    for others in (start, trained_too_little, without_corrections):
        with pytest.raises(Wrong, match="parameters off by"):
            work.check(PEER, (others, loss))
    with pytest.raises(Wrong, match="loss off by"):
        work.check(PEER, (params, 1.001 * loss))


def test_population():
    work = case_table.build("2-2-1_sigmoid_adam_100000")
    right = work.expected.copy()
    assert right.shape == (CHECKED, 9)
    assert work.check(PEER, right) == {"share of nets": 0.0}
    right[3, 2] += 0.01
    with pytest.raises(Wrong, match="share of nets off by"):
        work.check(PEER, right)


def test_multiply_adds_of_a_population():
    """Counted by hand for 2-2-1: 48 of products, 132 of 12 sigmoids with their slopes, 9 and 8 of updates."""
    assert case_table.build("2-2-1_sigmoid_sgd_1000").multiply_adds == 197
    assert case_table.build("2-2-1_sigmoid_adam_100000").multiply_adds == 197 + 9 * 9


def test_multiply_adds_of_functions():
    assert case_table.build("exp_16384").multiply_adds == 16384 * 6
    assert case_table.build("tanh_16384").multiply_adds == 16384 * 8
    assert case_table.build("product_32_64_64").multiply_adds == 32 * 64 * 64
    assert case_table.build("adam_1000000").multiply_adds == 0, "memory is its limit"


def test_multiply_adds_of_an_estimator():
    """Counted by hand for 30-100-1: a row has 9,300 - 3,000 of products and 311 of units; 3 updates of 3,201."""
    work = case_table.build("estimator_breast_cancer")
    n_epochs, rest = divmod(work.multiply_adds, 455 * 6611 + 3 * 32_010)
    assert rest == 0
    assert 20 < n_epochs <= 200


def test_kernels():
    for name in ("product_transposed_784_512_128", "tanh_16384", "adam_1000000"):
        work = case_table.build(name)
        assert max(work.check(PEER, work.expected.astype(np.float32)).values()) < 1e-6
        with pytest.raises(Wrong):
            work.check(PEER, work.expected * 1.0001 + 1e-4)


def test_predictions():
    work = case_table.build("digits_one_row")
    assert work.expected.shape == (1, 10)
    assert work.expected.sum() == pytest.approx(1.0)
    with pytest.raises(Wrong):
        work.check(PEER, work.expected + 0.001)


def test_a_start_prints_the_loss_of_float64():
    work = case_table.build("first_net")
    assert work.check(PEER, work.expected) == {"loss": 0.0}
    for answer in (None, 1.1 * work.expected):
        with pytest.raises(Wrong):
            work.check(PEER, answer)
