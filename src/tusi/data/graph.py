"""The open graph of sites that a window shows: all that a lattice Hamiltonian sees of a lattice."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError

OUTSIDE = -1
"""Neighbour that lies outside the window."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SiteGraph(Record):
    """Sites of one sublattice of one image, their neighbours by shell, their triangles and who sits on them.

    The graph is a window in a larger crystal: a site whose neighbour is `OUTSIDE` has one that was not seen, which is
    not the same as having none. Vacancies are sites with `occupied` False: seen to be empty, without interaction.

    Attributes
    ----------
    first_neighbours
        Nearest neighbours of each site in cyclic (ring) order, the same lattice direction in each column; `OUTSIDE`
        where the window ends. Six columns on a triangular lattice, four on a square one.
    second_neighbours
        Next-nearest neighbours likewise.
    triangles
        Triples of mutually nearest sites, each triangle once, each row ascending.
    species_probability
        Probability of each species on the site; NaN rows where unoccupied.
    occupied
        False for a vacancy.
    boundary
        True where a nearest neighbour is outside the window.
    atom
        Row of the site's atom in the image's `Atoms`; -1 for a vacancy.
    species
        Names of the species, in the order of the columns.
    image
        Number of the image.
    name
        What to call the image; its number when empty.
    """

    format_name: ClassVar[str] = "site-graph"
    row: ClassVar[str] = "site"

    first_neighbours: Int[np.ndarray, "site first"] = array("site", "first", dtype=np.int64)
    second_neighbours: Int[np.ndarray, "site second"] = array("site", "second", dtype=np.int64)
    triangles: Int[np.ndarray, "triangle 3"] = array("triangle", "corner", dtype=np.int64)
    species_probability: Float[np.ndarray, "site species"] = array("site", "species_")
    occupied: Bool[np.ndarray, " site"] = array("site", dtype=np.bool_)
    boundary: Bool[np.ndarray, " site"] = array("site", dtype=np.bool_)
    atom: Int[np.ndarray, " site"] = array("site", dtype=np.int64)
    species: tuple[str, ...]
    image: int = 0
    name: str = ""

    @property
    def title(self) -> str:
        """What to call the image in a sentence."""
        return self.name or f"image {self.image}"

    def _check(self) -> None:
        n_sites = len(self.boundary)
        for name in ("first_neighbours", "second_neighbours", "triangles"):
            links = getattr(self, name)
            if links.size and (links.min() < OUTSIDE or links.max() >= n_sites):
                raise InputError(name, expected=f"site numbers below {n_sites}, or {OUTSIDE}", got="others")
        if not np.array_equal(self.boundary, (self.first_neighbours == OUTSIDE).any(axis=1)):
            raise InputError("boundary", expected="True exactly where a nearest neighbour is outside", got="otherwise")

    def __getitem__(self, rows: object) -> "SiteGraph":
        raise TypeError("a SiteGraph cannot be sliced: its rows refer to each other")

    @property
    def pairs(self) -> tuple[Int[np.ndarray, "first_pair 2"], Int[np.ndarray, "second_pair 2"]]:
        """Bonds between sites that were both seen, nearest and next-nearest, each once, each row ascending."""
        return _bonds(self.first_neighbours), _bonds(self.second_neighbours)


def _bonds(neighbours: Int[np.ndarray, "site z"]) -> Int[np.ndarray, "pair 2"]:
    site = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    other = neighbours.ravel()
    keep = other > site
    return np.stack([site[keep], other[keep]], axis=1)
