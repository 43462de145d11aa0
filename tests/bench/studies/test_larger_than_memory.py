"""The study of files larger than memory: processes that take turns, on a small file."""

import numpy as np
import pytest
from studies import larger_than_memory as study

pytest.importorskip("pyarrow.parquet", reason="the study reads Parquet")


@pytest.fixture
def path(tmp_path):
    study.make(tmp_path / "rows.parquet", 60_000, n_columns=3, rows_of_group=6_000)
    return tmp_path / "rows.parquet"


def test_the_first_rows_are_whole_row_groups(path):
    X, y = study.first_rows(path, 7_000)
    assert X.shape == (12_000, 3)
    assert len(y) == 12_000
    assert np.isfinite(X).all()
    assert study.first_rows(path, 10**9)[0].shape == (60_000, 3)
    assert study.n_rows_of(path) == 60_000


@pytest.mark.full
def test_processes_take_turns(path):
    with (
        study.Worker(path, (3, 4, 1), 2, 3, in_memory=7_000) as memory,
        study.Worker(path, (3, 4, 1), 2, 1, memory_limit="1MB") as streamed,
    ):
        turns = [[worker.turn() for worker in (memory, streamed)] for _ in range(3)]
    assert [[len(turn["seconds"]) for turn in pair] for pair in turns] == [[1, 1], [3, 1], [3, 1]]
    assert all(turn["largest_resident"] > 10**7 for pair in turns for turn in pair)
    assert study.rows_of(path).is_dir(), "the rows were read from disk"


@pytest.mark.full
def test_an_error_of_a_fit_ends_the_study(path):
    with pytest.raises(RuntimeError, match="a fit ended with status 1"):
        study.Worker(path, (4, 4, 1), 2, 1, memory_limit="1MB").turn()


def test_results_are_added_part_by_part(tmp_path):
    file = tmp_path / "results.json"
    study.save("floor", {"seconds": 1.0}, file)
    study.save("disk", {"bytes_a_second": 2.0}, file)
    study.save("floor", {"seconds": 3.0}, file)
    found = study.json.loads(file.read_text())
    assert (found["floor"]["seconds"], found["disk"]["bytes_a_second"]) == (3.0, 2.0)
    assert found["floor"]["machine"]["cpus"] > 0
