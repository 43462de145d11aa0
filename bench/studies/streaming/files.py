"""Parquet files of the study, written with a made-up target, and read; and the net that is trained on the large one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROWS_OF_GROUP = 250_000
SIZES, BATCH = (54, 128, 128, 1), 1024  # of the net that fastmlp and the peers train on the large file


def make(path: Path, n_rows: int, n_columns: int, rows_of_group: int = ROWS_OF_GROUP) -> None:
    """Write a Parquet file with a smooth function of its columns as the target `y`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, names = np.random.default_rng(0), [*features(n_columns), "y"]
    direction = rng.normal(size=n_columns).astype(np.float32) / np.float32(np.sqrt(n_columns))
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, n_rows, rows_of_group):
            X = rng.standard_normal((min(rows_of_group, n_rows - first), n_columns), dtype=np.float32)
            columns = [*X.T.copy(), np.sin(2 * X @ direction) + X[:, 0] * X[:, 1]]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema), row_group_size=rows_of_group)


def features(n_columns: int) -> list[str]:
    return [f"x{k}" for k in range(n_columns)]


def row_bytes(n_columns: int) -> int:
    return 4 * (n_columns + 1)


def n_rows_of(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows


def first_rows(path: Path, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of the first rows of a file, in whole row groups."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups, n = [], 0
        while n < n_rows and len(groups) < file.num_row_groups:
            n += file.metadata.row_group(len(groups)).num_rows
            groups.append(len(groups))
        table = file.read_row_groups(groups)
    X = np.column_stack([table.column(name).to_numpy() for name in table.column_names if name != "y"])
    return X, table.column("y").to_numpy()


def rows_of(path: Path) -> Path:
    """Return the folder of the cache of a file's rows."""
    return path.with_suffix(".rows")
