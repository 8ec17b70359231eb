"""Sites of a crystal that a calculation or an image holds: periodic cells, windows, whatever was seen."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.data.graph import OUTSIDE, SiteGraph
from tusi.errors import InputError
from tusi.generative.lattice.crystal import SQUARE, TRIANGULAR, Crystal
from tusi.generative.lattice.symmetry import Orbit

RING = {6: ((0, 1), (1, 0), (1, -1), (0, -1), (-1, 0), (-1, 1)), 4: ((0, 1), (1, 0), (0, -1), (-1, 0))}
"""Steps (row, column) to the nearest neighbours in ring order, by coordination."""

GAP = 8
"""Empty cells kept between parts of an image that no bond connects."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LatticeSites:
    """Some of a crystal's sites.

    Attributes
    ----------
    crystal
        The crystal.
    index
        Cell and site of the cell, per site.
    period
        Cells after which each translation repeats; 0 where the sites are a window in a larger crystal.
    occupied
        False where a site is seen to be vacant: it takes part in no cluster.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import SQUARE
    >>> len(periodic_sites(SQUARE, (4, 5)))
    20
    """

    crystal: Crystal
    index: Int[np.ndarray, "site axis"]
    period: tuple[int, ...]
    occupied: Bool[np.ndarray, " site"]

    def __post_init__(self) -> None:
        n = self.crystal.n_translations
        if self.index.ndim != 2 or self.index.shape[1] != n + 1 or len(self.period) != n:
            raise InputError("index", expected=f"{n} cell numbers and a site of the cell", got=str(self.index.shape))
        if len(np.unique(self.index, axis=0)) != len(self.index):
            raise InputError("index", expected="every site once", got="repeated sites")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each site."""
        return tuple(self.crystal.labels[b] for b in self.index[:, -1])

    @property
    def positions(self) -> Float[np.ndarray, "site dimension"]:
        """Ideal positions, in the crystal's unit."""
        return self.index[:, :-1] @ self.crystal.lattice + self.crystal.positions[self.index[:, -1]]

    def find(self, index: Int[np.ndarray, "*batch axis"]) -> Int[np.ndarray, " *batch"]:
        """Return the number of the site at each cell and site of the cell; `OUTSIDE` where there is none."""
        table, low = self._table
        place = index.copy()
        for axis, period in enumerate(self.period):
            if period:
                place[..., axis] %= period
        place -= low
        inside = ((place >= 0) & (place < table.shape)).all(axis=-1)
        clipped = np.clip(place, 0, np.array(table.shape) - 1)
        return np.where(inside, table[tuple(np.moveaxis(clipped, -1, 0))], OUTSIDE)

    def clusters(self, orbit: Orbit) -> tuple[Int[np.ndarray, "cluster corner"], Int[np.ndarray, "cut corner"]]:
        """Return the orbit's clusters as site numbers: those that lie inside, and those that reach outside.

        Each cluster appears once; corners that were not seen are `OUTSIDE`.

        Raises
        ------
        InputError
            The periodic cell is so small that a cluster meets itself.
        """
        found = []
        for cluster in orbit.clusters:
            corners = np.array(cluster)
            anchors = self.index[self.index[:, -1] == corners[0, -1]]
            cells = anchors[:, None, :-1] - corners[0, :-1] + corners[None, :, :-1]
            basis = np.broadcast_to(corners[:, -1], cells.shape[:2])
            found.append(self.find(np.concatenate([cells, basis[..., None]], axis=-1)))
            found.extend(self._beyond(corners))
        members = np.concatenate(found)
        whole = (members != OUTSIDE).all(axis=1)
        ordered = np.sort(members[whole], axis=1)
        if (np.diff(ordered, axis=1) == 0).any():
            raise InputError("shape", expected="a periodic cell larger than every cluster", got=str(self.period))
        return members[whole], members[~whole]

    @functools.cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the sites on a dense grid, and the grid's lowest index."""
        low = self.index.min(axis=0)
        table = np.full(self.index.max(axis=0) - low + 1, OUTSIDE, dtype=np.int64)
        table[tuple((self.index - low).T)] = np.arange(len(self.index))
        return table, low

    def _beyond(self, corners: np.ndarray) -> list[np.ndarray]:
        """Return the clusters whose first corner was not seen but another one was."""
        if all(self.period):
            return []
        rows = []
        for corner in range(1, len(corners)):
            anchors = self.index[self.index[:, -1] == corners[corner, -1]]
            cells = anchors[:, None, :-1] - corners[corner, :-1] + corners[None, :, :-1]
            basis = np.broadcast_to(corners[:, -1], cells.shape[:2])
            members = self.find(np.concatenate([cells, basis[..., None]], axis=-1))
            rows.append(members[(members[:, :corner] == OUTSIDE).all(axis=1)])
        return rows


