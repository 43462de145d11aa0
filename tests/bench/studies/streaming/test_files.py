"""Files of the study of files larger than memory."""

import numpy as np
import pytest
from studies.streaming.files import first_rows, make, n_rows_of

pytest.importorskip("pyarrow.parquet", reason="the study reads Parquet")


def test_the_first_rows_are_whole_row_groups(tmp_path):
    path = tmp_path / "rows.parquet"
    make(path, 60_000, n_columns=3, rows_of_group=6_000)
    X, y = first_rows(path, 7_000)
    assert X.shape == (12_000, 3)
    assert len(y) == 12_000
    assert np.isfinite(X).all()
    assert first_rows(path, 10**9)[0].shape == (60_000, 3)
    assert n_rows_of(path) == 60_000
