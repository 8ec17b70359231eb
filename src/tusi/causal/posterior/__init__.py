"""The exact posterior over causal graphs, its likelihood tempered by how many independent samples an image holds."""

from tusi.lazy import load_on_use

_HOMES = {
    "ExactPosterior": "exact",
    "GaussianEvidence": "evidence",
    "GraphPosterior": "exact",
    "InnovationEvidence": "innovations",
    "acyclic_graphs": "enumeration",
    "edge_probabilities": "summation",
    "log_evidence_of_subsets": "evidence",
    "effects_given": "evidence",
    "slopes_given": "evidence",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
