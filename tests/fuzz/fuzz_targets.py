"""What is fuzzed: readers of files that somebody else may have written, each with the errors that it may raise.

A target takes the bytes of a file and returns what became of it. It raises an error of its own if the file was read in
a way that it should not be: an error without a sentence, another net, parameters that are not finite, code that is run
(no_code.py), or more memory than its Memory says.
"""

import gzip
import io
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import no_code
import numpy as np
from fuzz_checkpoints import FITS, checkpoint, resume
from fuzz_files import READ, SIZES, X, Y, fit, folder, sentence, small_net, written

import fastmlp
from fastmlp.kernels.jit.compile_time import compile_seconds
from fastmlp.streams.table_sources import read_table
from fastmlp.table_training.streamed_fit import StreamedFit

CORPUS = Path(__file__).parent / "corpus"  # files that once were read wrongly, in a folder per target


class Memory(NamedTuple):
    """Memory that reading a file may take at its peak: a number of bytes, and so many bytes for each of the file.

    What Python and NumPy allocate is counted, and what pyarrow allocates as far as the memory of the process grows by
    it: its Parquet reader reserves what a page announces, without touching it. The buffers of the CSV parser of pandas
    are not. Compressed files may hold a thousand times their size.
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
    examples : number of mutated files, fewer where one takes many milliseconds
    """

    seeds: Callable[[], list[bytes]]
    use: Callable[[bytes], str]
    memory: Memory
    examples: int = 40


_kept: list = []


# ---- saved nets


def _saved_nets():
    net, pop = small_net(dropout=0.1), fastmlp.Population(SIZES, 5, random_state=0, device="cpu")
    fit(net, X, Y, early_stopping=3, validation_fraction=0.25)
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
        return sentence(error)
    net = getattr(net, "net_", net)
    repr(net)
    outputs = net.predict(np.zeros((2, net.network.n_features)))
    assert outputs.shape[-2] == 2
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
        outcome = sentence(error)
    net = small_net()
    try:
        fit(net, path, "y", epochs=1, memory_limit="2MB")
        assert np.isfinite(net.params).all()
    except (ValueError, fastmlp.DivergenceWarning) as error:
        sentence(error)  # a table that is read may have text, which a net does not take
    return outcome


def _read_gzipped(data):
    path = written(data, "table.csv.gz")
    try:
        table = read_table(path)
        assert len(table.columns) == len(set(table.columns))
    except ValueError as error:
        return sentence(error)
    return READ


def _learn_pieces(path):
    """Train an estimator of tables as if the file were large: it is read in pieces, and its rows are on disk."""
    settings = {"n_nets": 1, "hidden_layer_sizes": (3,), "max_iter": 1, "random_state": 0, "device": "cpu"}
    model = fastmlp.TabularMLPClassifier(validation_fraction=0.0, batch_size=1, **settings)
    may_not_fit = mock.patch("fastmlp.estimators.tabular.source_fit.surely_fits", return_value=False)
    learn = StreamedFit.learn
    too_large = mock.patch.object(StreamedFit, "learn", lambda fit, fraction: learn(fit, fraction) + 10**12)
    on_disk = mock.patch("fastmlp.streams.row_loading.SHARE_IN_MEMORY", 0.0)
    printed = io.StringIO()
    try:
        with may_not_fit, too_large, on_disk, redirect_stderr(printed):
            model.fit(path, "y", memory_limit="1MB")
    except ValueError as error:
        return sentence(error)
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


MB = 2**20
TARGETS = {
    "net": Target(_saved_nets, _load, Memory(4 * MB, 20)),
    **{
        f"{kind}-checkpoint": Target(
            partial(lambda kind: [checkpoint(kind)], kind), partial(resume, kind), Memory(8 * MB, 20)
        )
        for kind in FITS
    },
    "csv": Target(lambda: [CSV.encode(), TEXT.encode()], _read_csv, Memory(16 * MB, 100)),
    "csv.gz": Target(
        lambda: [gzip.compress(text.encode(), mtime=0) for text in (CSV, TEXT)], _read_gzipped, Memory(16 * MB, 5_000)
    ),
    "parquet": Target(_parquet_files, _read_parquet, Memory(16 * MB, 5_000)),
    "csv-pieces": Target(
        lambda: [CSV.encode(), TEXT.encode()],
        lambda data: _learn_pieces(written(data, "pieces.csv")),
        Memory(16 * MB, 100),
        examples=10,
    ),
    "parquet-pieces": Target(
        _parquet_files, lambda data: _learn_pieces(written(data, "pieces.parquet")), Memory(16 * MB, 5_000), examples=10
    ),
}


def use(name, data, measures=True):
    """Give a file to a target, and return what became of it.

    measures : whether memory is measured, for which reading takes several times as long
    """
    target = TARGETS[name]
    with warnings.catch_warnings(), no_code.refused():
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
