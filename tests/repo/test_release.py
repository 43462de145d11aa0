"""`tools/release.py`: a release without the machine code of a level is refused, before it is built and in its wheel."""

import importlib
import zipfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
V4, V3 = "x86-64-v4", "x86-64-v3"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """The module, with tmp_path as its folder of distributions, and without twine and check_wheel_contents."""
    monkeypatch.syspath_prepend(TOOLS)
    module = importlib.import_module("release")
    monkeypatch.setattr(module, "DIST", tmp_path)
    monkeypatch.setattr(module, "run", lambda *arguments: None)
    return module


def processor(release, monkeypatch, *levels):
    """Make the processor one with the instructions of these levels."""
    features = {name: True for level in levels for name in release.ship.LEVELS[level]}
    monkeypatch.setattr(release.ship.cpu_features, "FEATURES", features)


def write_wheels(folder, *levels):
    """Write wheels as release.py builds them, with an object file of each of these levels in that of the platform."""
    objects = [f"fastmlp/kernels/shipped/sources/{level}/0a.o" for level in levels]
    for tag, names in (("none-any", []), ("none-manylinux_2_17_x86_64", objects)):
        with zipfile.ZipFile(folder / f"fastmlp-1.0-py3-{tag}.whl", "w") as wheel:
            for name in ("fastmlp/py.typed", *names):
                wheel.writestr(name, b"")


def test_a_processor_without_a_level_builds_no_release(release, monkeypatch):
    processor(release, monkeypatch, V3)
    with pytest.raises(SystemExit, match=r"does not support all: x86-64-v4 needs avx512f, .*--levels-here"):
        release.levels_to_build(quick=False, levels_here=False)
    assert release.levels_to_build(quick=False, levels_here=True) == [V3]
    assert release.levels_to_build(quick=True, levels_here=False) == [V3]
    processor(release, monkeypatch, V3, V4)
    assert release.levels_to_build(quick=False, levels_here=False) == [V4, V3]
    assert release.levels_to_build(quick=False, levels_here=True) == [V4, V3]


def test_a_wheel_without_the_machine_code_of_a_level_is_refused(release, tmp_path):
    write_wheels(tmp_path, V3)
    with pytest.raises(SystemExit, match=r"manylinux_2_17_x86_64\.whl has no machine code of the level x86-64-v4\."):
        release.check([V4, V3])
    release.check([V3])
    write_wheels(tmp_path, V3, V4)
    release.check([V4, V3])
