"""Plane groups of windows of atoms: posterior probabilities, maps, alternatives, and how large a window must be."""

import importlib
from typing import Any

_HOMES = {
    "PLANE_GROUPS": "plane_groups",
    "SITE_GROUPS": "plane_groups",
    "PlaneGroup": "plane_groups",
    "plane_group": "plane_groups",
    "identify_group": "plane_groups",
    "MeanCell": "mean_cells",
    "mean_cell": "mean_cells",
    "SymmetryPrior": "prior",
    "SymmetryPosterior": "posterior",
    "infer_symmetry": "posterior",
    "Constraint": "alternatives",
    "Alternative": "alternatives",
    "AlternativePosterior": "alternatives",
    "compare_alternatives": "alternatives",
    "RIGHT_ANGLE": "alternatives",
    "EQUAL_SIDES": "alternatives",
    "HEXAGONAL_ANGLE": "alternatives",
    "WindowSizes": "resolution",
    "expected_window": "resolution",
    "SlidingCells": "maps",
    "map_symmetry": "maps",
    "CrystalStructure": "structures",
    "draw_lattice": "structures",
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
