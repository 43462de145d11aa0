"""Processes that take turns, on a small file."""

import pytest
from studies.streaming.files import make, rows_of
from studies.streaming.turns import Worker

pytest.importorskip("pyarrow.parquet", reason="the study reads Parquet")


@pytest.fixture
def path(tmp_path):
    make(tmp_path / "rows.parquet", 60_000, n_columns=3, rows_of_group=6_000)
    return tmp_path / "rows.parquet"


@pytest.mark.full
def test_processes_take_turns(path):
    with (
        Worker(path, (3, 4, 1), 2, 3, in_memory=7_000) as memory,
        Worker(path, (3, 4, 1), 2, 1, memory_limit="1MB") as streamed,
    ):
        turns = [[worker.turn() for worker in (memory, streamed)] for _ in range(3)]
    assert [[len(turn["seconds"]) for turn in pair] for pair in turns] == [[1, 1], [3, 1], [3, 1]]
    assert all(turn["largest_resident"] > 10**7 for pair in turns for turn in pair)
    assert rows_of(path).is_dir(), "the rows were read from disk"


@pytest.mark.full
def test_an_error_of_a_fit_ends_the_study(path):
    with pytest.raises(RuntimeError, match="a fit ended with status 1"):
        Worker(path, (4, 4, 1), 2, 1, memory_limit="1MB").turn()
