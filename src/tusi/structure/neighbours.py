"""Neighbour directions of a two-dimensional lattice in ring order, and the site graph that they span."""

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Lattice, SiteGraph
from tusi.data.graph import OUTSIDE
from tusi.errors import InputError
from tusi.structure.translations import is_triangular


def first_shell(vectors: Float[np.ndarray, "2 2"]) -> list[tuple[int, int]]:
    """Return the steps (rows, columns) to the nearest neighbours in ring order: six or four of them.

    Parameters
    ----------
    vectors
        Reduced lattice vectors as rows, at an obtuse or right angle, in any unit of length.

    Examples
    --------
    >>> first_shell(np.array([[1.0, 0.0], [-0.5, 0.866]]))
    [(1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1)]
    >>> first_shell(np.eye(2))
    [(1, 0), (0, 1), (-1, 0), (0, -1)]
    """
    half = [(1, 0), (1, 1), (0, 1)] if is_triangular(vectors) else [(1, 0), (0, 1)]
    return half + [(-row, -column) for row, column in half]


def second_shell(vectors: Float[np.ndarray, "2 2"]) -> list[tuple[int, int]]:
    """Return the steps to the next-nearest neighbours, each the sum of two adjacent steps of `first_shell`.

    Examples
    --------
    >>> second_shell(np.eye(2))
    [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    """
    ring = first_shell(vectors)
    return [(a[0] + b[0], a[1] + b[1]) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]


def site_graph(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0, domain: int | None = None) -> SiteGraph:
    """Return the graph of one sublattice: neighbours in ring order, triangles, and who sits on each site.

    Neighbours are counted in the lattice, not measured in the image, so distortion and dimerised rows do not change
    them. A neighbour that is not a site of the lattice lies outside the window.

    Parameters
    ----------
    atoms
        Atoms with species probabilities.
    lattice
        The lattice that `atoms` was registered to.
    basis_site
        Which basis site: 0 is the brightest of the first domain.
    domain
        Which domain; `None` takes the one with most sites on this basis site.

    Returns
    -------
    SiteGraph
        A site is occupied if it has an atom with finite species probabilities. A site without an atom that is more
        likely filled than empty is occupied too, by a species that is not known: it has the mean composition.

    Raises
    ------
    InputError
        The basis site does not exist, or the atoms carry no species probabilities.

    Examples
    --------
    >>> import dataclasses
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:5, :5] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(25))
    >>> atoms = dataclasses.replace(atoms, species=("Mo",), species_probability=np.ones((25, 1)))
    >>> graph = site_graph(atoms, register_lattice(atoms))
    >>> len(graph), int((~graph.boundary).sum())
    (25, 9)
    """
    if not atoms.species:
        raise InputError("atoms", expected="species probabilities", got="none", then="Call `classify_species` first.")
    chosen = lattice.index[:, 2] == basis_site
    if not chosen.any():
        raise InputError("basis_site", expected=f"below {len(lattice.basis)}", got=str(basis_site))
    domain = int(np.bincount(lattice.domain[chosen]).argmax()) if domain is None else domain
    rows = np.flatnonzero(chosen & (lattice.domain == domain))
    vectors = lattice.vectors[domain]
    number = {tuple(cell): site for site, cell in enumerate(lattice.index[rows, :2].tolist())}
    cells = list(number)
    first = _neighbours(cells, number, first_shell(vectors))
    atom = lattice.atom[rows]
    known = np.where((atom >= 0)[:, None], atoms.species_probability[atom], np.nan)
    unseen = (atom < 0) & ~lattice.vacant[rows]
    probability = np.where(unseen[:, None], _composition(known), known)
    return SiteGraph(
        first_neighbours=first,
        second_neighbours=_neighbours(cells, number, second_shell(vectors)),
        triangles=_triangles(first),
        species_probability=probability,
        occupied=np.all(np.isfinite(probability), axis=1),
        boundary=(first == OUTSIDE).any(axis=1),
        atom=atom,
        species=atoms.species,
        image=lattice.image,
    )


def _composition(probability: Float[np.ndarray, "site species"]) -> Float[np.ndarray, " species"]:
    """Return the mean species probabilities of the sites where they are known."""
    known = probability[np.isfinite(probability).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(probability.shape[1], np.nan)


def _neighbours(
    cells: list[tuple[int, int]], number: dict[tuple[int, int], int], shell: list[tuple[int, int]]
) -> Int[np.ndarray, "site z"]:
    return np.array(
        [[number.get((row + step[0], column + step[1]), OUTSIDE) for step in shell] for row, column in cells],
        dtype=np.int64,
    ).reshape(-1, len(shell))


def _triangles(first: Int[np.ndarray, "site z"]) -> Int[np.ndarray, "triangle 3"]:
    """Return the triples of mutually nearest sites; none on a lattice with four neighbours."""
    if first.shape[1] != 6:
        return np.empty((0, 3), np.int64)
    site = np.arange(len(first))
    found = [np.column_stack([site, first[:, k], first[:, (k + 1) % 6]]) for k in range(6)]
    triples = np.concatenate(found)
    triples = triples[(triples != OUTSIDE).all(axis=1)]
    return np.unique(np.sort(triples, axis=1), axis=0)
