"""One crystal domain among atoms: lattice, basis, and the atoms on it; a larger cell where a small one fails."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.spatial import cKDTree

from tusi.structure.links import follow_links
from tusi.structure.phases import LatticePhase, follow_phase
from tusi.structure.sublattices import find_basis, primitive_cell
from tusi.structure.translations import (
    COHERENCE,
    TranslationSearch,
    find_translations,
    local_coherence,
    neighbour_distance,
)

PATCH_ATOMS, N_PATCHES = 60, 24
"""Where several grains share a window: atoms in a patch, and how many patches are tried."""

EXPLAINED, CLOSELY, MORE = 0.9, 0.5, 1.25
"""A larger cell is sought where less of the first domain's brightness lies on basis sites or, of that in and beside
it, within half their radius beyond chance; there it must hold so many times as much."""

SHARPER = 1.1
"""Smaller sites in the same cell must hold so many times as much."""

BESIDE = 1.5
"""Atoms lie beside a domain if one of its atoms is within so many lattice vectors; a grain has few of them."""

CLEAR = 0.25
"""A lattice of most atoms is taken without looking further if its sites hold so much more of them than by chance."""

LONGER, CLOSER, FEWER, SHORTFALL = 2.0, 0.55, 0.7, 0.1
"""The larger cell is sought with so many times the reach, the tolerance, the radius of a basis site, and the coverage;
its translations carry about the same share of the atoms."""

LINKED = 0.75
"""Around an atom of a domain its translations carry at least this part of what they must carry in all."""

CELL_TO_NEIGHBOUR = 4 / 3
"""The circles of neighbouring sites stay clear of each other in cells with many atoms."""

BRIGHT = 0.5
"""Only atoms of at least this brightness tell how far neighbours are apart."""


SAME = 0.25
"""A translation that carries the basis into itself to this share of a site's radius makes the cell smaller."""