def periodic_sites(crystal: Crystal, shape: Sequence[int]) -> LatticeSites:
    """Return all sites of a periodic piece of crystal.

    Parameters
    ----------
    crystal
        The crystal.
    shape
        Cells along each translation.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import HONEYCOMB
    >>> len(periodic_sites(HONEYCOMB, (3, 4)))
    24
    """
    shape = tuple(int(n) for n in shape)
    if len(shape) != crystal.n_translations or min(shape) < 2:
        raise InputError("shape", expected=f"{crystal.n_translations} numbers of cells of at least 2", got=str(shape))
    grid = np.indices((*shape, crystal.n_basis)).reshape(len(shape) + 1, -1).T
    return LatticeSites(crystal=crystal, index=grid, period=shape, occupied=np.ones(len(grid), dtype=bool))


def window_sites(crystal: Crystal, shape: Sequence[int]) -> LatticeSites:
    """Return the same sites as a window: what lies outside was not seen.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import SQUARE
    >>> window_sites(SQUARE, (4, 5)).period
    (0, 0)
    """
    sites = periodic_sites(crystal, shape)
    return dataclasses.replace(sites, period=(0,) * crystal.n_translations)


def sites_of_graph(graph: SiteGraph) -> LatticeSites:
    """Return an image's sites on the ideal crystal that its graph is a part of.

    The graph lists neighbours in the same lattice directions on every site, so walking along bonds numbers the cells;
    parts that no bond connects are set apart. Four neighbours make a square lattice, six a triangular one.

    Parameters
    ----------
    graph
        Sites of one image.

    Returns
    -------
    LatticeSites
        In the order of the graph's sites.

    Raises
    ------
    InputError
        The graph has another number of neighbours.

    Examples
    --------
    >>> from tusi.generative.crystal import window_graph
    >>> graph = window_graph(np.zeros((5, 5), dtype=int), inside=np.ones((5, 5), dtype=bool))
    >>> sites_of_graph(graph).crystal.name
    'triangular'
    """
    n_ring = graph.first_neighbours.shape[1]
    if n_ring not in RING:
        raise InputError("graph", expected="four or six nearest neighbours", got=str(n_ring))
    cells = _walk(graph.first_neighbours, np.array(RING[n_ring]))
    crystal = {4: SQUARE, 6: TRIANGULAR}[n_ring]
    return LatticeSites(
        crystal=crystal,
        index=np.column_stack([cells, np.zeros(len(cells), dtype=np.int64)]),
        period=(0, 0),
        occupied=graph.occupied.copy(),
    )


def _walk(neighbours: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return cell numbers of all sites, walking along bonds from the first site of every connected part."""
    cells = np.zeros((len(neighbours), 2), dtype=np.int64)
    part = np.full(len(neighbours), -1)
    right = 0
    for seed in range(len(neighbours)):
        if part[seed] >= 0:
            continue
        part[seed] = seed
        front = [seed]
        while front:
            here = front.pop()
            for step, there in zip(steps, neighbours[here], strict=True):
                if there != OUTSIDE and part[there] < 0:
                    part[there] = seed
                    cells[there] = cells[here] + step
                    front.append(int(there))
        members = part == seed
        cells[members] += np.array([0, right]) - cells[members].min(axis=0)
        right = cells[members, 1].max() + GAP
    return cells
