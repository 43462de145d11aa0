"""The pages of docs/reference, and the public names that they list."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
LISTED = [name for page in PAGES.values() for name in re.findall(r"^   (fastmlp\.[\w.]+)$", page, re.M)]
