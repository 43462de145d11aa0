"""Documents: files, headings, scripts and thresholds that they name exist, and bench/README.md names every study.

Links to other sites are checked for their form only; `python -m sphinx -b linkcheck` asks the sites.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fastmlp.execution import dispatch

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "kernels/*.md", "bench/*.md", "bench/log/*.md")
    for path in ROOT.glob(pattern)
    if not {"_build", "generated"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([\w-]+))?\)")
EXTERNAL = re.compile(r"\]\((\w+:[^)\s]*)\)|<(\w+:[^>\s]*)>|^\[[^\]]+\]: (\w+:\S*)", re.M)
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
def test_no_merge_is_unfinished(page):
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", (ROOT / page).read_text(encoding="utf-8"), re.M)


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
def test_external_links_are_well_formed(page):
    for found in EXTERNAL.findall(prose(ROOT / page)):
        address = "".join(found)
        parts = urlsplit(address)
        assert parts.scheme == "https", f"{page}: {address}"
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page}: {address}"
        assert re.fullmatch(r"[\w./~%?=&+:@,;-]*", address[len("https://") :].partition("#")[0]), f"{page}: {address}"
        assert not address.endswith((".", ",", ";", ":")), f"{page}: {address}"


@pytest.mark.parametrize("page", PAGES)
def test_scripts_in_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    scripts = re.findall(r"\bpython ((?:bench|tests|tools|docs)/[\w/]+\.py)", text)
    folders = re.findall(r"\bpytest ((?:bench|tests)/[\w/.]+)", text)
    for name in (*scripts, *folders):
        assert (ROOT / name).exists(), f"{page} has a command with {name}, which does not exist"


@pytest.mark.parametrize("page", PAGES)
def test_names_of_dispatch_exist(page):
    for name in re.findall(r"`dispatch\.(\w+)`", (ROOT / page).read_text(encoding="utf-8")):
        assert hasattr(dispatch, name), f"{page} names dispatch.{name}, which does not exist"


def test_every_study_is_in_the_table():
    text = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    for folder in ("studies", "accuracy"):
        for path in (ROOT / "bench" / folder).glob("[a-z]*.py"):
            assert f"`{folder}/{path.name}`" in text, f"bench/README.md does not name {folder}/{path.name}"


def test_docstrings_of_studies_name_thresholds_that_exist():
    for path in (ROOT / "bench" / "studies").glob("[a-z]*.py"):
        for name in re.findall(r"\bdispatch\.(?!py\b)(\w+)", path.read_text(encoding="utf-8").split('"""')[1]):
            assert hasattr(dispatch, name), f"{path.name} names dispatch.{name}, which does not exist"


# In backticks in the rows, but a method, parameter or option.
WORDS_OF_ROWS = {"submit", "factors", "tol", "n_iter_no_change", "quality", "tune"}
