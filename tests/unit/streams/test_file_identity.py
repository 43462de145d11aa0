"""Identity of files: their content, wherever they are and whenever they were written."""

import os
import shutil

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.streams import file_identity
from fastmlp.streams.file_identity import identity_of, stamps_of


def rewrite(path, change):
    """Change the bytes of a file, and set its times back; change : function (bytearray), which keeps the length"""
    before, content = path.stat(), bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def flip(place):
    def change(content):
        content[place] ^= 1

    return change


@pytest.fixture(params=["whole", "blocks"])
def path(request, rng, tmp_path, monkeypatch):
    """A file that is read as a whole, and one of which 64 blocks of 16 bytes are."""
    if request.param == "blocks":
        monkeypatch.setattr(file_identity, "WHOLE_UP_TO", 1024)
        monkeypatch.setattr(file_identity, "BLOCK_BYTES", 16)
    path = tmp_path / "rows.npy"
    np.save(path, rng.normal(size=(500, 3)))
    return path


@pytest.mark.parametrize("place", [0, 5_001, -1])
def test_a_rewritten_file_of_the_same_size_and_time_is_another_one(path, place):
    found = identity_of(path)
    assert identity_of(path) == found
    rewrite(path, flip(place))
    assert identity_of(path) != found


def test_a_copied_file_and_a_renamed_one_are_the_same(rng, tmp_path):
    first, second = tmp_path / "first.npy", tmp_path / "second.npy"
    np.save(first, rng.normal(size=(50, 3)))
    found = identity_of(first)
    shutil.copyfile(first, second)
    first.unlink()
    assert identity_of(second) == found


def test_stamps_change_with_each_file_of_a_folder(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1")
    found = stamps_of(tmp_path)
    os.utime(tmp_path / "b.parquet", ns=(1, 1))
    assert stamps_of(tmp_path) != found


def test_cached_rows_of_a_rewritten_file_are_not_used(rng, tmp_path):
    np.save(tmp_path / "X.npy", X := rng.normal(size=(40_000, 8)).astype(np.float32))
    y, fit = X[:, 0], {"epochs": 1, "batch_size": 500, "verbose": 0, "memory_limit": "1MB"}
    np.save(tmp_path / "y.npy", y)
    files = tmp_path / "X.npy", str(tmp_path / "y.npy")

    def params(**more):
        net = MLP((8, 1), random_state=0, device="cpu")
        net.fit(*files, **fit, **more)
        return net.params

    params(row_cache=tmp_path / "rows")
    rewrite(files[0], flip(-2))  # of the last number
    rewrite(files[0], flip(700_000))
    np.testing.assert_array_equal(params(row_cache=tmp_path / "rows"), params())
    assert len(list((tmp_path / "rows").iterdir())) == 2
