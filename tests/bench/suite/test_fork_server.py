"""Fork servers and workers of competitors: shared imports, separate state, and their ends."""

import os
from pathlib import Path

import pytest
from competitors import TRAINING, Competitor, Unsupported
from suite import fork_server
from suite.fork_server import ForkServer, Pool, fork_server_key
from suite.worker import Failed

NUMPY = Competitor("numpy", "competitors.numpy_competitor")
CASE = ("cross_entropy", True)


@pytest.fixture(params=[True, False], ids=["forked", "afresh"])
def pool(request, monkeypatch):
    if request.param and not fork_server.may_fork("cpu"):
        pytest.skip("forking is not safe on this system")
    monkeypatch.setattr(fork_server, "may_fork", lambda device: request.param)
    pool = Pool("cpu")
    yield pool
    pool.close()


def test_worker_prepares_verifies_and_measures(pool):
    worker = pool.start(NUMPY, 1, 1)
    assert worker("prepare", *CASE) >= 0
    params, loss = worker("verify")
    assert params.shape == (15,)
    assert 0 < loss < 1
    assert worker("measure", 3, 2) > 0
    assert worker("facts")["peak_memory"] > 2**20


def test_workers_are_separate_processes_and_end(pool):
    first, second = pool.start(NUMPY, 1, 1), pool.start(NUMPY, 1, 1)
    first("prepare", *CASE)
    with pytest.raises(Failed, match="AttributeError"):
        second("measure", 1, 1)  # it has prepared nothing
    pool.end_workers()
    with pytest.raises(Failed, match="the process had ended before 'measure'"):
        first("measure", 1, 1)


def test_exceptions_of_a_worker_are_raised(pool):
    absent = pool.start(Competitor("numpy", "competitors.no_such_module"), 1, 1)
    with pytest.raises(Failed, match="ModuleNotFoundError"):
        absent("prepare", *CASE)
    unable = pool.start(Competitor("chain", "limits.cuda", "products"), 1, 1)
    with pytest.raises((Failed, Unsupported)):  # without CuPy, or without a GPU
        unable("prepare", *CASE)


def test_import_that_ends_the_process_is_a_failure_of_the_competitor(pool, tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os\nos._exit(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    deadly = Competitor("deadly", "deadly", needs=("deadly",))
    pool.make_ready([deadly, NUMPY])
    with pytest.raises(Failed, match=r"importing deadly ended the process|the process (had )?ended"):
        pool.start(deadly, 1, 1)("prepare", *CASE)


def test_fork_servers_are_shared_by_libraries_and_environment():
    rows = {row.name: row for row in TRAINING}
    assert fork_server_key(rows["jax scan"]) == fork_server_key(rows["jax tuned"])
    others = [rows[name] for name in ("jax scan", "keras jax", "torch eager", "torch compiled", "numpy", "fastmlp")]
    assert len({fork_server_key(other) for other in others}) == len(others)


def test_environment_is_set_in_the_fork_server_only(monkeypatch, tmp_path):
    """Libraries store compiled code in the fork server's cache folder."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    made = ForkServer(
        Competitor("numpy", "competitors.numpy_competitor", environment={"KERAS_BACKEND": "jax"}), "cpu", str(tmp_path)
    )
    try:
        assert os.environ["KERAS_BACKEND"] == "torch"
        made.wait()
        theirs = Path(f"/proc/{made._process.pid}/environ")
        if theirs.exists():
            found = dict(line.split("=", 1) for line in theirs.read_text().split("\0") if line)
            assert found["KERAS_BACKEND"] == "jax"
            assert found["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
    finally:
        made.close()
