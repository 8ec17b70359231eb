"""What follows from a causal graph: equations, interventions, counterfactuals, refutation, and what to measure next."""

from tusi.lazy import load_on_use

_HOMES = {
    "Contrast": "effects",
    "Diagnosis": "diagnosis",
    "Effect": "intervals",
    "Experiment": "experiments",
    "Hypothesis": "hypotheses",
    "Linear": "mechanisms",
    "Mechanism": "mechanisms",
    "Mediation": "effects",
    "Outcome": "model",
    "RankedExperiment": "experiments",
    "Refutation": "refutation",
    "Refuters": "refutation",
    "Spline": "splines",
    "StructuralModel": "model",
    "Structure": "structure",
    "average_effect": "effects",
    "diagnose": "diagnosis",
    "linear_effects": "effects",
    "mediation": "effects",
    "rank_experiments": "experiments",
    "refute": "refutation",
    "remaining_hypotheses": "hypotheses",
    "to_dot": "export",
    "to_gml": "export",
    "to_networkx": "export",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
