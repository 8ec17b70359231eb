"""Worlds with known truth, made from a model through a structure to an image, and registered real data sets."""

from tusi.datasets.alloy import (
    COUNTS,
    PICTURE,
    AlloyRecipe,
    SimulatedAlloy,
    series_recipes,
    simulate_alloy,
    simulate_series,
)
from tusi.datasets.localisation import PATTERNS, Disorder, LocalisationWorld, Pattern, localisation_world
from tusi.datasets.real import REAL_DATASETS, RealDataset, RealFile, real_data

__all__ = [
    "COUNTS",
    "PATTERNS",
    "PICTURE",
    "REAL_DATASETS",
    "AlloyRecipe",
    "Disorder",
    "LocalisationWorld",
    "Pattern",
    "RealDataset",
    "RealFile",
    "SimulatedAlloy",
    "localisation_world",
    "real_data",
    "series_recipes",
    "simulate_alloy",
    "simulate_series",
]
