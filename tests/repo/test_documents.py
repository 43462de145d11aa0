"""Documents: files, headings and scripts that they name exist. `python -m sphinx -b linkcheck` asks other sites."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "kernels/*.md", "bench/*.md", "bench/log/*.md")
    for path in ROOT.glob(pattern)
    if not {"_build", "generated"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([\w-]+))?\)")
CODE = re.compile(r"^(\s*)(`{3,})(?!\{).*?^\1\2\s*$|`[^`\n]+`", re.M | re.S)


def anchors(text):
    """Anchors of a page: explicit ones, labels, and those that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text)) | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


def prose(path):
    """Text of a page without its code."""
    return CODE.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    """Pages that Sphinx makes, in folders named generated, are checked by the build of the site."""
    path = ROOT / page
    for target, anchor in LINK.findall(prose(path)):
        if "generated" in target.split("/"):
            continue
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), f"{page} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{page} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_scripts_in_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    scripts = re.findall(r"\bpython ((?:bench|tests|tools|docs)/[\w/]+\.py)", text)
    folders = re.findall(r"\bpytest ((?:bench|tests)/[\w/.]+)", text)
    for name in (*scripts, *folders):
        assert (ROOT / name).exists(), f"{page} has a command with {name}, which does not exist"
