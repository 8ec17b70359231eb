"""Which site of which row and column every atom sits on, which sites are empty, and where the crystal ends."""

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.data.flags import UNUSABLE, AtomFlag, has
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure.neighbours import first_shell
from tusi.structure.phases import LatticePhase, follow_phase, place
from tusi.structure.sublattices import doubled_cell, find_basis
from tusi.structure.translations import COHERENCE, TranslationSearch, coherent_cell, find_translations

PATCH_ATOMS, N_PATCHES = 60, 24
"""Where several grains share a window: atoms in a patch, and how many patches are tried."""

EXPLAINED, MORE = 0.9, 1.25
"""Where less of the first domain's brightness lies on basis sites a larger cell is sought; within half the radius it
must hold so many times as much."""

CLEAR = 0.25
"""A lattice of most atoms is taken without looking further if its sites hold so much more of them than by chance."""

LONGER, CLOSER = 2.0, 0.55
"""The larger cell is sought with so many times the reach and the tolerance."""

WEAKER = 0.5
"""Atoms belong to a domain if its waves are at least so coherent around them as they usually are."""


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
        How far from the mean place of a basis site an atom may lie, in units of the shortest lattice vector.
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


def register_lattice(atoms: Atoms, *, settings: Registration | None = None, image: int = 0) -> Lattice:
    """Find the lattice, its basis and its domains, and register each atom to (row, column, basis site).

    The parent lattice is found from the differences between atoms, followed through drift and slow distortion by the
    local phase of its two fundamental waves, and folded into one cell, where the basis sites stand out. Where two atoms
    claim a site the brighter has it. A place of the lattice without an atom is a vacancy if at least half of its
    neighbours are filled. What is left over is searched for further domains. Atoms flagged unusable take no part;
    atoms at the edge of the image none either (see `Registration.mask_edge`), so their sites lie outside the window.

    Parameters
    ----------
    atoms
        The atoms of one image.
    settings
        How to register; the defaults suit crystals with up to a few per cent of distortion and dimerised rows.
    image
        Number of the image, stored in the lattice.

    Returns
    -------
    Lattice
        Sites with their atoms; empty, with a `ScarceDataWarning`, where no lattice was found.

    Raises
    ------
    InputError
        `atoms` holds more than one image.

    References
    ----------
    .. [1] M. J. Hytch, E. Snoeck, R. Kilaas, Ultramicroscopy 74, 131 (1998), for the phase of lattice fringes.

    Examples
    --------
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64))
    >>> lattice = register_lattice(atoms)
    >>> len(lattice), int(lattice.boundary.sum())
    (64, 28)
    """
    settings = settings or Registration()
    if len(np.unique(atoms.image)) > 1:
        raise InputError("atoms", expected="atoms of one image", got="several", then="Register each image by itself.")
    left_out = UNUSABLE | AtomFlag.EDGE if settings.mask_edge else UNUSABLE
    remaining = np.flatnonzero(~has(atoms.flags, left_out) & np.isfinite(atoms.position).all(axis=1))
    domains: list[Lattice] = []
    while len(remaining) >= settings.fewest_atoms:
        found = _register_domain(atoms, remaining, settings=settings, domain=len(domains))
        if found is None:
            break
        lattice, remaining = found
        domains.append(lattice)
    if not domains:
        warnings.warn("no lattice was found: too few atoms, or none in rows", ScarceDataWarning, stacklevel=2)
        return _empty(atoms.length_unit, image)
    return _joined(domains, image)


def lattice_constant_of(lattice: Lattice, *, domain: int = 0) -> float:
    """Return the lattice constant of a domain, in the lattice's length unit.

    It is the side of the square or equilateral cell with the area of the measured one, to which shear in the scan
    contributes nothing in first order.

    Parameters
    ----------
    lattice
        A registered lattice.
    domain
        Number of the crystal domain.

    Examples
    --------
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64))
    >>> round(lattice_constant_of(register_lattice(atoms)), 6)
    3.0
    """
    vectors = lattice.vectors[domain]
    area = abs(float(np.linalg.det(vectors)))
    return float(np.sqrt(area * 2 / np.sqrt(3))) if len(first_shell(vectors)) == 6 else float(np.sqrt(area))


