"""Unmixing: windows of an image, or any rows of features, as sums of a few components."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
