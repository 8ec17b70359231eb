"""Atoms and their neighbours: who is next to whom, in which direction, and what kinds of surroundings there are."""

import importlib
from typing import Any

_HOMES = {
    "CrystallographySettings": "crystallography",
    "Delaunay": "rules",
    "LatticeSteps": "rules",
    "LocalCrystallography": "crystallography",
    "Nearest": "rules",
    "NeighbourRule": "rules",
    "NeighbourhoodComponents": "components",
    "Neighbourhoods": "vectors",
    "Voronoi": "rules",
    "Within": "rules",
    "bond_statistics": "statistics",
    "find_neighbours": "rules",
    "local_crystallography": "crystallography",
    "nearest_steps": "steps",
    "neighbourhoods": "vectors",
    "principal_components": "components",
    "tessellate": "tessellation",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for those who press TAB."""
    return list(__all__)