def _register_domain(
    atoms: Atoms, candidates: Int[np.ndarray, " candidate"], *, settings: Registration, domain: int
) -> tuple[Lattice, Int[np.ndarray, " rest"]] | None:
    """Register one domain among the candidates; return it and the candidates that belong to no domain yet."""
    position = atoms.position[candidates]
    weight = _brightness(atoms.intensity[candidates])
    fit = _fit_domain(position, weight, settings)
    if domain == 0 and (fit is None or fit.explained(weight) < EXPLAINED):
        larger = _fit_domain(position, weight, _for_larger_cells(settings))
        fit = _better(fit, larger, weight, basis_radius=settings.basis_radius)
    if fit is None:
        return None
    phase, basis, index, owner = fit.phase, fit.basis, fit.index, fit.owner
    cell = doubled_cell(
        index,
        atoms.intensity[candidates[owner]],
        vectors=phase.vectors,
        shares=(settings.ordering, settings.local_ordering),
    )
    if cell is not None:
        phase = phase.in_cell(cell)
        basis = find_basis(phase, weight, radius=settings.basis_radius, occupancy=settings.basis_occupancy)
        index, owner = _assign(phase, weight, basis=basis, radius=settings.basis_radius)
    empty = _vacancies(index, phase.vectors, n_basis=len(basis))
    index = np.concatenate([index, empty])
    atom = np.concatenate([candidates[owner], np.full(len(empty), -1)])
    order = np.lexsort(index.T[::-1])
    index, atom = index[order], atom[order]
    presence = np.where(atom >= 0, atoms.presence_probability[atom], 0.0)
    lattice = Lattice(
        index=index,
        position=place(index[:, :2] + basis[index[:, 2]], phase, position),
        atom=atom,
        vacancy_probability=1.0 - presence,
        domain=np.full(len(index), domain),
        boundary=_boundary(index, phase.vectors),
        vectors=phase.vectors[None],
        basis=basis,
        length_unit=atoms.length_unit,
    )
    return lattice, candidates[~phase.member]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Domain:
    """A lattice followed through one domain, its basis, and the atoms on it."""

    phase: LatticePhase
    basis: Float[np.ndarray, "basis 2"]
    index: Int[np.ndarray, "atom 3"]
    owner: Int[np.ndarray, " atom"]

    def explained(self, weight: Float[np.ndarray, " atom"]) -> float:
        """Return the share of the domain's weight that lies on basis sites."""
        return float(weight[self.owner].sum() / weight[self.phase.member].sum())

    def held(self, weight: Float[np.ndarray, " atom"], radius: float) -> float:
        """Return the weight of the atoms within a distance of their basis sites, less what chance would put there."""
        place = self.index[:, :2] + self.basis[self.index[:, 2]]
        miss = np.linalg.norm((self.phase.coordinate[self.owner] - place) @ self.phase.vectors, axis=1)
        covered = len(self.basis) * np.pi * radius**2 / abs(np.linalg.det(self.phase.vectors))
        expected = min(1.0, covered) * weight[self.phase.member].sum()
        return float(weight[self.owner][miss < radius].sum() - expected)


def _fit_domain(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], settings: Registration
) -> _Domain | None:
    """Follow the lattice of all atoms or, where grains share the window, of the patch whose lattice holds most.

    A wrong lattice grows too, but its atoms lie anywhere in the cell: what chance puts on its sites does not count.
    """
    best, most = None, 0.0
    for vectors in _lattice_candidates(position, weight, settings):
        domain = _domain_of(_follow(position, weight, vectors, settings), weight, settings)
        if domain is None:
            continue
        closely = 0.5 * settings.basis_radius * float(np.linalg.norm(domain.phase.vectors, axis=1).min())
        held = domain.held(weight, closely)
        if held > most:
            best, most = domain, held
        member = domain.phase.member
        if 2 * member.sum() > len(position) and held > CLEAR * weight[member].sum():
            break
    return best


def _domain_of(phase: LatticePhase, weight: Float[np.ndarray, " atom"], settings: Registration) -> _Domain | None:
    """Find the basis of a lattice and assign its atoms; `None` where there is too little of it."""
    if phase.member.sum() < settings.fewest_atoms:
        return None
    basis = find_basis(phase, weight, radius=settings.basis_radius, occupancy=settings.basis_occupancy)
    if not len(basis):
        return None
    index, owner = _assign(phase, weight, basis=basis, radius=settings.basis_radius)
    return _Domain(phase=phase, basis=basis, index=index, owner=owner)


def _better(
    fit: _Domain | None, larger: _Domain | None, weight: Float[np.ndarray, " atom"], *, basis_radius: float
) -> _Domain | None:
    """Return the larger cell if it holds clearly more of the atoms closely."""
    if fit is None or larger is None:
        return fit or larger
    within = 0.5 * basis_radius * float(np.linalg.norm(fit.phase.vectors, axis=1).min())
    return larger if larger.held(weight, within) > MORE * fit.held(weight, within) else fit


def _for_larger_cells(settings: Registration) -> Registration:
    """Return settings under which a translation must fit more closely and may be longer."""
    search = settings.translations
    finer = dataclasses.replace(search, reach=LONGER * search.reach, tolerance=CLOSER * search.tolerance)
    return dataclasses.replace(settings, translations=finer)


