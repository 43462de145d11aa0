"""Functions made for an architecture: their module is a file next to the cache where that can be."""

from fastmlp.kernels.cpu import on_demand

TEXT = on_demand.source("fastmlp.kernels.cpu.straight_line_code.make_train", ("p", "g"), ((1, 1), (0,), 0, 0))


def test_source_is_a_file_next_to_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(on_demand, "CACHE_FOLDER", str(tmp_path))
    assert not on_demand.is_on_disk(TEXT)
    module, is_file = on_demand.module_of(TEXT)
    assert is_file
    assert module.__file__.startswith(str(tmp_path))
    assert on_demand.is_on_disk(TEXT)
    again, is_file = on_demand.module_of(TEXT)
    assert is_file
    assert again.__file__ == module.__file__


def test_without_a_folder_to_write_in(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setattr(on_demand, "CACHE_FOLDER", str(occupied))
    module, is_file = on_demand.module_of(TEXT)
    assert not is_file
    assert not on_demand.is_on_disk(TEXT)
    assert callable(module.call)
