"""README.md: its Python code runs in order in one session, and what it counts and states is right."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(block, scope)
    assert "[0.01 0.99 0.99 0.01]" in capsys.readouterr().out


def test_readme_counts_are_right():
    from fastmlp.diagnosis.verdicts import VERDICTS

    assert f"one of {len(VERDICTS)} verdicts" in README


def test_citation_has_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in citation
    assert all(f"\n{key}:" in f"\n{citation}" for key in ("cff-version", "message", "title", "authors", "license"))
