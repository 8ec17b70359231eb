"""Atoms and their neighbours: who is next to whom, in which direction, and what kinds of surroundings there are."""

import importlib
from typing import Any

_HOMES = {
    "Delaunay": "rules",
    "LatticeSteps": "rules",
    "Nearest": "rules",
    "NeighbourRule": "rules",
    "Neighbourhoods": "vectors",
    "Voronoi": "rules",
    "Within": "rules",
    "find_neighbours": "rules",
    "nearest_steps": "steps",
    "neighbourhoods": "vectors",
    "tessellate": "tessellation",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
