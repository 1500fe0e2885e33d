"""Sphinx: Markdown pages, with tables, pictures and the API reference made from the code."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_extension"), str(DOCS.parent / "src")]

import api_pages  # noqa: E402
import pictures  # noqa: E402

import samemind  # noqa: E402

project = "samemind"
version = release = samemind.__version__
copyright = "the samemind contributors"
extensions = ["myst_parser", "mathml"]
html_math_renderer = "mathml"  # no script from elsewhere: the site works offline
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "samemind"
exclude_patterns = ["_build", "_extension", "*-table.md"]  # tables are parts of pages
# Docstrings begin their own sections below the name they belong to.
suppress_warnings = ["myst.header"]


NAMED = ("index", "more", *(DOCS / "index.md").read_text(encoding="utf-8").split())


def write_more() -> None:
    """A page that lists every page which index.md does not name."""
    others = [p.stem for p in sorted(DOCS.glob("*.md")) if p.stem not in NAMED]
    pages = "\n".join(o for o in others if not o.endswith("-table"))
    toctree = f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n" if pages else ""
    text = "# Promises and results\n\nWhat samemind promises, and what was measured.\n\n"
    (DOCS / "more.md").write_text(text + toctree, encoding="utf-8")


def setup(_app) -> None:
    pictures.write(DOCS / "_pictures")
    api_pages.write(DOCS / "api")
    write_more()
