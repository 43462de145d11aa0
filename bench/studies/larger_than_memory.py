"""Training on a Parquet file larger than the memory it may take: time per row, memory, and what bounds them.

    python bench/studies/larger_than_memory.py FOLDER [--part NAME ...] [--gigabytes 10] [--rounds 3] [--save FILE]

FOLDER gets the files and the caches of their rows; it needs 30 GB of free disk, and the machine should be idle. As root
the page cache is emptied where a part says so. Results are added to FILE, by default
bench/results/larger_than_memory.json, part by part; bench/tools/stream_report.py makes the table and the picture of the
guide from it. Parts, each of at most a quarter of an hour with 10 GB on a disk of 0.5 GB/s:

make       writes the large file, of 54 columns and a target in float32, for the parts that follow
disk       bytes per second of reading the file from the disk, and from the page cache
floor      seconds to read the file with pyarrow, row group by row group, and to write as many bytes
baseline   a net 54-128-128-1 whose rows are in memory (the first million), and the same net on the file with 600 MB for
           its data. Two processes take turns: some epochs in memory, an epoch over the file, and another one for which
           the page cache was emptied; so --rounds times, after a first epoch, in which the rows are written to the
           cache. Of each epoch: seconds, and bytes that came from the disk and not from the page cache
rows       time per row of files of 1, 10 and 100 million rows, likewise in turns. They have 9 columns and a target,
           4 GB at most, for a net 9-64-64-1 with 32 MB: of 54 columns, 100 million rows would take 22 GB twice
torch      PyTorch: a DataLoader over the file's row groups, an epoch of the same net, cut off after --most seconds
xgboost    XGBoost's external memory on the same rows, by its defaults
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from studies.streaming import fits, limits, peers
from studies.streaming.files import ROWS_OF_GROUP, SIZES, make, row_bytes
from suite.clean_env import start_clean

RESULTS = Path(__file__).resolve().parents[1] / "results" / "larger_than_memory.json"
Part = Callable[[Path, argparse.Namespace], dict[str, Any]]  # the large file, and the options of the command line
IN_A_PROCESS: dict[str, Part] = {  # of their own, for their memory
    "disk": lambda path, _: limits.disk(path),
    "floor": lambda path, _: limits.floor(path),
    "torch": lambda path, settings: peers.torch(path, settings.most),
    "xgboost": lambda path, settings: peers.xgboost(path, settings.xgboost_groups),
}
WITH_WORKERS: dict[str, Part] = {
    "baseline": lambda path, settings: fits.baseline(path, settings.rounds),
    "rows": lambda path, settings: fits.rows(path.parent, settings.rounds),
}
PARTS = ("make", "disk", "floor", "baseline", "rows", "torch", "xgboost")


def result_of(part: str, path: Path, settings: argparse.Namespace) -> dict[str, Any] | None:
    """Return what a part has measured, or None if a library is missing or fails, which is printed."""
    if part in WITH_WORKERS:
        return WITH_WORKERS[part](path, settings)
    done = subprocess.run([sys.executable, *sys.argv, "--one", part], stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def save(part: str, result: dict[str, Any], file: Path) -> None:
    """Add the result of a part to a file, in place of an earlier one."""
    from suite.machine import machine

    from fastmlp.runtime.output_files import write_text

    known = json.loads(file.read_text()) if file.exists() else {}
    described = {"measured": date.today().isoformat(), "machine": machine([]), **result}
    write_text(file, json.dumps({**known, part: described}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=float, default=60.0, help="seconds of PyTorch's epoch")
    parser.add_argument("--xgboost-groups", type=int, default=10**9, help="row groups that XGBoost reads")
    parser.add_argument("--save", type=Path, default=RESULTS, help="file of the results")
    parser.add_argument("--one", choices=IN_A_PROCESS, help=argparse.SUPPRESS)  # measure here, and print JSON
    settings = parser.parse_args()
    start_clean()
    path = settings.folder / "rows.parquet"
    if settings.one:
        return print(json.dumps(IN_A_PROCESS[settings.one](path, settings)))
    settings.folder.mkdir(parents=True, exist_ok=True)
    for part in settings.part:
        start = time.perf_counter()
        if part == "make":
            n_rows = int(settings.gigabytes * 1e9 / row_bytes(SIZES[0])) // ROWS_OF_GROUP * ROWS_OF_GROUP
            make(path, n_rows, SIZES[0])
        elif (result := result_of(part, path, settings)) is not None:
            save(part, result, settings.save)
            print(f"{part}: {json.dumps(result)}")
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
