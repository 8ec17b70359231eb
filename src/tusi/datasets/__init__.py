"""Worlds with known truth, made from a model through a structure to an image, and registered real data sets."""

from tusi.datasets.localisation import PATTERNS, Disorder, LocalisationWorld, Pattern, localisation_world

__all__ = ["PATTERNS", "Disorder", "LocalisationWorld", "Pattern", "localisation_world"]
