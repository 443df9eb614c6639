"""The site: the pages of this folder as HTML, made by `make site`.

https://www.sphinx-doc.org/en/master/usage/configuration.html and https://myst-parser.readthedocs.io/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PROJECT = "https://github.com/feastflow/registry-action/blob/main/"

project = "Registry Action"
author = "FeastFlow"
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "README"
html_theme = "furo"
html_title = "Registry Action"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_extra_path = ["index.html"]
html_theme_options = {"source_repository": PROJECT.partition("/blob/")[0]}
copybutton_prompt_text = "$ "
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
# Anchors that are HTML are unknown to it: tests/lint/test_pages.py follows every link.
suppress_warnings = ["myst.xref_missing"]


def setup(app: Sphinx) -> None:
    """Have pages that GitHub shows read as those of a site."""
    app.connect("source-read", adapt)


def adapt(_app: Sphinx, page: str, source: list[str]) -> None:
    """Lead out of this folder to GitHub, and put what the list of pages names into the sidebar."""
    text = re.sub(r"\]\(\.\./", f"]({PROJECT}", source[0])
    if page == root_doc:
        pages = dict.fromkeys(re.findall(r"\]\(([\w-]+)\.md\)", text))
        text += "\n".join(("\n```{toctree}", ":hidden:", "", *pages, "```", ""))
    source[0] = text
