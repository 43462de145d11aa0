"""Fits of fastmlp: on a file beside the same net in memory, and on files of several sizes. Processes take turns."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from studies.streaming.files import SIZES, make, n_rows_of, row_bytes, rows_of
from studies.streaming.system import empty_page_cache
from studies.streaming.turns import Worker

MEMORY_LIMIT = "600MB"  # for the rows of the large file
ROWS_IN_MEMORY, EPOCHS_IN_MEMORY = 1_000_000, 10  # epochs of a turn
# Number of rows of a file, and epochs over it in a turn, which take about as long as for the others.
SERIES, SERIES_SIZES, SERIES_LIMIT = {1_000_000: 20, 10_000_000: 4, 100_000_000: 1}, (9, 64, 64, 1), "32MB"


def baseline(path: Path, n_rounds: int) -> dict[str, Any]:
    """Time epochs in memory and epochs over a file, in turns."""
    n_rows = n_rows_of(path)
    shutil.rmtree(rows_of(path), ignore_errors=True)
    memory = Worker(path, SIZES, n_rounds, EPOCHS_IN_MEMORY, in_memory=ROWS_IN_MEMORY)
    with memory, Worker(path, SIZES, 2 * n_rounds, 1, memory_limit=MEMORY_LIMIT) as streamed:
        at_start, emptied = streamed.at_start["largest_resident"], empty_page_cache()
        first, rounds = streamed.turn(), []
        memory.turn()
        for _ in range(n_rounds):
            round_ = {"in_memory": memory.turn(), "streamed": streamed.turn()}
            if empty_page_cache():
                round_["emptied"] = streamed.turn()
            rounds.append(round_)
            print(f"baseline: {json.dumps({name: turn['seconds'] for name, turn in round_.items()})}", flush=True)
    shutil.rmtree(rows_of(path), ignore_errors=True)
    return {
        "sizes": SIZES,
        "memory_limit": MEMORY_LIMIT,
        "rows": n_rows,
        "rows_in_memory": min(n_rows, ROWS_IN_MEMORY),
        "file_bytes": path.stat().st_size,
        "row_bytes": row_bytes(SIZES[0]),
        "resident_before": at_start,
        "emptied_page_cache": emptied,
        "first_epoch": first,
        "rounds": rounds,
    }


def rows(folder: Path, n_rounds: int) -> dict[str, Any]:
    """Return what epochs over files of several sizes took, in turns; the files are written to the folder."""
    files = {n: folder / f"rows-{n}.parquet" for n in SERIES}
    turns: dict[int, list[dict[str, Any]]] = {n: [] for n in SERIES}
    try:
        with ExitStack() as ends:
            workers = {}
            for n, file in files.items():
                make(file, n, SERIES_SIZES[0])
                shutil.rmtree(rows_of(file), ignore_errors=True)
                worker = Worker(file, SERIES_SIZES, n_rounds, SERIES[n], memory_limit=SERIES_LIMIT)
                workers[n] = ends.enter_context(worker)
                print(f"rows: {n:,}, first epoch {worker.turn()['seconds'][0]:.1f} s", flush=True)
            for _ in range(n_rounds):
                for n, worker in workers.items():
                    turns[n].append(worker.turn())
                    print(f"rows: {n:,}, {min(turns[n][-1]['seconds']) / n * 1e9:.0f} ns a row", flush=True)
    finally:
        for file in files.values():
            shutil.rmtree(rows_of(file), ignore_errors=True)
            file.unlink(missing_ok=True)
    return {
        "sizes": SERIES_SIZES,
        "memory_limit": SERIES_LIMIT,
        "row_bytes": row_bytes(SERIES_SIZES[0]),
        "turns": {str(n): found for n, found in turns.items()},
    }
