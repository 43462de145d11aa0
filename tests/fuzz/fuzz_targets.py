"""What is fuzzed: readers of files that somebody else may have written, each with the errors that it may raise.

A target takes the bytes of a file and returns what became of it. It raises an error of its own if the file was read in
a way that it should not be: an error without a sentence, another net, parameters that are not finite, or more memory
than its Memory says. A crash and a hang are noticed by the program that runs it (run.py).
"""

import gzip
import io
import json
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

import fastmlp
from fastmlp.data.npz import read_npz
from fastmlp.kernels.jit.compile_time import compile_seconds
from fastmlp.streams.row_file import FORMAT, HEADER, RowFile
from fastmlp.tables.io import read_table

CORPUS = Path(__file__).parent / "corpus"  # files that once were read wrongly, in a folder per target
READ, REFUSED = "read", "refused"
SIZES = (3, 4, 1)
X = np.linspace(-1, 1, 36).reshape(12, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Memory(NamedTuple):
    """Memory that reading a file may take at its peak: a number of bytes, and so many bytes for each of the file.

    What Python and NumPy allocate is counted, and what pyarrow allocates as far as the memory of the process grows by
    it: its Parquet reader reserves what a page announces, without touching it. The buffers of the CSV parser of pandas
    are not: only the limit of the process in run.py bounds them.
    Compressed files may hold a thousand times their size.
    """

    base: int
    each: int

    def of(self, data: bytes) -> int:
        return self.base + self.each * len(data)


class Target(NamedTuple):
    """A reader under test.

    seeds : function () -> valid files, as bytes
    use : function (file, as bytes) -> READ or REFUSED
    memory : Memory
    runs : number of files in a long run
    examples : number of mutated files in a run of the suite, fewer where one takes many milliseconds
    """

    seeds: Callable[[], list[bytes]]
    use: Callable[[bytes], str]
    memory: Memory
    runs: int = 20_000
    examples: int = 80


@cache
def folder():
    """Return a folder of this process, which is removed at its end."""
    made = tempfile.TemporaryDirectory(prefix="fastmlp-fuzz-")
    _kept.append(made)
    return Path(made.name)


_kept: list = []


def written(data, name):
    path = folder() / name
    path.write_bytes(data)
    return path


def _sentence(error):
    text = str(error)
    assert len(text.split()) > 4, f"no sentence: {text!r}"
    return REFUSED


def _net(**settings):
    return fastmlp.MLP(SIZES, loss="binary_cross_entropy", random_state=0, device="cpu", **settings)


def _fit(net, *data, epochs=4, **options):
    return net.fit(*data, epochs=epochs, batch_size=5, optimizer="adam", verbose=0, **options)


# ---- saved nets


def _saved_nets():
    net, pop = _net(dropout=0.1), fastmlp.Population(SIZES, 5, random_state=0, device="cpu")
    _fit(net, X, Y, early_stopping=3, validation_fraction=0.25)
    pop.fit(X, Y, epochs=3, verbose=0)
    files = []
    for made in (net, pop):
        made.save(folder() / "seed.safetensors")
        files.append((folder() / "seed.safetensors").read_bytes())
    return files


def _load(data):
    path = written(data, "net.safetensors")
    try:
        net = fastmlp.load(path, device="cpu")
    except ValueError as error:
        return _sentence(error)
    net = getattr(net, "net_", net)
    repr(net)
    outputs = net.predict(np.zeros((2, net.network.n_features)))
    assert outputs.shape[-2] == 2
    return READ


# ---- checkpoints


class Fit(NamedTuple):
    """A fit with checkpoints.

    begin : function (options of the checkpoint) that fits a part of the way
    finish : function (options) that fits to the end, and returns the numbers that it must reach
    """

    begin: Callable[[dict], object]
    finish: Callable[[dict], np.ndarray]


def _finish_net(options):
    net = _net()
    with _unchanged_if_refused(net):
        _fit(net, X, Y, **options)
    return net.params


def _population(options):
    pop = fastmlp.Population(SIZES, 18, loss="binary_cross_entropy", random_state=0, device="cpu")
    with _unchanged_if_refused(pop):
        pop.fit(X, Y, epochs=12, batch_size=5, converged=0.6, verbose=0, **options)
    return pop.params


@contextmanager
def _unchanged_if_refused(net):
    before = net.params.copy()
    try:
        yield
    except ValueError:
        assert (net.params == before).all(), "a refused checkpoint has changed the net"
        raise


def _part_of_population(options):
    """Fit until the second checkpoint is written."""
    from fastmlp.persistence import checkpoints

    write, written_files = checkpoints.write, []

    def write_two(*arguments, **names):
        write(*arguments, **names)
        written_files.append(arguments)
        if len(written_files) == 2:
            raise KeyboardInterrupt

    with mock.patch.object(checkpoints, "write", write_two):
        _population(options)


def _sweep(options):
    space = {"hidden_layer_sizes": [(2,), (3,)], "learning_rate": [0.01, 0.1]}
    fixed = {"n": 4, "cv": 2, "epochs": 2, "batch_size": 4, "random_state": 1, "device": "cpu", "verbose": 0}
    return fastmlp.sweep(X, Y, space, **fixed, **options).fold_scores


def _part_of_sweep(options):
    """Search until the first population is finished."""
    from fastmlp.sweeps.search import Search

    train = Search._train

    def train_one(search, group, *others):
        if search._is_finished.any():
            raise KeyboardInterrupt
        train(search, group, *others)

    with mock.patch.object(Search, "_train", train_one):
        _sweep(options)


FITS = {
    "net": Fit(lambda options: _fit(_net(), X, Y, epochs=2, **options), _finish_net),
    "population": Fit(_part_of_population, _population),
    "sweep": Fit(_part_of_sweep, _sweep),
}


def _forget_checkpoints(name):
    for old in folder().glob(f"{name}*"):
        old.unlink()


def _checkpoint(kind):
    _forget_checkpoints("seed.ckpt")
    FITS[kind].begin({"checkpoint": folder() / "seed.ckpt", "every": 1})
    return (folder() / "seed.ckpt").read_bytes()


@cache
def _end(kind):
    """Return the numbers of a fit without interruption, which each that goes on from a checkpoint must reach."""
    return FITS[kind].finish({}).copy()


def _resume(kind, data):
    _forget_checkpoints("fit.ckpt")
    path = written(data, "fit.ckpt")
    try:
        found = FITS[kind].finish({"checkpoint": path, "resume": True})
    except ValueError as error:
        return _sentence(error)
    assert (found == _end(kind)).all(), "a damaged checkpoint has led to other numbers"
    return READ


# ---- caches of rows


def _header():
    _write_rows()
    return (folder() / "row" / HEADER).read_bytes()


def _write_rows():
    made = folder() / "row"
    if not made.exists():
        made.mkdir()
        (made / "X.bin").write_bytes(X.tobytes())
        (made / "Y.bin").write_bytes(Y.astype("f4").tobytes())
        header = {"format": FORMAT, "n_samples": 12, "n_features": 3, "n_outputs": 1, "dtype": "<f4", "metric": 1}
        header["crc32"] = [0, 0]
        (made / HEADER).write_text(json.dumps(header))


def _read_rows(data):
    _write_rows()
    (folder() / "row" / HEADER).write_bytes(data)
    try:
        rows = RowFile(folder() / "row", is_temporary=False)
    except ValueError as error:
        return _sentence(error)
    with rows:
        inputs = np.empty((rows.n_samples, rows.widths[0]), rows.dtype)
        targets = np.empty((rows.n_samples, rows.widths[1]), rows.dtype)
        rows.read(0, inputs, targets)
    return READ


# ---- tables

CSV = "a,b,c,y\n" + "".join(f"{a:.3f},{b:.3f},{c:.3f},{y}\n" for (a, b, c), y in zip(X, Y, strict=True))
TEXT = "number,kind,when,y\n1.5,red,2020-01-01,yes\n,blue,2021-02-03,no\n2,red,,yes\n-1e9,,2020-12-31,no\n"


def _read_csv(data):
    return _read_tables(written(data, "table.csv"))


def _read_parquet(data):
    return _read_tables(written(data, "table.parquet"))


def _read_tables(path):
    outcome = READ
    try:
        table = read_table(path)
        assert len(table.columns) == len(set(table.columns))
    except ValueError as error:
        outcome = _sentence(error)
    net = _net()
    try:
        _fit(net, path, "y", epochs=1, memory_limit="2MB")
        assert np.isfinite(net.params).all()
    except (ValueError, fastmlp.DivergenceWarning) as error:
        outcome = _sentence(error)
    return outcome


def _read_gzipped(data):
    path = written(data, "table.csv.gz")
    try:
        table = read_table(path)
        assert len(table.columns) == len(set(table.columns))
    except ValueError as error:
        return _sentence(error)
    return READ


def _learn_pieces(path):
    """Train an estimator of tables as if the file were large: it is read in pieces, and its rows are on disk."""
    settings = {"n_nets": 1, "hidden_layer_sizes": (3,), "max_iter": 1, "random_state": 0, "device": "cpu"}
    model = fastmlp.TabularMLPClassifier(validation_fraction=0.0, batch_size=1, **settings)
    may_not_fit = mock.patch("fastmlp.estimators.tabular.streams.surely_fits", return_value=False)
    too_large = mock.patch("fastmlp.estimators.tabular.streams.bytes_in_memory", return_value=10**12)
    on_disk = mock.patch("fastmlp.streams.loading.SHARE_IN_MEMORY", 0.0)
    printed = io.StringIO()
    try:
        with may_not_fit, too_large, on_disk, redirect_stderr(printed):
            model.fit(path, "y", memory_limit="1MB")
    except ValueError as error:
        return _sentence(error)
    except AssertionError as error:
        if "rows of one batch" in str(error):  # a single row, which only this test keeps on disk
            return READ
        raise
    assert "read from disk in each epoch" in printed.getvalue(), "the table was read as a whole"
    assert np.isfinite(model.net_.params).all()
    return READ


def _parquet_files():
    import pandas as pd

    files = []
    for table in (pd.read_csv(io.StringIO(CSV)), pd.read_csv(io.StringIO(TEXT))):
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        files.append(buffer.getvalue())
    return files


def _npz():
    buffer = io.BytesIO()
    np.savez(buffer, X=X, y=Y)
    return buffer.getvalue()


def _read_npz(data):
    try:
        arrays = read_npz(written(data, "samples.npz"), ("X", "y"))
    except ValueError as error:
        return _sentence(error)
    assert all(array.dtype != object for array in arrays.values())
    return READ


MB = 2**20
# FIGURE: memory and number of examples of "-pieces" and "sweep-checkpoint" are estimates.
TARGETS = {
    "net": Target(_saved_nets, _load, Memory(4 * MB, 20)),
    **{
        f"{kind}-checkpoint": Target(
            partial(lambda kind: [_checkpoint(kind)], kind), partial(_resume, kind), Memory(8 * MB, 20), runs, examples
        )
        for kind, runs, examples in (("net", 20_000, 80), ("population", 5_000, 80), ("sweep", 5_000, 20))
    },
    "rows": Target(lambda: [_header()], _read_rows, Memory(4 * MB, 20)),
    "csv": Target(lambda: [CSV.encode(), TEXT.encode()], _read_csv, Memory(16 * MB, 100)),
    "csv.gz": Target(
        lambda: [gzip.compress(text.encode(), mtime=0) for text in (CSV, TEXT)], _read_gzipped, Memory(16 * MB, 5_000)
    ),
    "parquet": Target(_parquet_files, _read_parquet, Memory(16 * MB, 5_000)),
    "csv-pieces": Target(
        lambda: [CSV.encode(), TEXT.encode()],
        lambda data: _learn_pieces(written(data, "pieces.csv")),
        Memory(16 * MB, 100),
        runs=2_000,
        examples=20,
    ),
    "parquet-pieces": Target(
        _parquet_files,
        lambda data: _learn_pieces(written(data, "pieces.parquet")),
        Memory(16 * MB, 5_000),
        runs=2_000,
        examples=20,
    ),
    "npz": Target(lambda: [_npz()], _read_npz, Memory(4 * MB, 5_000)),
}


def use(name, data, measures=True):
    """Give a file to a target, and return what became of it.

    measures : whether memory is measured, for which reading takes several times as long
    """
    target = TARGETS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not measures:
            return target.use(data)
        compiled = compile_seconds()
        outcome, n_bytes = with_peak(lambda: target.use(data))
    most = target.memory.of(data)
    if compile_seconds() == compiled:  # a compiler takes memory of its own
        assert n_bytes <= most, f"{len(data):,} bytes took {n_bytes:,} of memory at the peak, more than {most:,}"
    return outcome


def with_peak(function):
    """Return (result of a function, the most bytes that it had allocated at a time, as Memory counts them)."""
    import pyarrow

    pool = pyarrow.proxy_memory_pool(_pool())
    _kept.append(pool)  # arrays may still belong to it
    pyarrow.set_memory_pool(pool)
    before = _resident(resets=True)
    tracemalloc.start()
    try:
        result = function()
        n_bytes, grown = tracemalloc.get_traced_memory()[1], _resident() - before
        return result, n_bytes + min(pool.max_memory(), max(grown, 0))
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(_pool())


def _resident(resets=False):
    """Return the most bytes that this process has had in memory since the last reset, or infinity without /proc.

    resets : begin to measure anew, from the present size
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0 if resets else np.inf
    if resets:
        Path("/proc/self/clear_refs").write_text("5")
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


@cache
def _pool():
    import pyarrow

    return pyarrow.default_memory_pool()


def corpus(name):
    """Return the files of a target: valid ones, and those that once were read wrongly."""
    return TARGETS[name].seeds() + [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
