"""Arrangements in a periodic crystal, and windows cut out of one: worlds whose Hamiltonian is known."""

import numpy as np
from jaxtyping import Float, Int

from tusi.data.graph import OUTSIDE, SiteGraph
from tusi.errors import InputError
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.sampling import SamplerSettings, sample
from tusi.generative.window import condition

RING = {6: ((0, 1), (1, 0), (1, -1), (0, -1), (-1, 0), (-1, 1)), 4: ((0, 1), (1, 0), (0, -1), (-1, 0))}
"""Steps (row, column) to the nearest neighbours in cyclic order, by coordination; oblique axes at 60 degrees for 6."""

SECOND_RING = {6: ((1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)), 4: ((1, 1), (1, -1), (-1, -1), (-1, 1))}
"""Steps (row, column) to the next-nearest neighbours in cyclic order."""

CRYSTAL_SAMPLER = SamplerSettings(spacing=20.0, burn_in=20)
"""Chain for a single arrangement: 400 exchanges per atom of the minority species before it is taken."""


def sample_crystal(
    shape: tuple[int, int],
    model: LatticeModel,
    *,
    couplings: Float[np.ndarray, " parameter"],
    composition: float,
    rng: np.random.Generator,
) -> Int[np.ndarray, "row column"]:
    """Draw one arrangement of two species on a periodic triangular lattice.

    Canonical exchange Monte Carlo from a random start, 400 tried exchanges per minority atom. Rows and columns run
    along two lattice vectors 60 degrees apart: site (r, c) sits at `a ((c + r / 2) x, (sqrt(3) / 2) r y)`.

    Parameters
    ----------
    shape
        Rows and columns, at least 4 each.
    model
        The Hamiltonian, e.g. `MODELS["P1"]`.
    couplings
        Its couplings, in kT.
    composition
        Fraction of sites that hold species 1.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Species (0 or 1) of each site.

    Raises
    ------
    InputError
        The lattice is too small, the composition is no fraction, or there are not as many couplings as terms.

    Examples
    --------
    >>> from tusi.generative.models import MODELS
    >>> rng = np.random.default_rng(0)
    >>> species = sample_crystal((12, 12), MODELS["P1"], couplings=np.array([-0.4]), composition=0.25, rng=rng)
    >>> species.shape, int(species.sum())
    ((12, 12), 36)
    """
    couplings = np.atleast_1d(np.asarray(couplings, dtype=np.float64))
    if min(shape) < 4:
        raise InputError("shape", expected="at least 4 rows and columns", got=str(shape))
    if not 0 <= composition <= 1:
        raise InputError("composition", expected="a fraction between 0 and 1", got=str(composition))
    if couplings.shape != (len(model.terms),):
        raise InputError("couplings", expected=f"one for each of {model.parameters}", got=str(couplings))
    species = np.zeros(shape[0] * shape[1], dtype=np.int8)
    species[: round(composition * len(species))] = 1
    window = condition(periodic_graph(shape), [model])
    chain = sample(
        window, model, couplings=couplings, species=species, n_samples=1, rng=rng, keep_species=True,
        settings=CRYSTAL_SAMPLER,
    )  # fmt: skip
    return chain.species[0].reshape(shape)


def periodic_graph(shape: tuple[int, int], *, n_ring: int = 6) -> SiteGraph:
    """Return the graph of a periodic lattice, without species.

    Parameters
    ----------
    shape
        Rows and columns.
    n_ring
        Coordination: 6 for a triangular lattice, 4 for a square one.

    Examples
    --------
    >>> graph = periodic_graph((4, 5))
    >>> len(graph), [len(bonds) for bonds in graph.pairs], bool(graph.boundary.any())
    (20, [60, 60], False)
    """
    row, column = (index.ravel() for index in np.indices(shape))

    def site(step: tuple[int, int]) -> np.ndarray:
        return (row + step[0]) % shape[0] * shape[1] + (column + step[1]) % shape[1]

    first = np.stack([site(step) for step in RING[n_ring]], axis=1)
    second = np.stack([site(step) for step in SECOND_RING[n_ring]], axis=1)
    return _graph(first, second, np.full((len(row), 2), 0.5), species=("A", "B"))


