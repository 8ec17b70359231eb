"""Which site of which row and column every atom sits on, which sites are empty, and where the crystal ends."""

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.data.flags import UNUSABLE, AtomFlag, has
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure.neighbours import first_shell
from tusi.structure.phases import LatticePhase, follow_phase, place
from tusi.structure.translations import TranslationSearch, find_translations

PATCH_ATOMS, N_PATCHES = 60, 24
"""Where several grains share a window: atoms in a patch, and how many patches are tried."""


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
    phase = _grow_domain(position, weight, settings)
    if phase is None or phase.member.sum() < settings.fewest_atoms:
        return None
    basis = _find_basis(phase, weight, settings)
    if not len(basis):
        return None
    index, owner = _assign(phase, weight, basis=basis, radius=settings.basis_radius)
    cell = _ordered_cell(index, atoms.intensity[candidates[owner]], settings.ordering)
    if cell is not None:
        phase = phase.in_cell(cell)
        basis = _find_basis(phase, weight, settings)
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


def _grow_domain(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], settings: Registration
) -> LatticePhase | None:
    """Follow the lattice of all atoms or, where grains share the window, of the patch that grows largest."""
    largest = None
    for vectors in _lattice_candidates(position, weight, settings):
        radius = settings.smoothness * float(np.linalg.norm(vectors, axis=1).mean())
        phase = follow_phase(position, weight**2, vectors=vectors, radius=radius)
        if largest is None or phase.member.sum() > largest.member.sum():
            largest = phase
        if 2 * phase.member.sum() > len(position):
            break
    return largest


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


def _find_basis(
    phase: LatticePhase, weight: Float[np.ndarray, " atom"], settings: Registration
) -> Float[np.ndarray, "basis 2"]:
    """Fold all atoms into one cell and return the places that are filled in enough cells, brightest first."""
    coordinate, weight = phase.coordinate[phase.member], weight[phase.member]
    shortest = np.linalg.norm(phase.vectors, axis=1).min()
    n_bins = 48
    folded = np.floor((coordinate % 1.0) * n_bins).astype(int) % n_bins
    density = np.zeros((n_bins, n_bins))
    np.add.at(density, tuple(folded.T), weight)
    blur = 0.09 * shortest * n_bins / np.linalg.norm(phase.vectors, axis=1)
    density = ndimage.gaussian_filter(density, blur, mode="wrap")
    n_cells = 0
    basis: list[np.ndarray] = []
    brightness: list[float] = []
    for peak in _peaks(density):
        centre = (peak + 0.5) / n_bins
        for _ in range(5):
            near, difference = _near(coordinate, centre, phase.vectors, radius=settings.basis_radius * shortest)
            if not near.any():
                break
            centre = (centre + np.average(difference[near], axis=0, weights=weight[near])) % 1.0
        n_filled = len(np.unique(np.round(coordinate[near] - centre), axis=0))
        n_cells = max(n_cells, n_filled)
        apart = all(_cell_distance(centre, other, phase.vectors) > settings.basis_radius * shortest for other in basis)
        if apart and n_filled >= settings.basis_occupancy * n_cells:
            basis.append(centre)
            brightness.append(float(np.median(weight[near])))
    order = np.argsort(brightness, kind="stable")[::-1]
    return np.array(basis)[order] if basis else np.empty((0, 2))


def _peaks(density: Float[np.ndarray, "row column"]) -> Int[np.ndarray, "peak 2"]:
    """Return the maxima of a periodic density, highest first."""
    highest = density == ndimage.maximum_filter(density, 5, mode="wrap")
    peaks = np.argwhere(highest & (density > 0))
    return peaks[np.argsort(-density[tuple(peaks.T)], kind="stable")]


def _near(
    coordinate: Float[np.ndarray, "atom 2"],
    centre: Float[np.ndarray, "2"],
    vectors: Float[np.ndarray, "2 2"],
    *,
    radius: float,
) -> tuple[np.ndarray, Float[np.ndarray, "atom 2"]]:
    """Return which atoms lie within a radius of a place in the cell, and by how much they miss it."""
    difference = coordinate - centre
    difference = difference - np.round(difference)
    return np.linalg.norm(difference @ vectors, axis=1) < radius, difference


def _cell_distance(
    first: Float[np.ndarray, "2"], second: Float[np.ndarray, "2"], vectors: Float[np.ndarray, "2 2"]
) -> float:
    difference = first - second
    return float(np.linalg.norm((difference - np.round(difference)) @ vectors))


def _assign(
    phase: LatticePhase, weight: Float[np.ndarray, " atom"], *, basis: Float[np.ndarray, "basis 2"], radius: float
) -> tuple[Int[np.ndarray, "atom 3"], Int[np.ndarray, " atom"]]:
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


def _ordered_cell(
    index: Int[np.ndarray, "atom 3"], intensity: Float[np.ndarray, " atom"], threshold: float
) -> Int[np.ndarray, "2 2"] | None:
    """Return the doubled cell (in lattice vectors) whose two sites explain the intensities, if there is one.

    Alternating bright and dim columns are two sublattices, not an alloy on one: the share of the variance of the
    intensities that the parity of row, column or their sum explains tells which.
    """
    if index[:, 2].any() or not np.isfinite(intensity).all() or np.var(intensity) == 0:
        return None
    row, column = index[:, 0] % 2, index[:, 1] % 2
    cells = {((2, 0), (0, 1)): row, ((1, 0), (0, 2)): column, ((1, 1), (1, -1)): (row + column) % 2}
    explained = {
        cell: np.var(np.where(odd == 1, intensity[odd == 1].mean(), intensity[odd == 0].mean())) / np.var(intensity)
        for cell, odd in cells.items()
        if 0 < odd.sum() < len(odd)
    }
    best = max(explained, key=explained.__getitem__, default=None)
    return np.array(best) if best is not None and explained[best] > threshold else None


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
