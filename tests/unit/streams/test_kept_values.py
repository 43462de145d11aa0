"""Kept values: found again by their key, in a folder that nobody else can write to, whole or not at all."""

import os

import numpy as np
import pytest

from fastmlp.streams.kept_values import KeptValue
from fastmlp.streams.row_cache import RowCache

needs_owners = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no owners")


def kept(folder, *key):
    return KeptValue(RowCache(folder / "cache"), key)


def test_a_value_is_found_by_its_key_alone(tmp_path):
    assert kept(tmp_path, "a").read() is None
    kept(tmp_path, "a").write({"x": [0, 1.5, None, "text"]})
    assert kept(tmp_path, "a").read() == {"x": [0, 1.5, None, "text"]}
    assert kept(tmp_path, "b").read() is None
    kept(tmp_path, "a").write(5)
    assert kept(tmp_path, "a").read() == 5


def test_keys_tell_all_numbers_of_an_array_apart(tmp_path):
    numbers = np.linspace(0.0, 1.0, 5_000)
    kept(tmp_path, numbers).write(1)
    assert kept(tmp_path, numbers.copy()).read() == 1
    numbers[2_500] = np.nextafter(numbers[2_500], 1.0)
    assert kept(tmp_path, numbers).read() is None


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_damaged_value_is_none(cut, tmp_path):
    kept(tmp_path, "a").write("text")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:cut])
    assert kept(tmp_path, "a").read() is None


@needs_owners
@pytest.mark.parametrize("name", ["cache", "file"])
def test_a_value_that_others_can_have_written_is_none(name, tmp_path):
    kept(tmp_path, "a").write("text")
    (file,) = (tmp_path / "cache").iterdir()
    (file.parent if name == "cache" else file).chmod(0o777)
    assert kept(tmp_path, "a").read() is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("no folder")
    kept(tmp_path, "a").write("text")
    assert kept(tmp_path, "a").read() is None


def test_values_that_were_not_used_make_room_for_rows(tmp_path):
    kept(tmp_path, "a").write("text")
    cache = RowCache(tmp_path / "cache", 10)
    used = tmp_path / "cache" / f"rows-{0:032x}"
    used.mkdir()
    (used / "X.bin").write_bytes(bytes(10))
    cache.drop_unused(used)
    assert [place.name for place in (tmp_path / "cache").iterdir()] == [used.name]
