"""What is fuzzed: readers of files that somebody else may have written, each with the errors that it may raise.

A target takes the bytes of a file and returns what became of it. It raises an error of its own if the file was read in
a way that it should not be: an error without a sentence, another net, parameters that are not finite. A crash, a hang
and memory beyond the limit are noticed by the program that runs it (run.py).
"""

import io
import json
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastmlp
from fastmlp.data.npz import read_npz
from fastmlp.streams.row_file import FORMAT, HEADER, RowFile
from fastmlp.tables.io import read_table

CORPUS = Path(__file__).parent / "corpus"  # files that once were read wrongly, in a folder per target
READ, REFUSED = "read", "refused"
SIZES = (3, 4, 1)
X = np.linspace(-1, 1, 36).reshape(12, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Target(NamedTuple):
    """A reader under test.

    seeds : function () -> valid files, as bytes
    use : function (file, as bytes) -> READ or REFUSED
    """

    seeds: Callable[[], list[bytes]]
    use: Callable[[bytes], str]


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


def _checkpoint():
    path = folder() / "seed.ckpt"
    for old in folder().glob("seed.ckpt*"):
        old.unlink()
    _fit(_net(), X, Y, epochs=2, checkpoint=path, every=1)
    return path.read_bytes()


@cache
def _ends():
    """Return the parameters of a fit of four epochs, which every fit that goes on from a checkpoint must reach."""
    net = _net()
    _fit(net, X, Y)
    return net.params.copy()


def _resume(data):
    path = written(data, "fit.ckpt")
    Path(f"{path}.previous").unlink(missing_ok=True)
    net = _net()
    before = net.params.copy()
    try:
        _fit(net, X, Y, checkpoint=path, resume=True)
    except ValueError as error:
        assert (net.params == before).all(), "a refused checkpoint has changed the net"
        return _sentence(error)
    assert (net.params == _ends()).all(), "a damaged checkpoint has led to another net"
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


TARGETS = {
    "net": Target(_saved_nets, _load),
    "checkpoint": Target(lambda: [_checkpoint()], _resume),
    "rows": Target(lambda: [_header()], _read_rows),
    "csv": Target(lambda: [CSV.encode(), TEXT.encode()], _read_csv),
    "parquet": Target(_parquet_files, _read_parquet),
    "npz": Target(lambda: [_npz()], _read_npz),
}


def use(name, data):
    """Give a file to a target, and return what became of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TARGETS[name].use(data)


def corpus(name):
    """Return the files of a target: valid ones, and those that once were read wrongly."""
    return TARGETS[name].seeds() + [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
