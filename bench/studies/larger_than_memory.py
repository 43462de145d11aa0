"""Training on a Parquet file larger than the memory it may take: time per row, memory, and what bounds them.

Run on an otherwise idle machine with twice the file's size of free disk, as root if the page cache shall be emptied:

    python bench/studies/larger_than_memory.py FOLDER [--gigabytes 10] [--epochs 3] [--only NAME ...]

FOLDER gets the file, of 54 columns and a target in float32, and the cache of its rows. Each measurement is a process of
its own:

floor      seconds to read the file with pyarrow, row group by row group, and to write as many bytes
disk       bytes per second of reading the file from the disk, and from the page cache
memory     rows per second of a net 54-128-128-1 whose rows are in memory
fit        the same net on the file with 600 MB for its data: seconds of each epoch, and the largest resident memory
growth     seconds per row of files of 1, 10 and all million rows, in the second epoch
torch      PyTorch: a DataLoader over the file's row groups, an epoch of the same net, cut off after --most seconds
xgboost    XGBoost's external memory on the same rows, by its defaults, cut off likewise
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

N_COLUMNS, ROWS_OF_GROUP, BATCH = 54, 250_000, 1024
ROW_BYTES = 4 * (N_COLUMNS + 1)
SIZES = N_COLUMNS, 128, 128, 1
MEMORY_LIMIT = "600MB"
BLOCK = 1 << 24
FEATURES = [f"x{k}" for k in range(N_COLUMNS)]


def make(path: Path, n_rows: int) -> None:
    """Write a Parquet file with a smooth function of its columns as the target `y`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    direction = rng.normal(size=N_COLUMNS).astype(np.float32) / np.sqrt(N_COLUMNS).astype(np.float32)
    schema = pa.schema([(name, pa.float32()) for name in (*FEATURES, "y")])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, n_rows, ROWS_OF_GROUP):
            X = rng.standard_normal((min(ROWS_OF_GROUP, n_rows - first), N_COLUMNS), dtype=np.float32)
            columns = [*X.T.copy(), np.sin(2 * X @ direction) + X[:, 0] * X[:, 1]]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema), row_group_size=ROWS_OF_GROUP)


