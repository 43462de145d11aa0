"""Types for users: a program that uses every public name passes mypy --strict against the package as it is."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from inspect import Parameter, Signature, signature
from pathlib import Path

import pytest
from reference_pages import LISTED

import fastmlp
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "tests" / "typing" / "consumer.py"


def names_used(path):
    """Return the dotted names that a program uses, and the full names of what it imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imported = {
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return imported | {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}


def test_the_consumer_uses_every_public_name():
    """Those of fastmlp.__all__ and the estimators, and what the reference lists of submodules.

    Optimisers and schedules are dataclasses with a base class each: those that there are now are enough.
    """
    modules = {name for name in fastmlp._MODULES if "." not in name}
    names = {*fastmlp.__all__, *(name for names in fastmlp._ESTIMATORS.values() for name in names)} - modules
    public = {*LISTED, *(f"fastmlp.{name}" for name in names)}
    assert len(public) > len(names) + 20
    members = {f"fastmlp.{kind.__name__}" for kind in OPTIMIZERS.values()}
    members |= {f"fastmlp.schedules.{kind.__name__}" for kind in SCHEDULES.values()}
    used = names_used(CONSUMER)
    assert len(members & used) >= 10
    assert sorted(public - members - used) == []


def test_every_argument_of_an_estimator_has_a_type():
    pytest.importorskip("sklearn", reason="the estimators need scikit-learn")
    for kind in (
        fastmlp.MLPClassifier,
        fastmlp.MLPRegressor,
        fastmlp.TabularMLPClassifier,
        fastmlp.TabularMLPRegressor,
    ):
        for method in (kind.__init__, kind.fit, kind.predict):
            _, *parameters = signature(method).parameters.values()
            untyped = [parameter.name for parameter in parameters if parameter.annotation is Parameter.empty]
            assert untyped == [], f"{kind.__name__}.{method.__name__}"
            assert signature(method).return_annotation is not Signature.empty


def test_the_package_says_that_it_is_typed():
    assert (Path(fastmlp.__file__).parent / "py.typed").exists()


@pytest.mark.full
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is missing: pip install '.[test]'")
def test_the_consumer_passes_mypy_strict(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="]
    command += ["--cache-dir", str(tmp_path / "cache"), str(CONSUMER)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
