"""Prebuilt kernels of a wheel: used only if compiled from the same sources for the same level of processor.

.ci/full installs such a wheel, and trains with its kernels.
"""

from __future__ import annotations

import os
import sys

import pytest

from fastmlp.kernels.jit import cpu_features, object_cache
from fastmlp.kernels.jit.cpu_features import level2_bytes

V3, V4 = cpu_features.V3, cpu_features.V4


@pytest.mark.parametrize(
    "features, level",
    [
        (V4, "x86-64-v4"),
        (V3, "x86-64-v3"),
        (cpu_features.V2, None),
        ((), None),
        (set(V4) - {"avx512bw"}, None),
        (set(V3) - {"fma"}, None),
    ],
    ids=["AVX-512", "AVX2", "SSE4", "nothing known", "some of AVX-512", "AVX2 alone"],
)
def test_level_follows_from_cpu_features(monkeypatch, features, level):
    """A processor with a part of AVX-512 has wide vectors, for which there is no prebuilt level."""
    monkeypatch.setattr(cpu_features, "FEATURES", dict.fromkeys(features, True))
    assert cpu_features.level() == level


def test_cpu_features_follow_numba_settings(monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,-avx512f,+fma")
    assert cpu_features.features() == {"avx2": True, "avx512f": False, "fma": True}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders of code compiled here and of prebuilt code, for a processor with AVX2."""
    for name in list(os.environ):
        if name.startswith("NUMBA_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(object_cache, "cache_folder", lambda: tmp_path / "own")
    monkeypatch.setattr(object_cache, "sources_tag", lambda: "these sources")
    monkeypatch.setattr(object_cache, "PREBUILT", tmp_path / "shipped")
    monkeypatch.setattr(object_cache, "level", lambda: "x86-64-v3")
    monkeypatch.setattr(sys, "platform", "linux")
    object_cache.save(object_cache.prebuilt_file("a kernel", "x86-64-v3"), b"shipped")


def test_prebuilt_code_is_found_but_code_compiled_here_takes_precedence(folders):
    assert object_cache.exists("a kernel")
    assert object_cache.read("a kernel") == b"shipped"
    assert not object_cache.exists("another kernel")
    assert object_cache.read("another kernel") is None
    object_cache.write("a kernel", b"own")
    assert object_cache.read("a kernel") == b"own"


@pytest.mark.parametrize(
    "place, name, value",
    [
        (object_cache, "sources_tag", lambda: "changed sources"),
        (object_cache, "level", lambda: "x86-64-v4"),
        (object_cache, "level", lambda: None),
        (object_cache, "OBJECT_HEAD", 32),
        (sys, "platform", "darwin"),
    ],
    ids=["sources", "wider", "no level", "objects", "system"],
)
def test_prebuilt_code_for_other_sources_or_machines_is_not_used(folders, monkeypatch, place, name, value):
    monkeypatch.setattr(place, name, value)
    assert not object_cache.exists("a kernel")
    assert object_cache.read("a kernel") is None


def test_prebuilt_code_is_not_used_with_numba_settings_or_if_damaged(folders, monkeypatch):
    path = object_cache.prebuilt_file("a kernel", "x86-64-v3")
    with monkeypatch.context() as patches:
        patches.setenv("NUMBA_OPT", "1")
        assert object_cache.read("a kernel") is None
    assert object_cache.read("a kernel") == b"shipped"
    path.write_bytes(path.read_bytes()[:-1])
    assert object_cache.read("a kernel") is None


@pytest.mark.parametrize("size, expected", [("2048K", 2 << 20), ("1M", 1 << 20), ("unknown", 0), ("", 0)])
def test_level2_bytes_are_read_from_the_cache_of_that_level(tmp_path, size, expected):
    for index, (level, text) in enumerate((("1", "48K"), ("1", "32K"), ("2", size), ("3", "266240K"))):
        cache = tmp_path / f"index{index}"
        cache.mkdir()
        (cache / "level").write_text(f"{level}\n")
        (cache / "size").write_text(f"{text}\n")
    assert level2_bytes(tmp_path) == expected
