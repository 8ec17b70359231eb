"""Plane groups of windows of atoms: posterior probabilities, maps, alternatives, and how large a window must be."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
