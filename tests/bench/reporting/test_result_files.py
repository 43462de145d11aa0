"""Files of benchmark results."""

import pytest
from bench_example import example
from reporting import result_files


def test_results_round_trip_through_a_file(tmp_path):
    path = tmp_path / "new folder" / "x.json"
    saved = example()
    saved["results"][0]["rows"][0]["seconds"][0] = 0.123456789
    result_files.save(saved, path)
    loaded = result_files.load(path)
    assert loaded["results"][0]["rows"][0]["seconds"][0] == 0.123457
    assert loaded["results"][1] == example()["results"][1]
    assert [item.name for item in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("text, words", (("{", "not a file of"), ("[]", "got None"), ('{"machine_info": 1}', "--save")))
def test_invalid_result_files_raise(tmp_path, text, words):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        result_files.load(path)
