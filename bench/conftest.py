"""`pytest bench` is the benchmark suite: its options, and the hooks that connect pytest with suite/session.py.

bench/micro is no part of it: `pytest bench/micro` runs those benchmarks as pytest-benchmark does by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reporting import result_texts
from suite.session import FAMILIES, GROUPS, Session
from suite.timing import QUICK, Rules

PLUGIN = "fastmlp_suite"
MICRO = Path(__file__).resolve().parent / "micro"


def pytest_addoption(parser):
    group = parser.getgroup("fastmlp", "fastmlp's benchmark suite")
    group.addoption("--device", choices=("cpu", "cuda"), default="cpu", help="where all competitors compute")
    group.addoption("--peers", default="all", help=f"competitors: all, none, or some of {','.join(FAMILIES)}")
    group.addoption("--groups", default="all", help=f"all, or some of {','.join(GROUPS)}")
    group.addoption(
        "--quick", action="store_true", help="one or two cases a group, three rounds: less than two minutes"
    )
    group.addoption(
        "--largest",
        action="store_true",
        help="only the points that are too large for a full run, as far as memory allows; with --resume they are added "
        "to its curves",
    )
    group.addoption(
        "--rounds", type=int, help=f"largest number of rounds ({Rules().rounds}; {QUICK.rounds} with --quick)"
    )
    group.addoption("--save", type=Path, help="results as JSON (bench/results/latest.json)")
    group.addoption("--resume", action="store_true", help="keep the results that the file of --save already has")


def asks_for_micro(config) -> bool:
    """Whether the command line names bench/micro or a file in it."""
    paths = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return any(path.is_relative_to(MICRO) for path in paths)


def pytest_configure(config):
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("The suite needs pytest-benchmark: pip install -e '.[bench]'")
    if asks_for_micro(config):
        return
    for name, value in (("benchmark_columns", ["median", "iqr", "min", "max", "rounds"]), ("benchmark_sort", "median")):
        if not _given(config, name):
            setattr(config.option, name, value)
    config.pluginmanager.register(Session(config), PLUGIN)


def _given(config, name: str) -> bool:
    flag = "--" + name.replace("_", "-")
    return any(str(argument).split("=")[0] == flag for argument in config.invocation_params.args)


def pytest_ignore_collect(collection_path, config):
    """`pytest bench` leaves bench/micro out, and `pytest bench/micro` everything else."""
    is_micro = collection_path.resolve().is_relative_to(MICRO)
    return True if is_micro and not asks_for_micro(config) else None


def pytest_collection_finish(session):
    """Tell the session which tests were selected: only their competitors are measured."""
    suite = session.config.pluginmanager.get_plugin(PLUGIN)
    if suite is None:
        return
    for item in session.items:
        if "case" in getattr(item, "callspec", item).__dict__.get("params", {}):
            suite.wanted.setdefault(item.callspec.params["case"], []).append(item.callspec.params["competitor"])
    if suite.wanted and not session.config.option.collectonly:
        suite.start()


@pytest.fixture(scope="session")
def suite(pytestconfig):
    session = pytestconfig.pluginmanager.get_plugin(PLUGIN)
    yield session
    session.close()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    session = config.pluginmanager.get_plugin(PLUGIN)
    if session is None or not session.results or not session.results["results"]:
        return
    terminalreporter.section("fastmlp's benchmark suite")
    for line in result_texts.summary(session.results):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"saved to {session.path}; its tables: python bench/tools/report.py {session.path}")
