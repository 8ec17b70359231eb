"""From atoms to structure: the lattice they sit on, the sites that are empty, and the species of each column."""

from tusi.structure.neighbours import site_graph
from tusi.structure.registration import Registration, lattice_constant_of, register_lattice
from tusi.structure.species import IntensityMixture, SpeciesFit, classify_species
from tusi.structure.translations import TranslationSearch, find_translations
from tusi.structure.vacancies import judge_vacancies

__all__ = [
    "IntensityMixture",
    "Registration",
    "SpeciesFit",
    "TranslationSearch",
    "classify_species",
    "find_translations",
    "judge_vacancies",
    "lattice_constant_of",
    "register_lattice",
    "site_graph",
]
