"""What a lattice model is: crystals and their symmetry, terms, named models, sites, and all of it as arrays."""

import importlib
from typing import Any

_HOMES = {
    "CRYSTALS": "crystal",
    "CUBIC": "crystal",
    "HONEYCOMB": "crystal",
    "PEROVSKITE_PLANE": "crystal",
    "SQUARE": "crystal",
    "TRIANGULAR": "crystal",
    "Crystal": "crystal",
    "slab": "crystal",
    "Orbit": "symmetry",
    "find_orbits": "symmetry",
    "operations": "symmetry",
    "orbit_of": "symmetry",
    "pair_shells": "symmetry",
    "ClusterOf": "motifs",
    "Motif": "motifs",
    "NearestClusters": "motifs",
    "PairShell": "motifs",
    "SingleSite": "motifs",
    "LatticeModel": "model",
    "Term": "model",
    "tabulate": "model",
    "NAMED_MODELS": "named",
    "adatoms": "named",
    "blume_capel": "named",
    "ising": "named",
    "named_model": "named",
    "pair_model": "named",
    "potts": "named",
    "segregation": "named",
    "solution": "named",
    "species_fields": "named",
    "triangle_model": "named",
    "with_fields": "named",
    "LatticeSites": "sites",
    "periodic_sites": "sites",
    "sites_of_graph": "sites",
    "window_sites": "sites",
    "lattice_system": "compilation",
    "LatticeSystem": "system",
    "Enumeration": "exact",
    "enumerate_states": "exact",
    "onsager_energy": "exact",
    "onsager_specific_heat": "exact",
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
