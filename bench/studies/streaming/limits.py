"""Limits of epochs over a file: the speed of the disk, and the time to read the file and to write as many bytes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from studies.streaming.system import empty_page_cache

BLOCK = 1 << 24  # bytes that the disk is read by


def disk(path: Path) -> dict[str, Any]:
    """Return bytes per second of reading a file, first from the disk, if the page cache could be emptied."""

    def rate() -> float:
        start, buffer = time.perf_counter(), bytearray(BLOCK)
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return path.stat().st_size / (time.perf_counter() - start)

    emptied = empty_page_cache()
    return {"emptied_page_cache": emptied, "bytes_a_second": rate(), "bytes_a_second_again": rate()}


def floor(path: Path) -> dict[str, Any]:
    """Return the seconds to read a file with pyarrow and to write as many bytes."""
    import pyarrow.parquet as pq

    emptied, other = empty_page_cache(), path.with_suffix(".floor")
    start = time.perf_counter()
    with pq.ParquetFile(path) as file, other.open("wb") as out:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            out.write(np.column_stack([table.column(k).to_numpy() for k in range(table.num_columns)]).data)
        out.flush()
        os.fsync(out.fileno())
    seconds = time.perf_counter() - start
    other.unlink()
    return {"emptied_page_cache": emptied, "seconds": seconds}
