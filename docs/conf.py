"""How the documentation is built: every page runs, and every warning is an error (`make docs`)."""

import importlib
import os
import pkgutil
import re
from importlib.metadata import version as _version

import tusi

# The pages' matrices are small: more threads than one only wait for each other.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

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
html_css_files = ["pages.css"]
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
napoleon_custom_sections = [("Attributes", "params_style")]  # a plain list: names alone are ambiguous as links
napoleon_use_rtype = False


def _plain_references(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make a numbered list of a docstring's references: citation labels would collide between objects on one page."""
    inside = False
    for i, line in enumerate(lines):
        entry = re.match(r"\.\. \[(\d+)\] (.*)", line)
        inside = bool(entry) or (inside and (not line or line.startswith(" ")))
        if entry:
            lines[i] = f"{entry[1]}. {entry[2]}"
        elif inside and line:
            lines[i] = "   " + line.strip()
        else:
            lines[i] = re.sub(r"\[(\d+)\]_", r"[\1]", line)


def _load_public_names() -> None:
    """Load what packages load on first use: autodoc documents the names that it finds by `dir`."""
    for found in pkgutil.walk_packages(tusi.__path__, "tusi."):
        if found.ispkg:
            package = importlib.import_module(found.name)
            vars(package).update({name: getattr(package, name) for name in getattr(package, "__all__", ())})


def setup(app: object) -> None:
    _load_public_names()
    app.connect("autodoc-process-docstring", _plain_references, priority=400)
