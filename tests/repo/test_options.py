"""Each public option has a reason: a measurement in which it wins, or a library's name for it.

Reasons are in bench/log/options.md, and those of nets and fits in the rows of network/net_settings.py and
fit/keywords.py.
"""

import inspect
import re
from pathlib import Path

import pytest
import typer
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastmlp
from fastmlp import plots
from fastmlp.commands.cli import app
from fastmlp.fit.keywords import POPULATION_KEYWORDS
from fastmlp.initialization import INITIALIZERS
from fastmlp.network.net_settings import NET_SETTINGS
from fastmlp.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
NAMED = set(re.findall(r"`\.?([\w.]+)`", (ROOT / "bench/log/options.md").read_text(encoding="utf-8")))
ROWS = POPULATION_KEYWORDS.rows | NET_SETTINGS.rows
NAMED |= ROWS.keys()
OF_LIBRARY = {name for kind in (MLPClassifier, MLPRegressor) for name in inspect.signature(kind).parameters}
RESULTS = ("Diagnosis", "GradientCheck", "History", "OptimizerState", "PopulationDiagnosis", "PopulationResult")


def parameters():
    """Yield (what has it, parameter) of all that users call."""
    public = {name: getattr(fastmlp, name) for name in fastmlp.__all__ if name not in (*RESULTS, "SweepResult")}
    of_nets = {f"{kind.__name__}.fit": kind.fit for kind in (fastmlp.MLP, fastmlp.Population)}
    of_tables = {"TabularMLPClassifier.fit": fastmlp.TabularMLPClassifier.fit}
    rules = {kind.__name__: kind for kind in (*SCHEDULES.values(), *INITIALIZERS.values()) if inspect.isclass(kind)}
    for name, value in (public | of_nets | of_tables | rules).items():
        if callable(value) and not (inspect.isclass(value) and issubclass(value, Warning)):
            for parameter in inspect.signature(value).parameters:
                if parameter != "self":
                    yield name, parameter


def test_each_parameter_has_a_row():
    missing = {(owner, name) for owner, name in parameters() if name not in NAMED | OF_LIBRARY}
    assert missing == set()


@pytest.mark.parametrize("name", ROWS)
def test_findings_that_are_the_reason_for_a_keyword_are_in_the_log(name):
    reason = ROWS[name].reason
    assert reason
    if "#" in reason:
        page, _, finding = reason.partition("#")
        assert f'id="{finding}"' in (ROOT / "bench/log" / page).read_text(encoding="utf-8")


def test_each_option_of_a_command_has_a_row():
    commands = typer.main.get_command(app).commands
    options = {
        flag.strip("-").replace("-", "_") for command in commands.values() for p in command.params for flag in p.opts
    }
    assert {"target", "memory_limit", "nets"} <= options
    arguments = {p.name for command in commands.values() for p in command.params if p.param_type_name == "argument"}
    assert options - arguments - NAMED - OF_LIBRARY == set()


def extras():
    tomllib = pytest.importorskip("tomllib", reason="Python before 3.11 cannot read pyproject.toml")
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


@pytest.mark.parametrize("kind", ["extras", "plots", "environment variables"])
def test_each_of_the_others_has_a_row(kind):
    names = {
        "extras": extras,
        "plots": lambda: {name for name, value in vars(plots).items() if inspect.isfunction(value)},
        "environment variables": lambda: {
            name
            for folder in ("src", "kernels")
            for path in (ROOT / folder).rglob("*.py")
            for name in re.findall(r"FASTMLP_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))
        },
    }[kind]()
    assert names
    assert names - NAMED == {"FASTMLP_ACTIVATION"} & names  # a macro of the C export
