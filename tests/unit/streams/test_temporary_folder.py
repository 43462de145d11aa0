"""Fits where no folder for temporary files can be written to: only rows that need a file are refused."""

import tempfile

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.executors.workers import ProcessWorkers

FIT = {"epochs": 1, "batch_size": 100, "verbose": 0}


@pytest.fixture(autouse=True)
def no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "file" / "tmp")])


def saved(n, tmp_path):
    X = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    return X


def test_rows_in_memory_need_no_folder(tmp_path):
    X = saved(1_000, tmp_path)
    nets = [MLP((8, 1), random_state=0, device="cpu") for _ in range(2)]
    nets[0].fit(X, X[:, 0], **FIT)
    nets[1].fit(tmp_path / "X.npy", X[:, 0], **FIT)
    np.testing.assert_array_equal(nets[1].params, nets[0].params)


def test_rows_on_disk_are_refused_with_what_to_do(tmp_path):
    X = saved(40_000, tmp_path)
    net = MLP((8, 1), random_state=0, device="cpu")
    message = r"no folder for temporary files \(No usable .*\)\. Name a folder by .* TMPDIR"
    with pytest.raises(OSError, match=message):
        net.fit(tmp_path / "X.npy", X[:, 0], memory_limit="1MB", **FIT)


def test_arrays_for_workers_are_refused_with_what_to_do():
    with pytest.raises(OSError, match=r"no folder for temporary files .* Name a folder by the .* TMPDIR"):
        ProcessWorkers(None).share(np.zeros(3))
