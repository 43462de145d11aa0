"""The end of a long run of the fuzzing: what a target's process has printed says whether all is well."""

import sys

import pytest
import run

PRINTED = """
#2	INITED cov: 40 ft: 50 corp: 1/1b exec/s: 0 rss: 400Mb
#9	NEW    cov: 51 ft: 80 corp: 2/9b lim: 9 exec/s: 0 rss: 401Mb
outcomes: {'refused': 1207, 'read': 3}
"""
NOTHING_READ = PRINTED.replace("'refused': 1207, 'read': 3", "'refused': 1210")


def test_a_report_has_what_was_tried():
    made = run.report_of("net", PRINTED, 0)
    assert (made.files, made.outcomes, made.covered) == (1210, {"refused": 1207, "read": 3}, "51")
    assert run.report_of("csv", "it crashed", 77).files == 0


@pytest.mark.parametrize(
    "statuses, printed, expected",
    [((0, 0), PRINTED, 0), ((0, -11), PRINTED, 1), ((77, 0), PRINTED, 1), ((0, 0), NOTHING_READ, 1)],
)
def test_a_target_that_a_signal_has_killed_or_that_read_nothing_is_a_fault(statuses, printed, expected, monkeypatch):
    """The status of a killed process is negative."""
    status_of = dict(zip(("net", "csv"), statuses, strict=True))
    monkeypatch.setattr(run, "report", lambda name, runs: run.report_of(name, printed, status_of[name]))
    monkeypatch.setattr(sys, "argv", ["run.py", *status_of])
    monkeypatch.setattr(sys, "path", sys.path[:])  # to which main adds folders
    monkeypatch.setenv("FASTMLP_COMPILE_PROCESSES", "1")  # which main sets
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == expected
