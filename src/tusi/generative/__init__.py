"""Generative models: which Hamiltonian would arrange the atoms as the images show them."""

import importlib

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


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for those who press TAB."""
    return list(__all__)
