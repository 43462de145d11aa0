"""bench/log/README.md is a complete index: every entry is linked, and every finding that is cited has its anchor."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOG = ROOT / "bench" / "log"
INDEX = (LOG / "README.md").read_text(encoding="utf-8")


def test_every_log_entry_is_in_the_index():
    links = dict(re.findall(r"^\[([\d-]+)\]: (\S+)$", INDEX, re.M))
    assert sorted(links.values()) == sorted(path.name for path in LOG.glob("20*.md"))
    assert set(re.findall(r"\[(\d\d-\d+)\]", INDEX)) == set(links), "each entry is named in a topic, and no other is"


def test_every_finding_has_an_anchor_and_an_entry():
    findings = re.findall(r"^- .+$", INDEX.split("## ", 1)[1], re.M)
    assert len(findings) > 50
    for line in findings:
        assert line.startswith('- <a id="'), f"no anchor: {line}"
        assert re.search(r"\[\d\d-\d+\]", line), f"no entry is named: {line}"


def test_cited_log_findings_exist():
    anchors = re.findall(r'<a id="([\w-]+)"></a>', INDEX)
    assert len(set(anchors)) == len(anchors)
    files = subprocess.run(["git", "grep", "-lI", "bench/log"], cwd=ROOT, capture_output=True, text=True, check=True)
    cited = set()
    for name in files.stdout.split():
        if not name.startswith(("bench/log/", "tests/repo/")):
            cited |= set(re.findall(r"bench/log/README\.md#([\w-]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert cited, "comments cite the log"
    assert cited <= set(anchors)


def test_code_cites_findings_and_not_the_log_at_large():
    command = ["git", "grep", "-nI", "bench/log", "--", "src", "kernels", "bench/suite", ":!*.md"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(found) > 20, "comments cite the log"
    assert not [line for line in found if re.search(r"bench/log(?!/README\.md#\w)", line)]
