"""SIGKILL while a fit writes its rows into a row cache: the next fit finds all rows or none."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.streams import row_file
from fastmlp.streams.row_file import RowFile

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

N = 40_000  # rows of 16 bytes, which do not fit into half of the memory limit
FIT = {"epochs": 1, "batch_size": 100, "verbose": 0, "memory_limit": 1_000_000}
PROGRAM = """
import os, signal, sys
import fastmlp
from fastmlp.streams import row_file
from fastmlp.streams.row_file import RowFileWriter

file, cache, moment, number = *sys.argv[1:4], int(sys.argv[4])
calls = []


def dies(function):
    "Return a function that is killed when it is called for the last time, or after that call."
    def called(*arguments):
        calls.append(function)
        if len(calls) == number and moment != "renamed":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments)
        if moment == "renamed":
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called


if moment == "write":
    RowFileWriter.write = dies(RowFileWriter.write)
elif moment == "fsync":
    os.fsync = dies(os.fsync)
else:
    os.rename = dies(os.rename)
net = fastmlp.MLP((3, 1), random_state=0, device="cpu")
net.fit(file, "y", row_cache=cache, FIT)
""".replace("FIT", ", ".join(f"{name}={value}" for name, value in FIT.items()))
# The number of the call that is killed: of some pieces of rows; of X, Y, the header and the folder; of one folder.
MOMENTS = [("write", 3), ("fsync", 1), ("fsync", 3), ("rename", 1), ("renamed", 1)]


@pytest.fixture
def file(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    import pyarrow

    columns = dict(zip("abcy", np.random.default_rng(0).normal(size=(4, N)).astype(np.float32), strict=True))
    parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet", row_group_size=5_000)
    return tmp_path / "rows.parquet"


@pytest.mark.full
def test_a_fit_after_killed_ones_has_the_same_bits(file, tmp_path, is_long, count):
    def fitted(cache):
        net = MLP((3, 1), random_state=0, device="cpu")
        net.fit(file, "y", row_cache=cache, **FIT)
        return net.params

    expected, cache = fitted(None), tmp_path / "cache"
    moments = [("write", number) for number in range(1, 9)] + MOMENTS if is_long else MOMENTS
    for moment, number in moments:
        command = [sys.executable, "-c", PROGRAM, file, cache, moment, number]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL, done.stderr
        (left,) = cache.iterdir()
        assert (left.suffix == ".partial") == (moment != "renamed")
        if moment == "renamed":
            RowFile(left, (3, 1), np.dtype("f4")).close()
            before = os.stat(left / row_file.X_FILE).st_ino
        np.testing.assert_array_equal(fitted(cache), expected)  # a warning would be an error
        (kept,) = (path for path in cache.iterdir() if path.suffix == "")
        if moment == "renamed":
            assert os.stat(kept / row_file.X_FILE).st_ino == before, "the rows were read again"
        shutil.rmtree(cache)
    count("kills of a fit that writes a row cache", len(moments))
