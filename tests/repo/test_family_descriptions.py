"""Documents on kernels: all families are in their table, and the files that they name exist."""

import re
from pathlib import Path

import pytest

from fastmlp.kernels.cpu import backend

ROOT = Path(__file__).parents[2]


def test_families_are_in_the_table():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert all(f"| `{family}` | cpu |" in page for family in backend.FAMILIES)


@pytest.mark.parametrize("page", ["kernels/README.md", "docs/architecture.md"])
def test_files_named_in_documents_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    words = set(re.findall(r"[\w./*-]+\.(?:py|cuh?)\b", text))
    assert len(words) > 5
    places = [
        path.as_posix()
        for base in ("src", "kernels", "tests", "bench", "tools", "docs")
        for path in (ROOT / base).rglob("*")
    ]
    missing = {word for word in words if not any(place.endswith(f"/{word}") for place in places)}
    assert not {word for word in missing if "*" not in word}
