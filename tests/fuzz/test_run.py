"""The report of a long run of the fuzzing: what a target's process has printed becomes a row of a table."""

import json
import sys

import pytest
import run
from fuzz_targets import Memory

PRINTED = """
#2	INITED cov: 40 ft: 50 corp: 1/1b exec/s: 0 rss: 400Mb
#9	NEW    cov: 51 ft: 80 corp: 2/9b lim: 9 exec/s: 0 rss: 401Mb
outcomes: {'refused': 1207, 'read': 3}
"""


def test_a_report_is_a_row_of_the_table():
    made = run.report_of("net", PRINTED, 61.7, 0)
    text = run.table([made, run.report_of("csv", "it crashed", 2.0, 77)], [Memory(2**22, 20), Memory(0, 3)])
    header, rule, *rows = text.splitlines()
    assert header.count("|") == rule.count("|") == rows[0].count("|")
    assert rows == [
        "| net | 1,210 | 3 | 1,207 | 51 | 4 MiB + 20 x file | 62 | none |",
        "| csv | 0 | 0 | 0 | ? | 0 MiB + 3 x file | 2 | one, see crash-* |",
    ]


NOTHING_READ = PRINTED.replace("'refused': 1207, 'read': 3", "'refused': 1210")


def test_a_run_in_which_no_file_was_read_is_a_fault():
    made = run.report_of("net", NOTHING_READ, 61.7, 0)
    assert made.is_fault
    assert made.row(Memory(0, 3)).endswith("| no file was read |")


def test_records_of_targets_are_kept_until_they_run_again(tmp_path):
    file, memory = tmp_path / "fuzz.json", Memory(2**22, 20)
    run.save([run.report_of("net", PRINTED, 61.7, 0), run.report_of("csv", "it crashed", 2.0, 77)], [memory] * 2, file)
    run.save([run.report_of("csv", PRINTED, 8.2, 0)], [Memory(5, 3)], file)
    found = json.loads(file.read_text())
    assert list(found) == ["csv", "net"]
    assert found["net"]["outcomes"] == {"read": 3, "refused": 1207}
    numbers = [(row["files"], row["branches_covered"], row["seconds"], row["status"]) for row in found.values()]
    assert numbers == [(1210, 51, 8, 0), (1210, 51, 62, 0)]
    assert [found[name]["memory_base"] for name in found] == [5, 2**22]


def test_a_target_without_results_is_recorded_as_such(tmp_path):
    run.save([run.report_of("csv", "it crashed", 2.0, 77)], [Memory(5, 3)], tmp_path / "fuzz.json")
    found = json.loads((tmp_path / "fuzz.json").read_text())["csv"]
    assert (found["files"], found["branches_covered"], found["status"]) == (0, None, 77)


@pytest.mark.parametrize(
    "statuses, printed, expected",
    [((0, 0), PRINTED, 0), ((0, -11), PRINTED, 1), ((77, 0), PRINTED, 1), ((0, 0), NOTHING_READ, 1)],
)
def test_a_target_that_a_signal_has_killed_or_that_read_nothing_is_a_fault(statuses, printed, expected, monkeypatch):
    """The status of a killed process is negative."""
    status_of = dict(zip(("net", "csv"), statuses, strict=True))
    monkeypatch.setattr(run, "report", lambda name, runs: run.report_of(name, printed, 0.0, status_of[name]))
    monkeypatch.setattr(sys, "argv", ["run.py", *status_of])
    monkeypatch.setattr(sys, "path", sys.path[:])  # to which main adds folders
    monkeypatch.setenv("FASTMLP_COMPILE_PROCESSES", "1")  # which main sets
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == expected
