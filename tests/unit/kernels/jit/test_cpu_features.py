from __future__ import annotations

import pytest

from fastmlp.kernels.jit.cpu_features import level2_bytes


@pytest.mark.parametrize("size, expected", [("2048K", 2 << 20), ("1M", 1 << 20), ("unknown", 0), ("", 0)])
def test_level2_bytes_are_read_from_the_cache_of_that_level(tmp_path, size, expected):
    for index, (level, text) in enumerate((("1", "48K"), ("1", "32K"), ("2", size), ("3", "266240K"))):
        cache = tmp_path / f"index{index}"
        cache.mkdir()
        (cache / "level").write_text(f"{level}\n")
        (cache / "size").write_text(f"{text}\n")
    assert level2_bytes(tmp_path) == expected
