"""GPU thresholds: the amount of work from which "auto" picks a GPU, stored across processes."""

import os
from math import inf

import pytest

from fastmlp.runtime import auto_device
from fastmlp.runtime.auto_device import ESTIMATED_WORK, FILE, known_work, store


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    folder = tmp_path / "not yet there"
    monkeypatch.setattr(auto_device, "base_folder", lambda: folder)
    known_work.cache_clear()
    yield folder
    known_work.cache_clear()


def test_thresholds_are_estimates_before_a_measurement():
    assert known_work("a GPU", "a processor") is ESTIMATED_WORK
    assert str(ESTIMATED_WORK) == (
        "5e+10 multiply-adds in all and 1e+06 at once, 1e+05 where nets train in one launch "
        "(estimates; fastmlp devices --measure measures them)"
    )


def test_measured_thresholds_are_stored_per_gpu_and_processor():
    """A measurement counts for one pair of GPU and processor."""
    assert store("a GPU", "a processor", 2e9, 3e5, 4e4) == (2e9, 3e5, 4e4, "measured here")
    store("another", "a processor", 1.0, inf, 2.0)
    known_work.cache_clear()
    assert known_work("a GPU", "a processor") == (2e9, 3e5, 4e4, "measured here")
    assert known_work("another", "a processor").at_once == inf
    assert known_work("a GPU", "another processor") is ESTIMATED_WORK


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
def test_damaged_threshold_file_is_ignored_and_rewritten(folder, content):
    """Content of an unknown form is overwritten, a file of two thresholds from an earlier version included."""
    folder.mkdir()
    (folder / FILE).write_text(content)
    assert known_work("a GPU", "a processor") is ESTIMATED_WORK
    assert store("a GPU", "a processor", 1.0, 2.0, 3.0)[:3] == (1.0, 2.0, 3.0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
@pytest.mark.parametrize("what", ["file", "pipe", "folder"])
def test_measurements_that_others_can_have_written_are_not_read(folder, what):
    store("a GPU", "a processor", 2e9, 3e5, 4e4)
    if what == "pipe":
        (folder / FILE).unlink()
        os.mkfifo(folder / FILE)  # is not waited for
    else:
        (folder if what == "folder" else folder / FILE).chmod(0o777)
    known_work.cache_clear()
    assert known_work("a GPU", "a processor") is ESTIMATED_WORK
    if what == "folder":
        with pytest.raises(PermissionError, match=r"others may write to .* Set NUMBA_CACHE_DIR"):
            store("a GPU", "a processor", 1.0, 2.0, 3.0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
def test_store_replaces_a_link_and_not_the_file_that_it_names(folder, tmp_path):
    victim = tmp_path / "mine"
    victim.write_text("mine")
    folder.mkdir()
    (folder / FILE).symlink_to(victim)
    assert store("a GPU", "a processor", 1.0, 2.0, 3.0)[:3] == (1.0, 2.0, 3.0)
    assert victim.read_text() == "mine"
    assert not (folder / FILE).is_symlink()


@pytest.mark.parametrize(
    "total, at_once, in_one_launch, expected",
    [
        (100.0, 10.0, False, True),
        (99.0, 99.0, False, False),
        (1e9, 9.0, False, False),
        (100.0, 1.0, False, False),
        (100.0, 1.0, True, True),
        (99.0, 1.0, True, False),
        (100.0, 0.9, True, False),
    ],
)
def test_gpu_needs_total_work_and_work_at_once_or_in_one_launch(total, at_once, in_one_launch, expected):
    thresholds = auto_device.WorkForGpu(100.0, 10.0, 1.0, "")
    assert thresholds.are_reached(total, at_once, in_one_launch) == expected
    assert not thresholds._replace(at_once=inf, in_one_launch=inf).are_reached(1e30, 1e30, in_one_launch)
