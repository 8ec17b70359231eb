"""Distortion of the scan, learned as a smooth random function from atoms on a lattice or in the frames of a stack."""

from tusi.lazy import load_on_use

_HOMES = {
    "Distortion": "result",
    "DistortionPrior": "prior",
    "StackDistortion": "stack",
    "fit_distortion": "lattices",
    "fit_stack_distortion": "stack",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
