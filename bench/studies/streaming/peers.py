"""The same rows with other libraries: an epoch of PyTorch, and XGBoost's external memory."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from studies.streaming.files import BATCH, SIZES, features
from studies.streaming.system import largest_resident_bytes


def torch(path: Path, most_seconds: float) -> dict[str, Any]:
    """Return the speed and memory of an epoch of PyTorch over a file's row groups, cut off after some seconds."""
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

    layers = [(torch.nn.Linear(*sizes), torch.nn.ReLU()) for sizes in pairwise(SIZES)]
    net = torch.nn.Sequential(*[module for layer in layers for module in layer][:-1])
    optimizer, start, n = torch.optim.Adam(net.parameters()), time.perf_counter(), 0
    for rows in torch.utils.data.DataLoader(Rows(), batch_size=None):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(rows[:, :-1])[:, 0], rows[:, -1]).backward()
        optimizer.step()
        n += len(rows)
        if (seconds := time.perf_counter() - start) > most_seconds:
            break
    resident = largest_resident_bytes()
    return {"rows": n, "rows_a_second": n / seconds, "largest_resident": resident, "version": torch.__version__}


def xgboost(path: Path, most_groups: int) -> dict[str, Any]:
    """Return the speed and memory of XGBoost's external memory on the first row groups of a file."""
    import pyarrow.parquet as pq
    import xgboost

    class Groups(xgboost.DataIter):
        def __init__(self):
            self.file, self.next_group = pq.ParquetFile(path), 0
            super().__init__(cache_prefix=str(path.with_suffix(".xgboost")))

        def next(self, input_data):
            if self.next_group == min(self.file.num_row_groups, most_groups):
                return 0
            table = self.file.read_row_group(self.next_group)
            X = np.column_stack([table.column(name).to_numpy() for name in features(SIZES[0])])
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
    n, resident = data.num_row(), largest_resident_bytes()
    del data
    for file in path.parent.glob(f"{path.stem}.xgboost*"):
        file.unlink()
    speeds = {"rows_a_second_of_reading": n / read, "rows_a_second_of_a_tree": 10 * n / seconds}
    return {"rows": n, **speeds, "largest_resident": resident, "version": xgboost.__version__}
