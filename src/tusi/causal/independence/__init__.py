"""Tests of conditional independence for samples that lie in an image."""

from tusi.lazy import load_on_use

_HOMES = {
    "Independence": "question",
    "IndependenceTest": "question",
    "KernelIndependence": "kernel",
    "Oracle": "oracle",
    "PartialCorrelation": "linear",
    "PreparedTest": "question",
    "d_separated": "oracle",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
