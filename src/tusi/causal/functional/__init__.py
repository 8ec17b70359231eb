"""Causes from the shape of distributions: linear models with non-Gaussian disturbances, cycles, scores of pairs."""

from tusi.lazy import load_on_use

_HOMES = {
    "CyclicLing": "cyclic",
    "CyclicModels": "cyclic",
    "DecisionCurve": "pairs",
    "DirectLingam": "lingam",
    "DirectionScore": "pairs",
    "LinearNonGaussianModel": "lingam",
    "PairDirection": "pairs",
    "StableModel": "cyclic",
    "decision_curve": "pairs",
    "gaussianity": "normality",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
