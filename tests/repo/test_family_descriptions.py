"""The table of kernel families: printed in two documents, and complete."""

import importlib.util
import re
from math import inf
from pathlib import Path

import pytest

from fastmlp.execution import thresholds
from fastmlp.execution.family_descriptions import FAMILIES, family_table
from fastmlp.execution.thresholds import BatchSimdLimit, LaneThreshold
from fastmlp.kernels.cpu import backend

ROOT = Path(__file__).parents[2]


def test_the_page_on_architecture_shows_the_family_table():
    assert family_table() in (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


LIMITS = tuple(BatchSimdLimit(rows, weights, 3) for rows, weights in ((4, 100), (8, 300), (inf, 900)))
NETS = LaneThreshold(40, 5, 7, 9), LaneThreshold(3000, 8, inf, inf)


@pytest.mark.parametrize(
    "module, name, value, text",
    [
        (
            thresholds,
            "BATCH_SIMD_LIMITS",
            LIMITS,
            "up to 100 weights or, in batches of 2 to 4 samples, up to 3 outputs",
        ),
        (thresholds, "BATCH_SIMD_LIMITS", LIMITS, "no layer has more than 300 to 900 weights"),
        (thresholds, "HALF_FILLED_UP_TO_WEIGHTS", 50_000, "or 50,000 where a layer's outputs"),
        (thresholds, "SHARDS_FROM_STEP", 2_500_000, "from 2.5 million multiply-adds a step on"),
        (thresholds, "DATA_PARALLEL_PARAMS", 70_000, "up to 70,000 parameters; up to 200,000 or 1.2 million"),
        (thresholds, "CACHED_BATCH_PARAMS", 300_000, "up to 60,000 parameters; up to 300,000 or 1.2 million"),
        (thresholds, "NARROW_NET_PARAMS", 2_000_000, "up to 60,000 parameters; up to 200,000 or 2 million"),
        (thresholds, "LANES_FROM", NETS, "up to 3,000 parameters, from 5 to 9 nets on"),
        (thresholds, "BLOCK_UP_TO_PARAMS", 30_000, "up to 30,000 parameters, where its step is fastest"),
        (thresholds, "BLOCK_UP_TO_BYTES", 50_000, "up to 50,000 bytes of parameters"),
    ],
)
def test_a_changed_threshold_changes_the_table(monkeypatch, module, name, value, text):
    monkeypatch.setattr(module, name, value)
    spec = importlib.util.find_spec("fastmlp.execution.family_descriptions")
    again = importlib.util.module_from_spec(spec)  # beside the module that other tests have imported
    spec.loader.exec_module(again)
    assert text in again.family_table()
    assert text not in family_table()


def test_the_gain_of_every_family_is_stated():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("### What each family gains", 1)[1]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| .+ \| .*\(\.\./bench/log/\w+\.md#[\w-]+\).* \|$", text, re.M)
    assert rows == [(row.name, row.device) for row in FAMILIES]


def test_cpu_families_are_in_the_table():
    assert {*backend.FAMILIES} <= {row.name for row in FAMILIES if row.device == "cpu"}


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
