"""What every test may ask for."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


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
