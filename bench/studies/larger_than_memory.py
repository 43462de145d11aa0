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
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

RESULTS = Path(__file__).resolve().parents[1] / "results" / "larger_than_memory.json"
ROWS_OF_GROUP, BATCH = 250_000, 1024
BLOCK = 1 << 24  # bytes that the disk is read by
SIZES, MEMORY_LIMIT = (54, 128, 128, 1), "600MB"  # of the large file's net
ROWS_IN_MEMORY, EPOCHS_IN_MEMORY = 1_000_000, 10  # epochs of a turn
# Number of rows of a file, and epochs over it in a turn, which take about as long as for the others.
SERIES, SERIES_SIZES, SERIES_LIMIT = {1_000_000: 20, 10_000_000: 4, 100_000_000: 1}, (9, 64, 64, 1), "32MB"


def make(path: Path, n_rows: int, n_columns: int = SIZES[0], rows_of_group: int = ROWS_OF_GROUP) -> None:
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


# ---- what the system says


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
    return _number(Path("/proc/self/status"), "VmHWM") * 1024


def bytes_from_disk() -> int:
    """Return the bytes that the disk has read for this process, without those that were in the page cache."""
    return _number(Path("/proc/self/io"), "read_bytes")


def _number(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


# ---- fits that take turns


class Turns:
    """Callback of a fit that prints what each turn took, and waits for the next one.

    The first turn is an epoch, and each later one `epochs_a_turn` epochs.
    """

    def __init__(self, epochs_a_turn: int):
        self._epochs = epochs_a_turn
        self._wait({"largest_resident": largest_resident_bytes()})

    def _wait(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), flush=True)
        if not sys.stdin.readline():  # there is no further turn
            raise SystemExit
        self._seconds: list[float] = []
        self._from_disk, self._start = bytes_from_disk(), time.perf_counter()

    def __call__(self, epoch: int, history: Any) -> None:
        now = time.perf_counter()
        self._seconds.append(now - self._start)
        self._start = now
        if epoch % self._epochs == 0:
            from_disk = bytes_from_disk() - self._from_disk
            self._wait({
                "seconds": self._seconds,
                "bytes_from_disk": from_disk,
                "largest_resident": largest_resident_bytes(),
            })  # fmt: skip


def work(data: str, sizes: list[int], turns: int, epochs_a_turn: int, in_memory: int, memory_limit: str) -> None:
    """Train a net in turns.

    data : path of a Parquet file
    turns : number of turns after the first one
    in_memory : number of rows that are trained on in memory, the first ones of the file; 0 for all, read from disk
    """
    import fastmlp

    net, rng = fastmlp.MLP(tuple(sizes), device="cpu", random_state=0), np.random.default_rng(0)
    few = rng.normal(size=(5000, sizes[0])), rng.normal(size=5000)
    fit: dict[str, Any] = {"batch_size": BATCH, "verbose": 0}
    net.fit(*few, epochs=1, **fit)  # compiles
    fit["epochs"] = 1 + turns * epochs_a_turn
    if in_memory:
        samples = first_rows(Path(data), in_memory)
        net.fit(*samples, callbacks=Turns(epochs_a_turn), **fit)
    else:
        rows = {"memory_limit": memory_limit, "row_cache": rows_of(Path(data))}
        net.fit(data, "y", callbacks=Turns(epochs_a_turn), **rows, **fit)


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


class Worker:
    """A process that trains in turns; the arguments are those of `work`. As a context, it ends at the end."""

    def __init__(self, data: Path, sizes: tuple[int, ...], turns: int, epochs_a_turn: int, **further: Any):
        task = {"data": str(data), "sizes": sizes, "turns": turns, "epochs_a_turn": epochs_a_turn, **further}
        command = [sys.executable, __file__, "--work", json.dumps({"in_memory": 0, "memory_limit": "", **task})]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.at_start = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def turn(self) -> dict[str, Any]:
        """Return what the next turn took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"a fit ended with status {self._process.returncode}; its error is above")
        return json.loads(line)


# ---- parts


def disk(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    def rate() -> float:
        start, buffer = time.perf_counter(), bytearray(BLOCK)
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return path.stat().st_size / (time.perf_counter() - start)

    emptied = empty_page_cache()
    return {"emptied_page_cache": emptied, "bytes_a_second": rate(), "bytes_a_second_again": rate()}


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
    return {"emptied_page_cache": emptied, "seconds": seconds}


def baseline(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    n_rows, turns = n_rows_of(path), settings.rounds
    shutil.rmtree(rows_of(path), ignore_errors=True)
    memory = Worker(path, SIZES, turns, EPOCHS_IN_MEMORY, in_memory=ROWS_IN_MEMORY)
    with memory, Worker(path, SIZES, 2 * turns, 1, memory_limit=MEMORY_LIMIT) as streamed:
        at_start, emptied = streamed.at_start["largest_resident"], empty_page_cache()
        first, rounds = streamed.turn(), []
        memory.turn()
        for _ in range(turns):
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


def rows(path: Path, settings: argparse.Namespace) -> dict[str, Any]:
    files = {n: path.with_name(f"rows-{n}.parquet") for n in SERIES}
    turns: dict[int, list[dict[str, Any]]] = {n: [] for n in SERIES}
    try:
        with ExitStack() as ends:
            workers = {}
            for n, file in files.items():
                make(file, n, SERIES_SIZES[0])
                shutil.rmtree(rows_of(file), ignore_errors=True)
                worker = Worker(file, SERIES_SIZES, settings.rounds, SERIES[n], memory_limit=SERIES_LIMIT)
                workers[n] = ends.enter_context(worker)
                print(f"rows: {n:,}, first epoch {worker.turn()['seconds'][0]:.1f} s", flush=True)
            for _ in range(settings.rounds):
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
    resident = largest_resident_bytes()
    return {"rows": n, "rows_a_second": n / seconds, "largest_resident": resident, "version": torch.__version__}


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


def n_rows_of(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows


IN_A_PROCESS = {row.__name__: row for row in (disk, floor, torch, xgboost)}  # of their own, for their memory
WITH_WORKERS = {row.__name__: row for row in (baseline, rows)}
PARTS = ("make", "disk", "floor", "baseline", "rows", "torch", "xgboost")


def result_of(part: str, path: Path, settings: argparse.Namespace) -> dict[str, Any] | None:
    """Return what a part has measured, or None if a library is missing or fails, which is printed."""
    if part in WITH_WORKERS:
        return WITH_WORKERS[part](path, settings)
    done = subprocess.run([sys.executable, *sys.argv, "--one", part], stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def save(part: str, result: dict[str, Any], file: Path) -> None:
    """Add the result of a part to a file, in place of an earlier one."""
    from fastmlp.benchmarks.machine import machine
    from fastmlp.output_files import write_text

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
    parser.add_argument("--work", help=argparse.SUPPRESS)  # arguments of `work`, as JSON
    settings = parser.parse_args()
    start_clean()
    path = settings.folder / "rows.parquet"
    if settings.work:
        return work(**json.loads(settings.work))
    if settings.one:
        return print(json.dumps(IN_A_PROCESS[settings.one](path, settings)))
    settings.folder.mkdir(parents=True, exist_ok=True)
    for part in settings.part:
        start = time.perf_counter()
        if part == "make":
            n_rows = int(settings.gigabytes * 1e9 / row_bytes(SIZES[0])) // ROWS_OF_GROUP * ROWS_OF_GROUP
            make(path, n_rows)
        elif (result := result_of(part, path, settings)) is not None:
            save(part, result, settings.save)
            print(f"{part}: {json.dumps(result)}")
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
