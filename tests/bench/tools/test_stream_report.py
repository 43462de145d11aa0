"""bench/tools/stream_report.py: what the guide says about data larger than memory, and its picture."""

import copy
import json

import pytest
from tools.report import with_tables
from tools.stream_report import MARKS, PAGE, PICTURE, RESULTS, epochs_of, markdown, nanoseconds, picture, ratios

MACHINE = {"processor": "A processor", "cpus": 2, "memory": 24 * 2**30}


def turn(*seconds, from_disk=0, resident=700_000_000):
    return {"seconds": list(seconds), "bytes_from_disk": from_disk, "largest_resident": resident}


# 100 million rows of 10 bytes, 1 million in memory: at 1 us a row there, and 1.1 or 1.25 us over the file.
BASELINE = {
    "measured": "2026-01-02",
    "machine": MACHINE,
    "sizes": [4, 8, 1],
    "memory_limit": "60MB",
    "rows": 100_000_000,
    "rows_in_memory": 1_000_000,
    "file_bytes": 1_000_000_000,
    "row_bytes": 10,
    "resident_before": 110_000_000,
    "emptied_page_cache": True,
    "first_epoch": turn(200.0, from_disk=1_000_000_000, resident=710_000_000),
    "rounds": [
        {"in_memory": turn(1.1, 1.0, 0.9), "streamed": turn(110.0), "emptied": turn(125.0, from_disk=900_000_000)},
        {"in_memory": turn(1.0, 1.0, 1.0), "streamed": turn(108.0), "emptied": turn(125.0, from_disk=800_000_000)},
        {"in_memory": turn(1.0, 1.1, 1.2), "streamed": turn(112.0), "emptied": turn(130.0)},
    ],
}
OTHERS = {
    "disk": {"bytes_a_second": 0.5e9, "bytes_a_second_again": 3e9, "emptied_page_cache": True},
    "floor": {"seconds": 100.0, "emptied_page_cache": True},
    "rows": {
        "sizes": [9, 64, 64, 1],
        "memory_limit": "32MB",
        "row_bytes": 40,
        "turns": {"1000000": [turn(0.3, 0.4, 0.5), turn(0.41, 0.41, 0.41)], "100000000": [turn(42.0), turn(40.0)]},
    },
    "torch": {"rows": 10, "rows_a_second": 237_000.4, "largest_resident": 1_180_000_000, "version": "2.15"},
    "xgboost": {
        "rows": 10,
        "rows_a_second_of_reading": 118_000.0,
        "rows_a_second_of_a_tree": 6_200_000.0,
        "largest_resident": 650_000_000,
        "version": "3.2",
    },
}
ALL = {"baseline": BASELINE, **OTHERS}


def test_epochs_are_medians_of_turns_and_rounds():
    epochs = epochs_of(ALL)
    assert epochs["in_memory"].seconds == [1.0, 1.0, 1.1]
    assert (epochs["in_memory"].speed, epochs["in_memory"].rows) == (1_000_000, 1_000_000)
    assert epochs["streamed"].speed == pytest.approx(100e6 / 110)
    assert (epochs["streamed"].from_disk, epochs["emptied"].from_disk) == (0.0, 0.9)


def test_ratios_are_of_the_same_round():
    assert ratios(ALL, "streamed") == pytest.approx([1 / 1.1, 1 / 1.08, 1.1 / 1.12])
    assert ratios(ALL, "emptied") == pytest.approx([0.8, 0.8, 1.1 / 1.3])


def test_times_per_row_are_of_each_turn():
    assert nanoseconds(ALL) == {1_000_000: pytest.approx([400, 410]), 100_000_000: pytest.approx([420, 400])}


def test_the_text_has_all_figures():
    text = markdown(ALL)
    for part in (
        "| epochs in memory | 1,000,000 (909,091 to 1,000,000) |  |",
        "| epochs over the file | 909,091 (892,857 to 925,926) | 0.71 GB |",
        "| epochs over the file after the page cache was emptied | 800,000 (769,231 to 800,000) | 0.71 GB |",
        "| PyTorch 2.15, a DataLoader over the row groups | 237,000 | 1.18 GB |",
        "| XGBoost 3.2, external memory | 118,000 to read, 6,200,000 a tree | 0.65 GB |",
        'a net 4-8-1 on 100,000,000 rows, 1.0 GB of Parquet, with `memory_limit="60MB"`',
        "Epochs over the file have 93% of the speed in memory; the page cache held all rows.",
        "was emptied have 80% of the speed in memory; the disk read up to 90% of an epoch's bytes, and the page cache",
        "The aim for speed, at least 85%, is missed with 80%.",
        "The aim for resident memory in GB, at most 1.00, is reached. 0.11 GB of it are there before the fit.",
        "takes 200 s. To read the file with pyarrow and to write as many bytes takes 100 s.",
        "The aim for the first epoch in multiples of that, at most 1.50, is missed with 2.00.",
        "The disk reads 0.50 GB/s, the page cache gives 3.0 GB/s.",
        "| 1,000,000 | 405 | 400 to 410 |",
        "| 100,000,000 | 410 | 400 to 420 |",
        f"](../_static/{PICTURE.name})",
    ):
        assert part in text


def test_what_was_not_measured_is_left_out():
    baseline = copy.deepcopy(BASELINE)
    for round_ in baseline["rounds"]:
        del round_["emptied"]  # without permission to empty the page cache
    text = markdown({"baseline": baseline})
    assert "The aim for speed, at least 85%, is reached." in text
    assert not any(word in text for word in ("emptied", "pyarrow", "PyTorch", "XGBoost", "ns a row", "GB/s"))
    assert "nanoseconds per row" not in picture({"baseline": baseline})


def test_what_a_page_cache_may_have_given_is_not_said_of_the_disk():
    emptied = {"emptied_page_cache": False}
    text = markdown(ALL | {name: OTHERS[name] | emptied for name in ("disk", "floor")})
    assert "GB/s" not in text
    assert "as many bytes takes 100 s, with a page cache that was not emptied before. The aim" in text


def test_the_picture_has_epochs_and_times_per_row():
    text = picture(ALL)
    assert text.startswith("<svg")
    labels = "first epoch", "at the speed in memory", "at 85% of it", "nanoseconds per row", "100 million"
    assert all(label in text for label in labels)
    assert picture(ALL) == text, "the same results give the same picture"


def test_the_guide_has_the_figures_that_were_measured():
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, "", MARKS), "the guide has a place for them"
    if not RESULTS.exists():
        pytest.skip("bench/studies/larger_than_memory.py has no results yet")
    results = json.loads(RESULTS.read_text())
    assert page == with_tables(page, markdown(results), MARKS), "run python bench/tools/stream_report.py"
    assert PICTURE.exists()
