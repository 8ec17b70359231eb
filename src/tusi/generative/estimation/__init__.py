"""Couplings from images: estimators, their uncertainty, and how well the model explains what was seen."""

import importlib
from typing import Any

_HOMES = {
    "Observation": "observation",
    "observation_of_graph": "observation",
    "observe": "observation",
    "CouplingEstimate": "estimate",
    "EstimationMethod": "estimate",
    "estimate_couplings": "estimate",
    "Pseudolikelihood": "pseudolikelihood",
    "MaximumLikelihood": "likelihood",
    "LikelihoodSurface": "surface",
    "likelihood_surface": "surface",
    "Posterior": "posterior",
    "sample_posterior": "posterior",
    "CouplingPosterior": "coupling_posterior",
    "PosteriorSettings": "coupling_posterior",
    "JointPrior": "prior",
    "LaplacePrior": "prior",
    "NormalPrior": "prior",
    "Prior": "prior",
    "Priors": "prior",
    "UniformPrior": "prior",
    "BayesFactor": "evidence",
    "ModelEvidence": "evidence",
    "bayes_factor": "evidence",
    "log_evidence": "evidence",
    "MinimumDistance": "distance",
    "DistanceLandscape": "landscape",
    "LandscapeAxes": "landscape",
    "distance_landscape": "landscape",
    "ClusterHistogram": "histograms",
    "Statistic": "histograms",
    "environment_classes": "histograms",
    "PairCorrelation": "correlation",
    "PairDistribution": "correlation",
    "pair_correlation": "correlation",
    "Condition": "information",
    "expected_error": "information",
    "ExpectedError": "information",
    "error_against_sites": "information",
    "DataToDecide": "decision",
    "DecisionTarget": "decision",
    "data_to_decide": "decision",
    "best_next_condition": "decision",
    "NextCondition": "decision",
    "FitExamination": "examination",
    "ScoreTest": "examination",
    "examine_fit": "examination",
    "ReplicaSettings": "replicas",
    "MacroscopicProfile": "specimens",
    "Specimen": "specimens",
    "fit_specimens": "macroscopic",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
