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
    "composite_criterion": "criterion",
    "fit_specimens_by_distance": "macroscopic",
    "JointFit": "macroscopic",
    "depth_groups": "specimens",
    "fit_clean_exchange": "disorder",
    "detect_bond_disorder": "disorder",
    "CleanFit": "disorder",
    "DisorderTest": "disorder",
    "fit_bond_disorder": "bond_law",
    "DisorderFit": "bond_law",
    "fit_adatoms": "adatoms",
    "AdatomFit": "adatoms",
    "RateLaw": "adatoms",
    "AdatomImages": "adatom_data",
    "AdatomMovies": "adatom_data",
    "SiteCounts": "adatom_data",
    "Jumps": "adatom_data",
    "EnvironmentClasses": "histograms",
    "n_environment_classes": "histograms",
    "ErrorAgainstSites": "information",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for those who press TAB."""
    return list(__all__)
