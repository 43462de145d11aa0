"""Drawings of docs/architecture.md: they are what docs/make_drawings.py draws, and its floors are those of the code."""

import importlib.util
from pathlib import Path

import pytest
from repo.test_import_graph import FLOORS, KERNEL_FLOORS

DOCS = Path(__file__).parents[2] / "docs"
spec = importlib.util.spec_from_file_location("make_drawings", DOCS / "make_drawings.py")
make_drawings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_drawings)


@pytest.mark.parametrize("name", make_drawings.DRAWINGS)
def test_drawing_is_up_to_date(name):
    drawn = str(make_drawings.DRAWINGS[name]())
    assert (DOCS / "_static" / name).read_text(encoding="utf-8") == drawn, "run `python docs/make_drawings.py`"


def names(floor):
    """Names of the modules that a drawn floor shows, without "...", folders and endings."""
    shown = (name.removeprefix("kernels/").rstrip("/").removesuffix(".py") for name in floor.names)
    return {name for name in shown if name != "..."}


def test_drawn_floors_are_those_of_the_code():
    from_above = [set(floor.split()) for floor in reversed(FLOORS) if floor != "__main__"]
    assert len(from_above) == len(make_drawings.FLOORS)
    for drawn, floor in zip(make_drawings.FLOORS, from_above, strict=True):
        assert names(drawn) <= floor
        assert names(drawn) == floor or "..." in drawn.names
    kernels = [set(floor.split()) for floor in reversed(KERNEL_FLOORS)]
    assert [names(drawn) for drawn in make_drawings.KERNEL_FLOORS] == kernels


def test_every_phase_is_on_a_floor():
    middle = make_drawings.heights()
    assert len(make_drawings.PHASES) == 9
    assert {phase.floor for phase in make_drawings.PHASES} <= set(middle)
