"""Training on a Parquet file larger than the memory it may take: seconds and memory, beside rows in memory and PyTorch.

    python bench/studies/larger_than_memory.py FOLDER [--gigabytes 10] [--epochs 3]

FOLDER gets the file and the cache of its rows; 10 GB need 30 GB of free disk, and the machine should be idle. Each
program is a process of its own, for its memory, and trains the same net for some epochs of the rows:

memory     on the first million rows, which are in memory
file       on the file, with 600 MB for its rows; the first epoch also writes the cache. As root, the page cache is
           emptied before, and before the last epoch
torch      by PyTorch, with a DataLoader over the row groups, cut off after a minute

Prints the rows per second of each epoch, and the largest resident memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean
from suite.worker import peak_memory

SIZES, BATCH, MEMORY_LIMIT = (54, 128, 128, 1), 1024, "600MB"
ROWS_OF_GROUP, ROWS_IN_MEMORY, MOST_SECONDS = 250_000, 1_000_000, 60.0


def make(path: Path, n_rows: int) -> None:
    """Write a Parquet file with a smooth function of its columns as the target `y`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, names = np.random.default_rng(0), [*(f"x{k}" for k in range(SIZES[0])), "y"]
    direction = rng.normal(size=SIZES[0]).astype(np.float32) / np.float32(np.sqrt(SIZES[0]))
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, n_rows, ROWS_OF_GROUP):
            X = rng.standard_normal((min(ROWS_OF_GROUP, n_rows - first), SIZES[0]), dtype=np.float32)
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


class Epochs:
    """Callback that prints the speed of each epoch."""

    def __init__(self, n_rows: int, epochs: int):
        self.n_rows, self.last, self.start = n_rows, epochs - 1, time.perf_counter()

    def __call__(self, epoch: int, history: Any) -> None:
        speed = self.n_rows / (time.perf_counter() - self.start)
        emptied = epoch == self.last and empty_page_cache()
        print(f"  epoch {epoch}: {speed:,.0f} rows per second{'; page cache emptied' * emptied}", flush=True)
        self.start = time.perf_counter()


def fastmlp_fit(path: Path, epochs: int, in_memory: bool) -> None:
    import pyarrow.parquet as pq

    import fastmlp

    net = fastmlp.MLP(SIZES, device="cpu", random_state=0)
    net.fit(np.ones((BATCH, SIZES[0])), np.ones(BATCH), epochs=1, batch_size=BATCH, verbose=0)  # compiles
    fit: dict[str, Any] = {"epochs": epochs, "batch_size": BATCH, "verbose": 0}
    with pq.ParquetFile(path) as file:
        n_rows = file.metadata.num_rows
        if in_memory:
            groups = [*range(min(ROWS_IN_MEMORY // ROWS_OF_GROUP, file.num_row_groups))]
            rows = np.column_stack([column.to_numpy() for column in file.read_row_groups(groups).columns])
    if in_memory:
        net.fit(rows[:, :-1], rows[:, -1], callbacks=Epochs(len(rows), epochs), **fit)
        return
    print(f"  resident memory before the fit: {peak_memory() / 1e9:.2f} GB")
    empty_page_cache()
    net.fit(str(path), "y", callbacks=Epochs(n_rows, epochs), memory_limit=MEMORY_LIMIT, **fit)


def torch_fit(path: Path) -> None:
    import pyarrow.parquet as pq
    import torch

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self):
            file, rng = pq.ParquetFile(path), np.random.default_rng(0)
            for group in rng.permutation(file.num_row_groups):
                rows = np.column_stack([column.to_numpy() for column in file.read_row_group(int(group)).columns])
                yield from torch.from_numpy(rows[rng.permutation(len(rows))]).split(BATCH)

    layers = [(torch.nn.Linear(*sizes), torch.nn.ReLU()) for sizes in pairwise(SIZES)]
    net = torch.nn.Sequential(*[module for layer in layers for module in layer][:-1])
    optimizer, start, n = torch.optim.Adam(net.parameters()), time.perf_counter(), 0
    for rows in torch.utils.data.DataLoader(Rows(), batch_size=None):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(rows[:, :-1])[:, 0], rows[:, -1]).backward()
        optimizer.step()
        n += len(rows)
        if time.perf_counter() - start > MOST_SECONDS:
            break
    print(f"  {n / (time.perf_counter() - start):,.0f} rows per second, PyTorch {torch.__version__}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--one", choices=("memory", "file", "torch"), help="run this program only, in this process")
    options = parser.parse_args()
    start_clean()
    path = options.folder / "rows.parquet"
    if options.one:
        torch_fit(path) if options.one == "torch" else fastmlp_fit(path, options.epochs, options.one == "memory")
        print(f"  largest resident memory: {peak_memory() / 1e9:.2f} GB")
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    n_groups = max(1, int(options.gigabytes * 1e9 / (4 * (SIZES[0] + 1))) // ROWS_OF_GROUP)
    make(path, n_groups * ROWS_OF_GROUP)
    for name in ("memory", "file", "torch"):
        print(f"{name}:", flush=True)
        subprocess.run([sys.executable, *sys.argv, "--one", name], check=False)


if __name__ == "__main__":
    main()
