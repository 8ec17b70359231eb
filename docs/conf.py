"""How the documentation is built: every page runs, and every warning is an error (`make docs`)."""

import re
from importlib.metadata import version as _version

project = "tusi"
author = "The tusi developers"
copyright = "The tusi developers, BSD-3-Clause"
release = version = _version("tusi")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
default_role = "code"
nitpicky = False

html_theme = "sphinx_book_theme"
html_title = "tusi"
html_static_path = ["_static"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
html_copy_source = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def _own_references(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give the numbered references of a docstring labels of their own, so that several can share a page."""
    label = name.rpartition(".")[2].replace("_", "-")
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"^\.\. \[(\d+)\]", rf".. [{label}-\1]", line)
        lines[i] = re.sub(r"\[(\d+)\]_", rf"[{label}-\1]_", lines[i])


def setup(app: object) -> None:
    app.connect("autodoc-process-docstring", _own_references, priority=400)
