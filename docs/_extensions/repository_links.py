"""Sphinx extension: links of pages that are also read in the repository, outside the site.

CONTRIBUTING.md, bench/README.md and others are pages of the site by `include`. Their links, and links of docs/ to them,
are paths in the repository. A link to a file that has a page becomes a link to the page. A link to any other file of
the repository becomes its path, without a link.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = {  # path in the repository: page of the site
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "kernels/README.md": "explanation/kernels.md",
    "bench/README.md": "explanation/benchmark_files.md",
    "docs/_extensions/module_index.py": "generated/modules.md",  # which the program makes
    **{f"bench/log/{path.name}": f"generated/log/{path.name}" for path in (ROOT / "bench" / "log").glob("*.md")},
}
# Anchors of findings in bench/log. They become labels with a prefix, since some are also names of functions: folds.
TARGET = re.compile(r'^(\s*- )?<a id="([\w-]+)"></a>', re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)#\s]+)(#[\w-]+)?\)")


def site_links(text: str, folder: Path, page: Path) -> str:
    """Return Markdown `text`, written for a file in `folder` of the repository, with links for `page` of the site.

    folder : absolute path of the folder of the file that has the text
    page : absolute path of the page in docs/ that shows the text
    """

    def link(match: re.Match) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        path = (folder / target).resolve()
        if path.is_file() and anchor and f'<a id="{anchor[1:]}">' in path.read_text(encoding="utf-8"):
            return f"[{words}](#finding-{anchor[1:]})"
        if not path.is_relative_to(ROOT):
            return match[0]
        inside = path.relative_to(ROOT).as_posix()
        if inside in PAGES:
            path = DOCS / PAGES[inside]
        elif not path.is_relative_to(DOCS):
            return words if f"`{inside}`" in words else f"{words} (`{inside}`)"
        return f"[{words}]({os.path.relpath(path, page.parent)}{anchor})"

    def label(match: re.Match) -> str:
        item = match[1] or ""
        return f"{item}(finding-{match[2]})=\n{' ' * len(item)}"

    return TARGET.sub(label, LINK.sub(link, text))


def _rewrite_page(app, docname, source):
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        source[0] = site_links(source[0], page.parent, page)


def _rewrite_include(app, relative_path, parent_docname, content):
    file, page = (Path(app.srcdir) / relative_path).resolve(), Path(app.env.doc2path(app.env.docname))
    content[0] = site_links(content[0], file.parent, page)


def _make_log_pages(app):
    """Make a page of each file of the log: one line that includes the file."""
    folder = DOCS / "generated" / "log"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "bench" / "log").glob("*.md"):
        text = f"```{{include}} ../../../bench/log/{path.name}\n```\n"
        if path.name == "README.md":
            text += "\n```{toctree}\n:glob:\n:hidden:\n\n[a-z]*\n```\n"
        page = folder / path.name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("builder-inited", _make_log_pages)
    app.connect("source-read", _rewrite_page)
    app.connect("include-read", _rewrite_include)
    return {"parallel_read_safe": True}
