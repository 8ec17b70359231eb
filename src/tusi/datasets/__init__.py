"""Worlds with known truth, made from a model through a structure to an image, and registered real data sets."""

from tusi.datasets.adatoms import (
    AdatomSurface,
    FrameRecipe,
    MovieRecipe,
    simulate_adatom_frames,
    simulate_adatom_images,
    simulate_adatom_movies,
)
from tusi.datasets.alloy import (
    COUNTS,
    PICTURE,
    AlloyRecipe,
    SimulatedAlloy,
    series_recipes,
    simulate_alloy,
    simulate_series,
)
from tusi.datasets.disorder import DisorderRecipe, SimulatedDisorder, simulate_bond_disorder
from tusi.datasets.localisation import PATTERNS, Disorder, LocalisationWorld, Pattern, localisation_world
from tusi.datasets.real import REAL_DATASETS, RealDataset, RealFile, real_data
from tusi.datasets.segregation import SegregationRecipe, SimulatedSegregation, simulate_segregation

__all__ = [
    "COUNTS",
    "PATTERNS",
    "PICTURE",
    "REAL_DATASETS",
    "AdatomSurface",
    "AlloyRecipe",
    "Disorder",
    "DisorderRecipe",
    "FrameRecipe",
    "LocalisationWorld",
    "MovieRecipe",
    "Pattern",
    "RealDataset",
    "RealFile",
    "SegregationRecipe",
    "SimulatedAlloy",
    "SimulatedDisorder",
    "SimulatedSegregation",
    "localisation_world",
    "real_data",
    "series_recipes",
    "simulate_adatom_frames",
    "simulate_adatom_images",
    "simulate_adatom_movies",
    "simulate_alloy",
    "simulate_bond_disorder",
    "simulate_segregation",
    "simulate_series",
]
