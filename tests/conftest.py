"""What every test may ask for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ["FASTMLP_CHECK_TYPES"] = "1"  # kernels are then called with what they were compiled for, or a test fails


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture(scope="session")
def data_folder():
    """Real data sets, where FASTMLP_DATA names their folder."""
    folder = os.environ.get("FASTMLP_DATA")
    if not folder:
        pytest.skip("FASTMLP_DATA does not name a folder of data sets")
    return Path(folder)


@pytest.fixture
def fresh_python():
    """Runs text as a program in a process of its own, where `import fastmlp` finds the package under test."""
    import fastmlp

    folder = str(Path(fastmlp.__file__).parents[1])

    def run(text):
        environment = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False
        )

    return run
