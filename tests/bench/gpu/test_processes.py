"""Processes of bench/gpu/run.py: what they save stays, whatever becomes of them."""

import json
import time

import pytest
from gpu import processes

pytestmark = pytest.mark.full

REPORTED = {"times": {"fastmlp": [2.0]}, "left_out": {"a": "no"}, "pending": {"b": "not ready"}, "notes": {}}
REPORTS = f"pathlib.Path(sys.argv[sys.argv.index('--into') + 1]).write_text('{json.dumps(REPORTED)}')"


def row_ended_early(why):
    """REPORTED, where the process has ended for this reason."""
    return {
        "times": REPORTED["times"],
        "left_out": {"a": "no", "b": f"not ready: {why}"},
        "notes": {"ended early": why},
    }


STOPPED = "stopped after 3 s, its share of 8 minutes"


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "program, expected",
    [
        (REPORTS.replace('"b": "not ready"', ""), {name: REPORTED[name] for name in ("times", "left_out", "notes")}),
        ("raise ValueError('a | b')", {"error": "ValueError: a / b"}),
        (f"{REPORTS}; raise ValueError('a | b')", row_ended_early("ValueError: a / b")),
        (f"{REPORTS}; os._exit(3)", row_ended_early("ended with 3")),
        ("time.sleep(60)", {"error": STOPPED}),
        pytest.param(f"{REPORTS}; time.sleep(60)", row_ended_early(STOPPED), marks=pytest.mark.full),
        # What holds its output open and lives on would be waited for, if that were a pipe.
        ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)", {"error": STOPPED}),
    ],
    ids=["fine", "broken", "broken later", "dead", "late", "late with ours", "late with another"],
)
def test_each_case_runs_in_a_separate_process(program, expected, tmp_path):
    """Results reported before a process ends are saved."""
    path, begun, seconds = tmp_path / "program.py", time.monotonic(), 3.0 if "sleep" in program else 60.0
    path.write_text(f"import os, pathlib, subprocess, sys, time\n{program}\n")
    assert processes.run_in_process("a work", True, seconds, {}, program=str(path)) == expected
    assert processes.run_in_process("a work", True, 0.0, {}) == {"error": "not measured: 8 minutes were over"}
    assert time.monotonic() - begun < 50


def test_part_that_was_stopped_says_so():
    """The row of a part of the constants has no competitors."""
    assert processes.finish_row({"values": {}}, "") == {"values": {}}
    assert processes.finish_row({"values": {}}, "stopped") == {"values": {}, "ended early": "stopped"}


def test_rows_are_written_atomically(tmp_path):
    for row in ({"a": 1}, {"a": 2}):
        processes.write(row, tmp_path / "row.json")
        assert json.loads((tmp_path / "row.json").read_text()) == row
    assert [path.name for path in tmp_path.iterdir()] == ["row.json"]