MOST_CELLS = 4
"""Largest number of cells that are tried as one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registration:
    """How atoms are registered to a lattice.

    Attributes
    ----------
    translations
        How lattice vectors are looked for.
    smoothness
        Length over which distortion is taken to be constant, in lattice vectors.
    basis_radius
        How far from the mean place of a basis site an atom may lie, in units of the shortest lattice vector, or of 1.73
        distances of neighbours in cells with many atoms.
    basis_occupancy
        Share of the cells in which a place must be filled to count as a basis site.
    ordering
        Share of the variance of the intensities that an alternation must explain to make two sublattices of one.
    local_ordering
        The same for the contrast of each site to its neighbours, which slow changes of brightness do not touch.
    fewest_atoms
        A domain with fewer atoms is not reported.
    mask_edge
        Leave atoms out whose spot is cut by the edge of the image.
    """

    translations: TranslationSearch = dataclasses.field(default_factory=TranslationSearch)
    smoothness: float = 2.0
    basis_radius: float = 0.3
    basis_occupancy: float = 0.5
    ordering: float = 0.7
    local_ordering: float = 0.5
    fewest_atoms: int = 12
    mask_edge: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Domain:
    """A lattice followed through one domain, its basis, and the atoms on it.

    Attributes
    ----------
    position
        (y, x) of all atoms among which the domain was sought.
    weight
        Their importance.
    phase
        Their lattice coordinates, and which of them belong to the domain.
    radius
        How far from its site an atom may lie, in the unit of the positions.
    basis
        Places in the cell, brightest first, in lattice vectors.
    index
        (row, column, basis site) of each atom on a site.
    owner
        Number of that atom.
    settings
        What counts as a basis site.
    """

    position: Float[np.ndarray, "atom 2"]
    weight: Float[np.ndarray, " atom"]
    phase: LatticePhase
    radius: float
    basis: Float[np.ndarray, "basis 2"]
    index: Int[np.ndarray, "registered 3"]
    owner: Int[np.ndarray, " registered"]
    settings: Registration

    @property
    def whole(self) -> float:
        """The weight of all atoms of the domain."""
        return float(self.weight[self.phase.member].sum())

    def held(self, radius: float) -> float:
        """Return the weight of the atoms within a distance of their basis sites, less what chance would put there."""
        place = self.index[:, :2] + self.basis[self.index[:, 2]]
        miss = np.linalg.norm((self.phase.coordinate[self.owner] - place) @ self.phase.vectors, axis=1)
        covered = len(self.basis) * np.pi * radius**2 / abs(np.linalg.det(self.phase.vectors))
        return float(self.weight[self.owner][miss < radius].sum() - min(1.0, covered) * self.whole)

    def too_small(self) -> bool:
        """Return whether its cell may be too small: atoms lie beside its sites, or not on any."""
        reach = BESIDE * float(np.linalg.norm(self.phase.vectors, axis=1).max())
        away = cKDTree(self.position[self.phase.member]).query(self.position, distance_upper_bound=reach)[0]
        around = float(self.weight[np.isfinite(away)].sum())
        explained = float(self.weight[self.owner].sum())
        return explained < EXPLAINED * self.whole or self.held(0.5 * self.radius) < CLOSELY * around

    def in_cell(self, cell: Real[np.ndarray, "2 2"]) -> "Domain | None":
        """Return the same domain counted in another cell, whose vectors are these multiples of the present ones."""
        return _domain_of(self.phase.in_cell(cell), self.position, self.weight, settings=self.settings)


def find_domain(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], *, settings: Registration, grow: bool
) -> Domain | None:
    """Find the lattice that most atoms follow, and its basis.

    Parameters
    ----------
    position
        (y, x) of the atoms, in any unit of length.
    weight
        Importance of each atom.
    settings
        How lattices are looked for and what counts as a basis site.
    grow
        Look for a larger cell where atoms lie beside the sites.

    Returns
    -------
    domain
        `None` where no lattice was found.
    """
    found = _fit(position, weight, settings)
    if not grow or (found is not None and not found.too_small()):
        return found
    finer = _for_larger_cells(settings)
    if found is not None:
        found = _better(found, _domain_of(found.phase, position, weight, settings=finer), SHARPER)
    larger = _fit(position, weight, finer)
    found = larger if found is None else _better(found, larger, MORE)
    return _grown(found) if found is not None and found.too_small() else found


def _fit(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], settings: Registration
) -> Domain | None:
    """Follow the lattice of all atoms or, where grains share the window, of the patch whose lattice holds most.

    A wrong lattice grows too, but its atoms lie anywhere in the cell: what chance puts on its sites does not count.
    """
    best, most = None, 0.0
    for phase in _lattices(position, weight, settings):
        domain = _domain_of(phase, position, weight, settings=settings)
        if domain is None:
            continue
        smaller = primitive_cell(domain.basis, phase.vectors, tolerance=SAME * domain.radius)
        domain = (domain if smaller is None else domain.in_cell(smaller)) or domain
        held = domain.held(0.5 * domain.radius)
        if held > most:
            best, most = domain, held
        if 2 * phase.member.sum() > len(position) and held > CLEAR * domain.whole:
            break
    return best


def _domain_of(
    phase: LatticePhase,
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    *,
    settings: Registration,
) -> Domain | None:
    """Find the basis of a lattice and assign its atoms; `None` where there is too little of it."""
    if phase.member.sum() < settings.fewest_atoms:
        return None
    bright = phase.member & (weight >= BRIGHT)
    bright = bright if bright.sum() >= settings.fewest_atoms else phase.member
    shortest = float(np.linalg.norm(phase.vectors, axis=1).min())
    radius = settings.basis_radius * min(shortest, CELL_TO_NEIGHBOUR * neighbour_distance(position[bright]))
    basis = find_basis(phase, weight, radius=radius, occupancy=settings.basis_occupancy)
    if not len(basis):
        return None
    index, owner = _assign(phase, weight, basis=basis, radius=radius)
    return Domain(
        position=position,
        weight=weight,
        phase=phase,
        radius=radius,
        basis=basis,
        index=index,
        owner=owner,
        settings=settings,
    )


def _better(found: Domain, larger: Domain | None, factor: float) -> Domain:
    """Return the larger cell if it holds so many times as much of the atoms closely."""
    within = 0.5 * found.radius
    return larger if larger is not None and larger.held(within) > factor * found.held(within) else found


def _grown(found: Domain) -> Domain:
    """Return the domain counted in two to four cells as one, if that holds clearly more of the atoms closely."""
    for n_cells in range(2, MOST_CELLS + 1):
        sides = [(side, n_cells // side) for side in range(1, n_cells + 1) if n_cells % side == 0]
        cells = [np.array([[first, skew], [0, second]]) for first, second in sides for skew in range(second)]
        best = found
        for larger in (found.in_cell(cell) for cell in cells):
            best = _better(best, larger, MORE if best is found else 1.0)
        if best is not found:
            return best
    return found


def _for_larger_cells(settings: Registration) -> Registration:
    """Return settings under which translations and sites must fit more closely and translations may be longer."""
    search = settings.translations
    finer = TranslationSearch(
        reach=LONGER * search.reach,
        tolerance=CLOSER * search.tolerance,
        coverage=FEWER * search.coverage,
        shortfall=SHORTFALL,
    )
    return dataclasses.replace(settings, translations=finer, basis_radius=CLOSER * settings.basis_radius)


def _lattices(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], settings: Registration
) -> Iterator[LatticePhase]:
    """Follow each lattice that may be there by its waves and, where they are weak, by its translations."""
    tolerance = settings.translations.tolerance * neighbour_distance(position)
    linked = LINKED * settings.translations.coverage
    for vectors in _lattice_candidates(position, weight, settings):
        radius = settings.smoothness * float(np.linalg.norm(vectors, axis=1).mean())
        yield follow_phase(position, weight**2, vectors=vectors, radius=radius, coherence=COHERENCE)
        if local_coherence(position, weight**2, vectors) < COHERENCE:
            yield follow_links(position, weight**2, vectors=vectors, radius=radius, match=(tolerance, linked))


def _lattice_candidates(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], settings: Registration
) -> Iterator[Float[np.ndarray, "2 2"]]:
    """Yield the translations of all atoms, then those of patches that may lie within one grain."""
    vectors = find_translations(position, weight, search=settings.translations)
    if vectors is not None:
        yield vectors
    n_patch = max(settings.fewest_atoms, PATCH_ATOMS)
    if len(position) < 2 * n_patch:
        return
    centres = position[:: max(1, len(position) // N_PATCHES)]
    for patch in cKDTree(position).query(centres, k=n_patch)[1]:
        vectors = find_translations(position[patch], weight[patch], search=settings.translations)
        if vectors is not None:
            yield vectors


def _assign(
    phase: LatticePhase, weight: Float[np.ndarray, " atom"], *, basis: Float[np.ndarray, "basis 2"], radius: float
) -> tuple[Int[np.ndarray, "assigned 3"], Int[np.ndarray, " assigned"]]:
    """Give each atom to its nearest basis site; of two on one site the brighter stays. Returns indices and owners."""
    member = np.flatnonzero(phase.member)
    coordinate = phase.coordinate[member]
    difference = coordinate[:, None] - basis
    cell = np.round(difference)
    miss = np.linalg.norm((difference - cell) @ phase.vectors, axis=2)
    site = miss.argmin(axis=1)
    rows = np.arange(len(member))
    index = np.column_stack([cell[rows, site].astype(np.int64), site])
    near = np.flatnonzero(miss[rows, site] < radius)
    brightest_first = near[np.lexsort((near, miss[near, site[near]], -weight[member[near]]))]
    _, first = np.unique(index[brightest_first], axis=0, return_index=True)
    kept = brightest_first[first]
    return index[kept], member[kept]
