"""The log of measurements: every file is in its index, every finding has a date and an anchor, and cited ones exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOG = ROOT / "bench" / "log"
FILES = sorted(path.name for path in LOG.glob("*.md") if path.name != "README.md")
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')


def text_of(name):
    return (LOG / name).read_text(encoding="utf-8")


def cited():
    """Return (place, file, anchor) of each citation of the log outside of it; the anchor may be empty."""
    pattern = r"bench/log/[A-Za-z_]*\.md\(#[A-Za-z0-9-]*\)\?"
    command = ["git", "grep", "-nIo", pattern, "--", ":!bench/log", ":!tests/repo"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    parts = [re.fullmatch(r"(.+):bench/log/(\w+\.md)#?([\w-]*)", line).groups() for line in lines]
    assert len(parts) > 50
    return parts


def test_every_file_is_in_the_index():
    assert sorted(re.findall(r"^\| \[(\w+\.md)\]\(\1\) \|", text_of("README.md"), re.M)) == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_finding_has_an_anchor_and_a_date(name):
    findings = re.findall(r"^- <a id=.+?(?=^- |^#|^<a id|\Z)", text_of(name), re.M | re.S)
    found = [*findings, *re.findall(r"^<a id=.+?(?=^#|\Z)", text_of(name), re.M | re.S)]
    assert len(found) == len(ANCHOR.findall(text_of(name))) > 0
    for finding in found:
        assert re.search(r"\b2026-\d\d-\d\d\b", finding), f"no date: {finding[:80]}"


def test_anchors_are_unique():
    anchors = [anchor for name in FILES for anchor in ANCHOR.findall(text_of(name))]
    assert len(set(anchors)) == len(anchors)


def test_cited_findings_exist():
    for place, name, anchor in cited():
        assert name == "README.md" or name in FILES, place
        assert not anchor or anchor in ANCHOR.findall(text_of(name)), place


def test_code_cites_findings_and_not_the_log_at_large():
    code = [(place, anchor) for place, _, anchor in cited() if re.match(r"(src|kernels)/.+\.(py|cuh?):", place)]
    assert len(code) > 20, "comments cite the log"
    assert not [place for place, anchor in code if not anchor]
