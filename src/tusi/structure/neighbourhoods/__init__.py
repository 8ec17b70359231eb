"""Atoms and their neighbours: who is next to whom, in which direction, and what kinds of surroundings there are."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
