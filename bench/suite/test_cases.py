"""`pytest bench`: a test per case and competitor.

case_lookup.py lists the cases, runner.py has the rules of measuring. Competitors that cannot take part are skipped with
the reason; one that computes something else than float64 NumPy fails.
"""

from __future__ import annotations

import pytest
from reporting.result_statistics import GROUPS

from suite.replayed_clock import clock, replay


def pytest_generate_tests(metafunc):
    session = metafunc.config.pluginmanager.get_plugin("fastmlp_suite")
    pairs = [(entry.name, competitor.name) for entry in session.entries() for competitor in session.competitors(entry)]
    groups = {entry.name: entry.group for entry in session.entries()}
    ids = [f"{groups[case]}/{case}/{competitor}" for case, competitor in pairs]
    metafunc.parametrize("case, competitor", pairs, ids=ids)


@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # where a competitor fails
@pytest.mark.benchmark(timer=clock)
def test_case(benchmark, suite, case, competitor):
    result = suite.result(case)
    row = next(row for row in result["rows"] if row["name"] == competitor)
    if row["status"] in ("missing", "unsupported", "left out"):
        pytest.skip(f"{competitor}: {row['reason']}")
    if row["status"] != "timed":
        pytest.fail(f"{row['status']}: {row['reason']}", pytrace=False)
    benchmark.name, benchmark.group = competitor, f"{GROUPS[result['group']]}: {result['title']} (per {result['unit']})"
    benchmark.extra_info.update({key: value for key, value in row.items() if key != "seconds"})
    benchmark.extra_info.update({key: result[key] for key in ("unit", "source", "costs", "others_busy")})
    replay(benchmark, row["seconds"])
