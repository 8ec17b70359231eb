"""Packages whose public names load on first use, so that importing one of them stays instant (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def load_on_use(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package: the first imports a name's module, the second lists all names.

    Parameters
    ----------
    package
        Name of the package.
    homes
        Module inside the package of each public name.

    Examples
    --------
    >>> get, names = load_on_use("tusi.data", {"Atoms": "atoms"})
    >>> get("Atoms").__name__, names()
    ('Atoms', ['Atoms'])
    >>> get("atom")
    Traceback (most recent call last):
    AttributeError: module 'tusi.data' has no attribute 'atom'
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load, lambda: list(homes)
