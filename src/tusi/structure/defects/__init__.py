"""Defects as rows with probability: vacancies, substitutions, interstitials, dislocations, boundaries."""

from tusi.structure.defects.find import DefectSearch, find_defects
from tusi.structure.defects.table import Defect, DefectKind, Defects

__all__ = [
    "Defect",
    "DefectKind",
    "DefectSearch",
    "Defects",
    "find_defects",
]
