"""What stages hand each other: grids, atoms, lattices, site graphs, noise models, flags and their storage."""

from tusi.data.atoms import Atoms
from tusi.data.causal_graph import CausalEdge, CausalGraph
from tusi.data.descriptors import Descriptors
from tusi.data.flags import AtomFlag
from tusi.data.graph import SiteGraph
from tusi.data.grid import check_grid, check_image, length_unit_of, make_grid, pixel_size_of
from tusi.data.lattice import Lattice
from tusi.data.neighbours import NeighborGraph
from tusi.data.noise import NoiseModel

__all__ = [
    "AtomFlag",
    "Atoms",
    "CausalEdge",
    "CausalGraph",
    "Descriptors",
    "Lattice",
    "NeighborGraph",
    "NoiseModel",
    "SiteGraph",
    "check_grid",
    "check_image",
    "length_unit_of",
    "make_grid",
    "pixel_size_of",
]
