"""Configuration of the documentation: python -m sphinx -W -b html docs docs/_build/html (needs the extra `docs`)."""

import os
import sys
from pathlib import Path

import fastmlp

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

project = "fastmlp"
author = "the fastmlp authors"
version = release = fastmlp.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "repository_links",
    "generated_reference",
    "module_index",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "_extensions", "tutorials", "generated/**/*.ipynb"]

# ---- Markdown
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold functions, which are not cached

# ---- reference
autosummary_generate = True
autodoc_typehints = "none"  # docstrings say more than annotations: shapes, units, choices
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template of classes lists them
numpydoc_xref_param_type = False
default_role = "literal"  # `x` in a docstring is code
smartquotes = False  # "relu" in a docstring is code, too

# ---- gallery. Scripts with the prefix long_ run only where FASTMLP_DOCS=long, as in .ci/full.
_executed = r"[/\\](?:plot_|long_)" if os.environ.get("FASTMLP_DOCS") == "long" else r"[/\\]plot_"
sphinx_gallery_conf = {
    "examples_dirs": ["tutorials", "../examples"],
    "gallery_dirs": ["generated/tutorials", "generated/examples"],
    "filename_pattern": _executed,
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("fastmlp",),
    "reference_url": {"fastmlp": None},
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "capture_repr": ("__repr__",),
}
os.environ.setdefault("MPLBACKEND", "agg")

# ---- HTML
html_theme = "pydata_sphinx_theme"
html_title = "fastmlp"
html_static_path = ["_static"]
html_css_files = ["fastmlp.css"]
html_search_scorer = str(ROOT / "docs" / "_static" / "search_scores.js")
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copyright = "the fastmlp authors, MIT licence"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
