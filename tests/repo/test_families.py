"""The table of kernel families: printed in two documents, and complete."""

import re
from pathlib import Path

import pytest

from fastmlp.execution.families import FAMILIES, family_table
from fastmlp.kernels.cpu import backend

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["kernels/README.md", "docs/architecture.md"])
def test_documents_show_the_family_table(page):
    assert family_table() in (ROOT / page).read_text(encoding="utf-8")


def test_the_gain_of_every_family_is_stated():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("### What each family gains", 1)[1]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| .+ \| .*\(\.\./bench/log/README\.md#[\w-]+\).* \|$", text, re.M)
    assert rows == [(row.name, row.device) for row in FAMILIES]


def test_cpu_families_are_in_the_table():
    assert {*backend.FAMILIES} <= {row.name for row in FAMILIES if row.device == "cpu"}


@pytest.mark.parametrize("page", ["kernels/README.md", "docs/architecture.md", "docs/glossary.md"])
def test_files_named_in_documents_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    words = {word.strip("`,.;:()|") for word in text.split() if word.strip("`,.;:()|").endswith((".py", ".cu", ".cuh"))}
    assert len(words) > 5
    places = [
        path.as_posix() for base in ("src", "kernels", "tests", "bench", "tools") for path in (ROOT / base).rglob("*")
    ]
    missing = {word for word in words if not any(place.endswith(f"/{word}") for place in places)}
    assert not {word for word in missing if "*" not in word}