def _follow(
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    vectors: Float[np.ndarray, "2 2"],
    settings: Registration,
) -> LatticePhase:
    """Follow the waves of a lattice through all atoms."""
    radius = settings.smoothness * float(np.linalg.norm(vectors, axis=1).mean())
    cell, strength = coherent_cell(position, weight**2, vectors)
    plain = np.array_equal(cell, np.eye(2))
    threshold = COHERENCE if plain else min(COHERENCE, WEAKER * strength)
    phase = follow_phase(position, weight**2, vectors=cell @ vectors, radius=radius, coherence=threshold)
    return phase if plain else phase.in_cell(np.rint(np.linalg.inv(cell)).astype(np.int64))


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


def _brightness(intensity: Float[np.ndarray, " atom"]) -> Float[np.ndarray, " atom"]:
    """Return intensities clipped at their upper quartile, so that bright dopants weigh no more than their hosts."""
    if not np.isfinite(intensity).all():
        return np.ones(len(intensity))
    return np.clip(intensity / np.quantile(intensity, 0.75), 1e-3, 1.0)


def _assign(
    phase: LatticePhase, weight: Float[np.ndarray, " atom"], *, basis: Float[np.ndarray, "basis 2"], radius: float
) -> tuple[Int[np.ndarray, "assigned 3"], Int[np.ndarray, " assigned"]]:
    """Give each atom to its nearest basis site; of two on one site the brighter stays. Returns indices and owners."""
    shortest = np.linalg.norm(phase.vectors, axis=1).min()
    member = np.flatnonzero(phase.member)
    coordinate = phase.coordinate[member]
    difference = coordinate[:, None] - basis
    cell = np.round(difference)
    miss = np.linalg.norm((difference - cell) @ phase.vectors, axis=2)
    site = miss.argmin(axis=1)
    rows = np.arange(len(member))
    index = np.column_stack([cell[rows, site].astype(np.int64), site])
    near = np.flatnonzero(miss[rows, site] < radius * shortest)
    brightest_first = near[np.lexsort((near, miss[near, site[near]], -weight[member[near]]))]
    _, first = np.unique(index[brightest_first], axis=0, return_index=True)
    kept = brightest_first[first]
    return index[kept], member[kept]


def _vacancies(
    index: Int[np.ndarray, "site 3"], vectors: Float[np.ndarray, "2 2"], *, n_basis: int
) -> Int[np.ndarray, "vacancy 3"]:
    """Return the empty places of which at least half of the nearest lattice neighbours are filled, all around."""
    shell = first_shell(vectors)
    empty = []
    for site in range(n_basis):
        filled = {tuple(cell) for cell in index[index[:, 2] == site, :2].tolist()}
        around = {(row + step[0], column + step[1]) for row, column in filled for step in shell} - filled
        for row, column in sorted(around):
            ring = [(row + step[0], column + step[1]) in filled for step in shell]
            opposite = sum(ring[k] and ring[k + len(shell) // 2] for k in range(len(shell) // 2))
            if sum(ring) * 2 >= len(shell) and opposite >= 1 and sum(ring) >= 4:
                empty.append((row, column, site))
    return np.array(empty, dtype=np.int64).reshape(-1, 3)


def _boundary(index: Int[np.ndarray, "site 3"], vectors: Float[np.ndarray, "2 2"]) -> np.ndarray:
    """Return which sites lack a nearest lattice neighbour of their own kind in the window."""
    present = {tuple(site) for site in index.tolist()}
    shell = first_shell(vectors)
    return np.array(
        [
            any((row + step[0], column + step[1], site) not in present for step in shell)
            for row, column, site in index.tolist()
        ],
        dtype=bool,
    )


def _joined(domains: list[Lattice], image: int) -> Lattice:
    """Put the sites of all domains into one table; basis sites of later domains are appended."""
    first_basis = np.cumsum([0, *(len(lattice.basis) for lattice in domains[:-1])])
    shifted = [lattice.index + [0, 0, start] for lattice, start in zip(domains, first_basis, strict=True)]
    columns = {
        name: np.concatenate([getattr(lattice, name) for lattice in domains])
        for name in ("position", "atom", "vacancy_probability", "domain", "boundary", "vectors", "basis")
    }
    return Lattice(index=np.concatenate(shifted), image=image, length_unit=domains[0].length_unit, **columns)


def _empty(length_unit: str, image: int) -> Lattice:
    return Lattice(
        index=np.empty((0, 3)),
        position=np.empty((0, 2)),
        atom=np.empty(0),
        vacancy_probability=np.empty(0),
        domain=np.empty(0),
        boundary=np.empty(0),
        vectors=np.empty((0, 2, 2)),
        basis=np.empty((0, 2)),
        image=image,
        length_unit=length_unit,
    )
