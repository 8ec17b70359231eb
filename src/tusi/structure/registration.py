"""Which site of which row and column every atom sits on, which sites are empty, and where the crystal ends."""

import warnings

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Lattice
from tusi.data.flags import UNUSABLE, AtomFlag, has
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure.domains import Registration, find_domain
from tusi.structure.neighbours import first_shell
from tusi.structure.phases import place
from tusi.structure.sublattices import doubled_cell


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
    found = find_domain(position, _brightness(atoms.intensity[candidates]), settings=settings, grow=domain == 0)
    if found is None:
        return None
    cell = doubled_cell(
        found.index,
        atoms.intensity[candidates[found.owner]],
        vectors=found.phase.vectors,
        shares=(settings.ordering, settings.local_ordering),
    )
    found = (found if cell is None else found.in_cell(cell)) or found
    phase, basis, index = found.phase, found.basis, found.index
    empty = _vacancies(index, phase.vectors, n_basis=len(basis))
    index = np.concatenate([index, empty])
    atom = np.concatenate([candidates[found.owner], np.full(len(empty), -1)])
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


def _brightness(intensity: Float[np.ndarray, " atom"]) -> Float[np.ndarray, " atom"]:
    """Return intensities clipped at their upper quartile, so that bright dopants weigh no more than their hosts."""
    if not np.isfinite(intensity).all():
        return np.ones(len(intensity))
    return np.clip(intensity / np.quantile(intensity, 0.75), 1e-3, 1.0)


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