def empty_page_cache() -> bool:
    """Empty the page cache, if this process may; return whether it did."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def largest_resident_bytes() -> int:
    """Return VmHWM of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def floor(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
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
    return {"seconds": seconds, "page cache was emptied before": emptied}


def disk(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    def rate() -> float:
        start, buffer = time.perf_counter(), bytearray(BLOCK)
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return path.stat().st_size / (time.perf_counter() - start)

    emptied = empty_page_cache()
    return {"bytes/s from the disk": rate(), "from the page cache": rate(), "page cache was emptied before": emptied}


def new_net() -> Any:
    import fastmlp

    return fastmlp.MLP(SIZES, device="cpu", random_state=0)


def timed_epochs(net: Any, X: Any, y: Any, epochs: int, **further: Any) -> list[float]:
    """Return the seconds of each epoch of a fit."""
    ends = [time.perf_counter()]
    net.fit(
        X,
        y,
        epochs=epochs,
        batch_size=BATCH,
        verbose=0,
        callbacks=lambda *_: ends.append(time.perf_counter()),
        **further,
    )
    return np.diff(ends).tolist()


def memory(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    table = file.read_row_groups(range(min(4, file.num_row_groups)))
    X = np.column_stack([table.column(name).to_numpy() for name in FEATURES])
    y, net = table.column("y").to_numpy(), new_net()
    net.fit(X[:5000], y[:5000], epochs=1, batch_size=BATCH, verbose=0)  # compiled
    seconds = timed_epochs(net, X, y, 5)
    return {"rows/s": len(X) / float(np.median(seconds)), "rows": len(X)}


def fit(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    net, rng = new_net(), np.random.default_rng(0)
    net.fit(
        rng.normal(size=(5000, N_COLUMNS)), rng.normal(size=5000), epochs=1, batch_size=BATCH, verbose=0
    )  # compiled
    before, emptied, rows = largest_resident_bytes(), empty_page_cache(), path.with_suffix(".rows")
    seconds = timed_epochs(net, str(path), "y", settings.epochs, memory_limit=MEMORY_LIMIT, row_cache=str(rows))
    return {
        "seconds of epochs": seconds,
        "VmHWM": largest_resident_bytes(),
        "VmHWM before": before,
        "page cache was emptied before": emptied,
        "loss": float(net.history.loss[-1]),
    }


def growth(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    found = {}
    for n_rows in (1_000_000, 10_000_000):
        part = path.with_name(f"part-{n_rows}.parquet")
        make(part, n_rows)
        seconds = timed_epochs(new_net(), str(part), "y", 3, memory_limit=MEMORY_LIMIT)
        found[f"ns a row, {n_rows:,} rows"] = 1e9 * min(seconds[1:]) / n_rows
        part.unlink()
    return found


def torch(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    import pyarrow.parquet as pq
    import torch

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self):
            file, rng = pq.ParquetFile(path), np.random.default_rng(0)
            for group in rng.permutation(file.num_row_groups):
                table = file.read_row_group(int(group))
                rows = np.column_stack([table.column(k).to_numpy() for k in range(table.num_columns)])
                rows = torch.from_numpy(rows[rng.permutation(len(rows))])
                yield from rows.split(BATCH)

    layers = [
        torch.nn.Linear(54, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 1),
    ]
    net = torch.nn.Sequential(*layers)
    optimizer, start, n = torch.optim.Adam(net.parameters()), time.perf_counter(), 0
    for rows in torch.utils.data.DataLoader(Rows(), batch_size=None):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(rows[:, :-1])[:, 0], rows[:, -1]).backward()
        optimizer.step()
        n += len(rows)
        if (seconds := time.perf_counter() - start) > settings.most:
            break
    return {"rows/s": n / seconds, "rows": n, "VmHWM": largest_resident_bytes(), "torch": torch.__version__}


def xgboost(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    import pyarrow.parquet as pq
    import xgboost

    class Groups(xgboost.DataIter):
        def __init__(self):
            self.file, self.next_group = pq.ParquetFile(path), 0
            super().__init__(cache_prefix=str(path.with_suffix(".xgboost")))

        def next(self, input_data):
            if self.next_group == min(self.file.num_row_groups, settings.xgboost_groups):
                return 0
            table = self.file.read_row_group(self.next_group)
            X = np.column_stack([table.column(name).to_numpy() for name in FEATURES])
            input_data(data=X, label=table.column("y").to_numpy())
            self.next_group += 1
            return 1

        def reset(self):
            self.next_group = 0

    start = time.perf_counter()
    data = xgboost.ExtMemQuantileDMatrix(Groups())
    read = time.perf_counter() - start
    xgboost.train({"tree_method": "hist"}, data, num_boost_round=10)
    seconds = time.perf_counter() - start - read
    for file in path.parent.glob(f"{path.stem}.xgboost*"):
        file.unlink()
    n = data.num_row()
    return {
        "rows": n, "rows/s of reading": n / read, "rows/s of a tree": 10 * n / seconds,
        "VmHWM": largest_resident_bytes(), "xgboost": xgboost.__version__,
    }  # fmt: skip


MEASUREMENTS = {row.__name__: row for row in (disk, floor, memory, fit, growth, torch, xgboost)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--most", type=float, default=60.0, help="seconds of PyTorch's epoch")
    parser.add_argument("--xgboost-groups", type=int, default=10**9, help="row groups that XGBoost reads")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=[*MEASUREMENTS])
    parser.add_argument("--one", choices=MEASUREMENTS, help="measure in this process, and print JSON")
    settings = parser.parse_args()
    path = settings.folder / "rows.parquet"
    if settings.one:
        print(json.dumps(MEASUREMENTS[settings.one](path, settings)))
        return
    settings.folder.mkdir(parents=True, exist_ok=True)
    n_rows = int(settings.gigabytes * 1e9 / ROW_BYTES) // ROWS_OF_GROUP * ROWS_OF_GROUP
    if not path.exists():
        start = time.perf_counter()
        make(path, n_rows)
        print(
            f"{n_rows:,} rows, {path.stat().st_size:,} bytes, written in {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    for name in settings.only:
        done = subprocess.run([sys.executable, *sys.argv, "--one", name], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines() if done.returncode == 0 else done.stderr.strip().splitlines()
        with suppress(ValueError):
            lines = [f"{key}: {value}" for key, value in json.loads(lines[-1]).items()]
        print(f"{name}: {'; '.join(lines[-1:] if done.returncode else lines)}", flush=True)


if __name__ == "__main__":
    main()
