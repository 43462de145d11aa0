"""Fuzzing: valid files, those of the corpus, and 10 or 40 of each target that Hypothesis mutates, with --long 50 times.

And small files that would take much memory if they were read whole.
"""

import gzip
import os
import pickle
import socket
import subprocess
import sys
import zlib
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import fuzz_targets
import no_code
import numpy as np
import pytest
from fuzz_files import READ, REFUSED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastmlp
from fastmlp.streams.table_sources import read_table

MOST_TIME = timedelta(seconds=20)  # for one file
MEASURED = 10  # of so many files the memory of one is measured, which takes several times as long
NUMBERS = st.tuples(st.integers(0, 2**31), st.integers(0, 6), st.binary(min_size=1, max_size=8))


def mutated(data, changes):
    """Return data after some changes (place, kind, bytes): overwrite, insert, remove, cut off, repeat, flip a bit."""
    data = bytearray(data)
    for place, kind, piece in changes:
        at = place % (len(data) + 1)
        if kind <= 1:
            data[at : at + len(piece)] = piece
        elif kind == 2:
            data[at:at] = piece
        elif kind == 3:
            del data[at : at + len(piece)]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[at : at + 50 * len(piece)]
        elif at < len(data):
            data[at] ^= 1 << (piece[0] % 8)
    return bytes(data)


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_valid_files_are_read(name):
    (data, *_) = fuzz_targets.TARGETS[name].seeds()
    assert fuzz_targets.use(name, data, measures=False) == READ
    assert fuzz_targets.use(name, data) == READ, "within its memory, now that modules are loaded"


RUN_CODE = {
    "pickle": lambda: pickle.loads(b"cos\nsystem\n."),
    "program": lambda: subprocess.run(["true"], check=False),
    "shell": lambda: os.system("true"),
    "connection": lambda: socket.socket().close(),
}


@pytest.mark.parametrize("name", RUN_CODE)
def test_code_is_refused_while_a_file_is_read(name):
    """Also where what reads the file catches the first error."""
    with pytest.raises(AssertionError), no_code.refused(), suppress(RuntimeError):
        RUN_CODE[name]()


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_mutated_files_are_read_or_refused_with_a_sentence_within_their_memory(name, count, is_long):
    target, files, found = fuzz_targets.TARGETS[name], fuzz_targets.corpus(name), Counter()
    for data in files:
        fuzz_targets.use(name, data, measures=False)  # which loads modules
        fuzz_targets.use(name, data)

    given_once = {
        "derandomize": True,
        "database": None,
        "deadline": MOST_TIME,
        "suppress_health_check": list(HealthCheck),
    }

    @settings(max_examples=target.examples * (50 if is_long else 1), **given_once)
    @given(st.integers(0, len(files) - 1), st.lists(NUMBERS, min_size=1, max_size=4))
    def check(number, changes):
        data = mutated(files[number], changes)
        found[fuzz_targets.use(name, data, measures=zlib.crc32(data) % MEASURED == 0)] += 1

    check()
    assert found[REFUSED] > target.examples // 8
    count(f"mutated files of the kind {name}", sum(found.values()))


LARGE = """
import resource, sys
from fastmlp import TabularMLPRegressor
from fastmlp.streams.table_sources import read_table

small, large = sys.argv[1:]


def fit(path):
    model = TabularMLPRegressor(n_nets=1, hidden_layer_sizes=(3,), max_iter=1, random_state=0, device="cpu")
    return model.fit(path, "y", memory_limit="8MB")


fit(small)  # loads modules and kernels
with open("/proc/self/status") as file:
    n_bytes = 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmData:"))
ALLOWED = 96 * 2**20  # with room for the stacks of new threads
resource.setrlimit(resource.RLIMIT_DATA, (n_bytes + ALLOWED, resource.RLIM_INFINITY))
print(fit(large).n_iter_, flush=True)
resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
if read_table(large).memory_usage().sum() > ALLOWED:
    print("its rows do not fit", flush=True)
"""


@pytest.fixture(params=["csv.gz", "parquet"])
def tables(request, tmp_path):
    """Paths of a small table, and of one whose rows take 130 MB and whose file takes less than a hundredth of that."""
    pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
    rng, paths = np.random.default_rng(0), []
    frame = pd.DataFrame({"a": rng.normal(size=1000).round(3), "b": rng.integers(0, 9, 1000) / 8})
    frame["y"] = (frame.a * frame.b).round(3)
    for times in (40, 5_500):
        paths.append(tmp_path / f"{times}.{request.param}")
        if request.param == "parquet":
            pd.concat([frame] * times, ignore_index=True).to_parquet(paths[-1], compression="zstd")
        else:
            header, _, rows = frame.to_csv(index=False).partition("\n")
            paths[-1].write_bytes(gzip.compress(f"{header}\n{rows * times}".encode(), mtime=0))
    assert paths[1].stat().st_size < 1_300_000
    return paths


@pytest.mark.full
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory of a process as Linux counts it")
def test_small_files_that_expand_are_read_in_pieces(tables):
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    command = [sys.executable, "-c", LARGE, *map(str, tables)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (0, "1\nits rows do not fit\n"), done.stderr[-3000:]


def test_a_line_of_a_gzipped_file_that_is_huge_is_refused(tmp_path):
    path = tmp_path / "table.csv.gz"

    def read():
        with pytest.raises(ValueError, match="one of its lines has more than 10,000,000 bytes"):
            read_table(path)

    for before in (b"", b"a,b\n" + b"1,2\n" * 500):
        path.write_bytes(gzip.compress(before + b"1" * 100_000_000, 1))
        assert path.stat().st_size < 1_000_000
        read()  # loads modules
        _, n_bytes = fuzz_targets.with_peak(read)
        assert n_bytes < 60_000_000
