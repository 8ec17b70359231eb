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

__all__ = [
    "COUNTS",
    "PATTERNS",
    "PICTURE",
    "AlloyRecipe",
    "Disorder",
    "LocalisationWorld",
    "Pattern",
    "SimulatedAlloy",
    "localisation_world",
    "series_recipes",
    "simulate_alloy",
    "simulate_series",
]
