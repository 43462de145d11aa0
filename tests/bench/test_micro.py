"""Micro-benchmarks: bench/micro is separate from the suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from required_libraries import needs

needs("pytest_benchmark", extras="bench")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder, has_micro", [("bench", False), ("bench/micro", True)])
def test_micro_benchmarks_are_collected_only_by_their_folder(folder, has_micro):
    command = [sys.executable, "-m", "pytest", folder, "--collect-only", "-q", "-p", "no:cacheprovider"]
    # Of a worker of pytest-xdist pytest-benchmark would say that it is disabled there, and warnings are errors.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    micro = {str(path.relative_to(ROOT)) for path in (ROOT / "bench" / "micro").glob("test_*.py")}
    assert found == (micro if has_micro else {"bench/suite/test_cases.py"})
