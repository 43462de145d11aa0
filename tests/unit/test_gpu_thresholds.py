"""From how much work on "auto" takes a GPU, as it is kept from one process to the next."""

import os
from math import inf

import pytest

from fastmlp import gpu_thresholds
from fastmlp.gpu_thresholds import ESTIMATES, FILE, store, thresholds_of


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    folder = tmp_path / "not yet there"
    monkeypatch.setattr(gpu_thresholds, "base_folder", lambda: folder)
    thresholds_of.cache_clear()
    yield folder
    thresholds_of.cache_clear()


def test_estimates_until_something_is_measured():
    assert thresholds_of("a GPU", "a processor") is ESTIMATES
    assert str(ESTIMATES) == (
        "5e+10 multiply-adds in all and 1e+06 at once, 1e+05 where nets train in one launch "
        "(estimates; fastmlp devices --measure measures them)"
    )


def test_what_was_measured_is_kept():
    """For this pair of devices."""
    assert store("a GPU", "a processor", 2e9, 3e5, 4e4) == (2e9, 3e5, 4e4, "measured here")
    store("another", "a processor", 1.0, inf, 2.0)
    thresholds_of.cache_clear()
    assert thresholds_of("a GPU", "a processor") == (2e9, 3e5, 4e4, "measured here")
    assert thresholds_of("another", "a processor").at_once == inf
    assert thresholds_of("a GPU", "another processor") is ESTIMATES


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "{",
        '{"a GPU | a processor": 3}',
        '{"a GPU | a processor": ["x", 1, 2]}',
        '{"a GPU | a processor": [1e9, 1e5]}',
    ],
)
def test_a_file_that_says_nothing(folder, content):
    """It is as if there were none, and is written anew; so is one from before populations were measured."""
    folder.mkdir()
    (folder / FILE).write_text(content)
    assert thresholds_of("a GPU", "a processor") is ESTIMATES
    assert store("a GPU", "a processor", 1.0, 2.0, 3.0)[:3] == (1.0, 2.0, 3.0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
def test_a_file_that_others_could_have_written_says_nothing(folder):
    store("a GPU", "a processor", 2e9, 3e5, 4e4)
    (folder / FILE).chmod(0o666)
    thresholds_of.cache_clear()
    assert thresholds_of("a GPU", "a processor") is ESTIMATES
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)  # is not waited for
    thresholds_of.cache_clear()
    assert thresholds_of("a GPU", "a processor") is ESTIMATES


def test_both_must_be_reached():
    t = gpu_thresholds.Thresholds(100.0, 10.0, 1.0, "")
    assert t.are_reached(100.0, 10.0)
    assert not t.are_reached(99.0, 99.0)
    assert not t.are_reached(1e9, 9.0)
    assert not t._replace(at_once=inf).are_reached(1e30, 1e30)


def test_nets_in_one_launch_have_a_threshold_of_their_own():
    t = gpu_thresholds.Thresholds(100.0, 10.0, 1.0, "")
    assert t.are_reached(100.0, 1.0, in_one_launch=True)
    assert not t.are_reached(99.0, 1.0, in_one_launch=True)
    assert not t.are_reached(100.0, 0.9, in_one_launch=True)
    assert not t.are_reached(100.0, 1.0)
