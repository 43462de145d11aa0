"""Index of modules: it has every file of the code, with a sentence and the names that a reader would look for."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp

ROOT = Path(fastmlp.__file__).resolve().parents[2]
PROGRAM = ROOT / "docs" / "_extensions" / "module_index.py"
spec = importlib.util.spec_from_file_location("module_index", PROGRAM)
module_index = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module_index)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules():
    return {module.path.as_posix(): module for module in module_index.modules()}


def test_every_file_has_a_sentence(modules):
    files = [path for folder in ("src/fastmlp", "kernels", "bench") for path in (ROOT / folder).rglob("*.py")]
    named = [path.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py"]
    assert {name for name in named if not name.startswith("src/fastmlp/kernels/")} <= set(modules)
    assert "kernels/cuda/layers/passes.cu" in modules
    assert [name for name, module in modules.items() if not module.sentence.endswith((".", ":", "?"))] == []


def test_names_are_those_of_the_code(modules):
    found = {path: module.names for path, module in modules.items()}
    assert "loss_and_output_delta" in found["kernels/cuda/layers/passes.cu"]
    assert {"TextColumn", "fit_text", "MOST_KNOWN"} <= set(found["src/fastmlp/tables/text_column.py"])
    assert not any(name.startswith("_") for names in found.values() for name in names)


def test_a_word_finds_its_files():
    done = subprocess.run([sys.executable, PROGRAM, "wilson"], capture_output=True, text=True, check=True)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["src/fastmlp/convergence.py"]