def window_graph(
    arrangement: Int[np.ndarray, "row column"],
    *,
    inside: np.ndarray,
    species: tuple[str, str] = ("A", "B"),
    image: int = 0,
) -> SiteGraph:
    """Cut a window out of an arrangement: sites outside are unseen, not absent.

    Parameters
    ----------
    arrangement
        Species (0 or 1) on a triangular lattice in the axes of `sample_crystal`; -1 marks a vacancy.
    inside
        True on the sites that the window shows; same shape.
    species
        Names of species 0 and 1.
    image
        Number of the image.

    Returns
    -------
    SiteGraph
        The sites of the window in the order of rows and columns, species certain.

    Examples
    --------
    >>> graph = window_graph(np.zeros((5, 5), dtype=int), inside=np.ones((5, 5), dtype=bool))
    >>> len(graph), int((~graph.boundary).sum())
    (25, 9)
    """
    shape = arrangement.shape
    number = np.full((shape[0] + 4, shape[1] + 4), OUTSIDE)
    number[2:-2, 2:-2][inside] = np.arange(np.count_nonzero(inside))
    row, column = np.nonzero(inside)

    def neighbours(steps: tuple[tuple[int, int], ...]) -> np.ndarray:
        return np.stack([number[row + 2 + down, column + 2 + right] for down, right in steps], axis=1)

    chosen = arrangement[inside]
    probability = np.where(chosen[:, None] < 0, np.nan, chosen[:, None] == np.arange(2))
    return _graph(neighbours(RING[6]), neighbours(SECOND_RING[6]), probability, species=species, image=image)


def square_window(shape: tuple[int, int], *, height: int, width: int) -> np.ndarray:
    """Return a mask of about `height` x `width` sites that is a rectangle in real space, in the middle of a lattice.

    Parameters
    ----------
    shape
        Rows and columns of the lattice, whose axes are 60 degrees apart.
    height, width
        Rows of the window, and sites in each of them.

    Raises
    ------
    InputError
        The lattice is too small for it.

    Examples
    --------
    >>> int(square_window((20, 30), height=8, width=9).sum())
    72
    """
    rows = np.arange(height) + (shape[0] - height) // 2
    first = (shape[1] - width + height // 2) // 2 - np.arange(height) // 2
    if rows[0] < 0 or first.min() < 0 or first.max() + width > shape[1] or height > shape[0]:
        raise InputError("shape", expected=f"room for a window of {height} x {width}", got=str(shape))
    inside = np.zeros(shape, dtype=bool)
    for row, left in zip(rows, first, strict=True):
        inside[row, left : left + width] = True
    return inside


def _graph(
    first: np.ndarray, second: np.ndarray, probability: np.ndarray, *, species: tuple[str, ...], image: int = 0
) -> SiteGraph:
    """Assemble a site graph from its neighbour lists; triangles are pairs of consecutive ring sites."""
    site = np.arange(len(first))
    corners = [np.stack([site, first[:, j], first[:, (j + 1) % 6]], axis=1) for j in range(2 * (first.shape[1] == 6))]
    triangles = np.concatenate(corners) if corners else np.empty((0, 3), np.int64)
    triangles = np.sort(triangles[(triangles != OUTSIDE).all(axis=1)], axis=1)
    return SiteGraph(
        first_neighbours=first,
        second_neighbours=second,
        triangles=triangles,
        species_probability=probability,
        occupied=np.isfinite(probability[:, 0]),
        boundary=(first == OUTSIDE).any(axis=1),
        atom=np.where(np.isfinite(probability[:, 0]), site, -1),
        species=species,
        image=image,
    )
