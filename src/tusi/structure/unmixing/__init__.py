"""Unmixing: windows of an image, or any rows of features, as sums of a few components."""

import importlib
from typing import Any

_HOMES = {
    "BayesianMixture": "bayesian",
    "BayesianUnmixing": "bayesian",
    "FeatureNoise": "noise",
    "ImageUnmixing": "image",
    "IndependentComponents": "linear",
    "LinearMixture": "linear",
    "NonNegativeMatrix": "linear",
    "PrincipalComponents": "linear",
    "SimplexVertices": "linear",
    "UnmixingMethod": "linear",
    "constrained_abundances": "abundances",
    "filter_image": "image",
    "find_vertices": "vertices",
    "unmix": "linear",
    "unmix_bayesian": "bayesian",
    "unmix_image": "image",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
