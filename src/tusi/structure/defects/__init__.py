"""Defects as rows with probability: point defects, dislocations, boundaries; and a library of them."""

from tusi.structure.defects.find import DefectSearch, find_defects
from tusi.structure.defects.library import DefectLibrary, LibraryMatch
from tusi.structure.defects.patches import DefectPatch, PatchMatch, compare_patches, cut_patch
from tusi.structure.defects.table import Defect, DefectKind, Defects

__all__ = [
    "Defect",
    "DefectKind",
    "DefectLibrary",
    "DefectPatch",
    "DefectSearch",
    "Defects",
    "LibraryMatch",
    "PatchMatch",
    "compare_patches",
    "cut_patch",
    "find_defects",
]
