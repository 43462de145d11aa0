"""Prebuilt kernels of a wheel: used only if compiled from the same sources for the same level of processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.kernels.jit import cpu_features, object_cache, prebuilt

ROOT = Path(__file__).parents[4]
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
    monkeypatch.setattr(prebuilt, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(prebuilt, "level", lambda: "x86-64-v3")
    monkeypatch.setattr(sys, "platform", "linux")
    object_cache.save(prebuilt.path_of("a kernel", "these sources", "x86-64-v3"), b"shipped")


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
        (prebuilt, "level", lambda: "x86-64-v4"),
        (prebuilt, "level", lambda: None),
        (prebuilt, "OBJECT_HEAD", 32),
        (sys, "platform", "darwin"),
    ],
    ids=["sources", "wider", "no level", "objects", "system"],
)
def test_prebuilt_code_for_other_sources_or_machines_is_not_used(folders, monkeypatch, place, name, value):
    monkeypatch.setattr(place, name, value)
    assert not object_cache.exists("a kernel")
    assert object_cache.read("a kernel") is None


def test_prebuilt_code_is_not_used_with_numba_settings_or_if_damaged(folders, monkeypatch):
    path = prebuilt.path_of("a kernel", "these sources", "x86-64-v3")
    with monkeypatch.context() as patches:
        patches.setenv("NUMBA_OPT", "1")
        assert object_cache.read("a kernel") is None
    assert object_cache.read("a kernel") == b"shipped"
    path.write_bytes(path.read_bytes()[:-1])
    assert object_cache.read("a kernel") is None


USE = """
import sys
sys.path.insert(0, "tools")
import ship
from fastmlp import MLP
ship.prebuilt.FOLDER = ship.Path(sys.argv[1])
predict = lambda: MLP((2, 3, 1), random_state=0, device="cpu").predict([[0, 1], [1, 0]])
"""
SHIP = USE + "ship.compile_for(sys.argv[2], [predict])"


@pytest.mark.skipif(
    sys.platform != "linux" or cpu_features.level() is None, reason="nothing is shipped for such a processor or system"
)
def test_prebuilt_code_works_in_another_installation(tmp_path):
    """With prebuilt kernels, Numba is not imported."""
    level = cpu_features.level()
    features = ",".join([*(f"+{name}" for name in cpu_features.LEVELS[level]), "-prefer-256-bit"])
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    clean |= {"NUMBA_CACHE_DIR": str(tmp_path / "own"), "PYTHONPATH": "src"}
    chosen = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": features}
    run = lambda program, env: subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "shipped"), level],
        env=env,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    run(SHIP, clean | chosen)
    assert list((tmp_path / "shipped").rglob(f"{level}/*.o"))
    assert run(USE + "predict(); print('numba' in sys.modules)", clean).stdout.split() == ["False"]
    assert not (tmp_path / "own").exists()
