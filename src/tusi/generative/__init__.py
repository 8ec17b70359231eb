"""Generative models: which Hamiltonian would arrange the atoms as the images show them."""

from tusi.lazy import load_on_use

_HOMES = {
    "fit_hamiltonians": "comparison",
    "HamiltonianSettings": "comparison",
    "HamiltonianComparison": "results",
    "HamiltonianFit": "results",
    "NestedTest": "results",
    "FitSettings": "likelihood",
    "LatticeModel": "lattice.model",
    "MODELS": "models",
    "SamplerSettings": "sampling",
    "periodic_graph": "crystal",
    "sample_crystal": "crystal",
    "square_window": "crystal",
    "window_graph": "crystal",
}

__all__ = [
    "MODELS",
    "FitSettings",
    "HamiltonianComparison",
    "HamiltonianFit",
    "HamiltonianSettings",
    "LatticeModel",
    "NestedTest",
    "SamplerSettings",
    "fit_hamiltonians",
    "periodic_graph",
    "sample_crystal",
    "square_window",
    "window_graph",
]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
