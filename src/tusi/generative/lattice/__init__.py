"""What a lattice model is: crystals and their symmetry, terms, named models, sites, and all of it as arrays."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
