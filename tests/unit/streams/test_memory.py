"""Memory that a fit to data larger than memory_limit takes: no more than the limit, whatever the form of the data."""

import numpy as np
import pytest
from peak_memory import growth, on_linux

WIDTH, N, LIMIT = 16, 2_000_000, 100_000_000
FIT = """
import os
import warnings

import fastmlp

warnings.simplefilter("ignore")  # of few epochs


def fit(path):
    limit = {limit} if os.path.getsize(path) > 10_000_000 else "1MB"  # the first file compiles and imports
    settings = dict(random_state=0, device="cpu")
    {call}
"""
NET = """
    net = fastmlp.MLP((16, 8, 2), loss="softmax_cross_entropy", **settings)
    net.fit(path, "y", epochs=1, batch_size=1000, memory_limit=limit, verbose=0)
"""
TABLE = """
    settings |= dict(hidden_layer_sizes=(8,), max_iter=1, n_nets=1, batch_size=1000)
    fastmlp.TabularMLPClassifier(**settings).fit(path, "y", memory_limit=limit)
"""
CALLS = {"MLP": NET, "TabularMLPClassifier": TABLE}


def write(path, n):
    """Write n rows: a Parquet file of one row group, or a CSV file."""
    pyarrow = pytest.importorskip("pyarrow")
    rng, distinct = np.random.default_rng(0), 50_000  # numbers are drawn, and written as text, once
    X = np.tile(rng.normal(size=(distinct, WIDTH)).astype(np.float32).round(3), (-(-n // distinct), 1))[:n]
    table = pyarrow.table({**{f"x{k}": X[:, k] for k in range(WIDTH)}, "y": (X[:, 0] > 0).astype(np.int64)})
    if path.suffix == ".csv":
        pytest.importorskip("pyarrow.csv").write_csv(table, path)
    else:
        pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=n)
    return path


@pytest.mark.full
@on_linux
@pytest.mark.parametrize("ending, nets", [("parquet", "MLP"), ("csv", "MLP"), ("parquet", "TabularMLPClassifier")])
def test_a_fit_adds_no_more_than_the_limit(ending, nets, tmp_path):
    """In a process of its own: rows of 136 to 272 MB within 100 MB."""
    small, large = (write(tmp_path / f"{n}.{ending}", n) for n in (30_000, N))
    assert growth(FIT.format(limit=LIMIT, call=CALLS[nets].strip()), small, large) <= LIMIT
