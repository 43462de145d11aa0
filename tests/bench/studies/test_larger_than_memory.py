"""The study of files larger than memory: its results."""

import json

from studies.larger_than_memory import save


def test_results_are_added_part_by_part(tmp_path):
    file = tmp_path / "results.json"
    save("floor", {"seconds": 1.0}, file)
    save("disk", {"bytes_a_second": 2.0}, file)
    save("floor", {"seconds": 3.0}, file)
    found = json.loads(file.read_text())
    assert (found["floor"]["seconds"], found["disk"]["bytes_a_second"]) == (3.0, 2.0)
    assert found["floor"]["machine"]["cpus"] > 0
