"""Code in the pages of the documentation runs, and prints what the pages say it prints.

The blocks of a page run in order, in one folder: Python in one namespace, `bash` in a shell. A block of `text` that
follows such a block has its output, where "..." stands for anything, and numbers may differ by what training on another
processor does. A comment before a block says what is different:

    <!-- needs torch -->        runs where that library is installed
    <!-- not run: REASON -->    does not run, for the reason given
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from required_libraries import needs

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    path.relative_to(DOCS).as_posix()
    for path in sorted(DOCS.rglob("*.md"))
    if not {"_build", "generated"} & set(path.relative_to(DOCS).parts)
]
BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>(?:needs|not run)\b.*?) -->\n+)?^```(?P<language>python|bash)[^\n]*\n(?P<code>.*?)^```\n"
    r"(?:\n*^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NUMBER = r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
TOLERANCE = 0.05  # relative, of numbers with a fraction or from 20 on: sums round differently on processors


def blocks_of(page):
    """Blocks of code of a page: dicts with comment, language, code and output."""
    return [match.groupdict() for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))]


def libraries_of(block):
    """Names of the libraries that a block needs, beside those of the extra `test`."""
    comment = block["comment"] or ""
    return set(re.split(r"[, ]+", comment.removeprefix("needs "))) if comment.startswith("needs ") else set()


def run_python(code, page, scope):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), scope)
    return printed.getvalue()


def run_bash(code, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(DOCS.parent / "src"), "COLUMNS": "100"}
    command = ["bash", "-euo", "pipefail", "-c", code]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def is_same(expected, printed):
    """Whether a block printed what the page says, up to numbers that depend on the processor."""
    if doctest.OutputChecker().check_output(expected, printed, OPTIONS):
        return True
    parts = re.split(rf"(\s+|\.\.\.|{NUMBER})", expected.strip())
    patterns = [
        r"\s+" if part.isspace() else ".*?" if part == "..." else f"({NUMBER})" if i % 2 else re.escape(part)
        for i, part in enumerate(parts)
        if part
    ]
    found = re.fullmatch("".join(patterns), printed.strip(), re.DOTALL)
    numbers = [part for part in parts if re.fullmatch(NUMBER, part)]
    return found is not None and all(map(is_near, numbers, found.groups()))


def is_near(expected, printed):
    x, y = (float(text.replace(",", "").rstrip(",")) for text in (expected, printed))
    counts_little = expected.lstrip("-").isdigit() and abs(x) < 20
    return x == y if counts_little else abs(x - y) <= TOLERANCE * abs(x)


def run_page(page, folder, libraries):
    """Run the blocks of a page that need no library beyond `libraries`, and compare what they print."""
    scope = {"__name__": "__main__"}
    for block in blocks_of(page):
        if (block["comment"] or "").startswith("not run") or not libraries_of(block) <= libraries:
            continue
        code = block["code"]
        printed = run_python(code, page, scope) if block["language"] == "python" else run_bash(code, folder)
        if block["output"] is not None:
            assert is_same(block["output"], printed), f"{page}:\n{code}\nprints\n{printed}\nnot\n{block['output']}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    yield tmp_path
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.full  # .ci/run has a step of its own for it
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)])
def test_code_of_page_runs(page, folder):
    run_page(page, folder, set())


NEEDED = [
    (page, tuple(sorted(needed))) for page in PAGES if (needed := set().union(*map(libraries_of, blocks_of(page))))
]


# What libraries say to each other: MLflow to SQLAlchemy, for instance.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(("page", "libraries"), NEEDED)
def test_code_with_other_libraries_runs(page, libraries, folder):
    needs(*libraries, extras="bench,sources,trackers")
    run_page(page, folder, set(libraries))


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_of_code_is_read(page):
    """No block escapes by its form: as many blocks are read as there are fences of Python or shell."""
    text = (DOCS / page).read_text(encoding="utf-8")
    fences = re.findall(r"^\s*[`:]{3,}(?:\{[\w-]+\} ?)?(?:python|bash|console|shell|sh)\b", text, re.MULTILINE)
    assert len(blocks_of(page)) == len(fences)
