"""All defects of one image: what departs from the crystal, as rows with probability."""

import dataclasses
import warnings

import numpy as np
from jaxtyping import Int
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.data.flags import UNUSABLE, AtomFlag, has
from tusi.errors import CalibrationWarning, InputError
from tusi.structure.defects.antiphase import AlloyOrder, find_antiphase_boundaries, find_order
from tusi.structure.defects.dislocations import find_dislocations
from tusi.structure.defects.frame import WIDTH, CrystalFrame, domain_frame, scatter_of
from tusi.structure.defects.grains import find_grain_boundaries, grain_of_atoms, merged_domains, sharpened_grains
from tusi.structure.defects.points import (
    claim_sites,
    empty_sites,
    find_interstitials,
    find_substitutions,
    find_vacancies,
)
from tusi.structure.defects.table import Defect, DefectKind, Defects

FEWEST_ATOMS = 12
"""A grain of fewer atoms is not looked into."""

MOST_SCATTER, MOST_STRAY = 0.1, 0.02
"""Scatter in distances between sites, and share of atoms on no site, beyond which the result warns."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefectSearch:
    """How defects are looked for.

    Attributes
    ----------
    width
        Standard deviation of the neighbourhood in which the local lattice is measured, in roots of the area per site.
    pair_rate
        Prior number of vacancy-interstitial pairs per site, against which one atom's large displacement is weighed.
    least_probability
        Rows less probable than this are left out.
    """

    width: float = WIDTH
    pair_rate: float = 1e-4
    least_probability: float = 0.05


def find_defects(atoms: Atoms, lattice: Lattice, *, search: DefectSearch | None = None) -> Defects:
    """Find vacancies, substitutions, interstitials, dislocations, grain boundaries and antiphase boundaries.

    Sites are judged by the phase of the lattice waves among nearby atoms, not by counting rows from afar, so that a
    dislocation misleads nothing but its core. Vacancies keep the probability that the lattice carries (ask the image
    with `judge_vacancies` first); a substitution's is that the column is not of its sublattice's majority, in an
    ordered alloy the sublattice of its region, while a sublattice with many foreign atoms is an alloy without any; an
    interstitial's is that the atom is there and not merely displaced; a dislocation's that noise closes no Burgers
    circuit around it; a boundary's comes from the evidence for its turn or shift. A Burgers vector is the change of the
    displacement around a circuit that runs from x towards y.

    Point defects are not told within two lattice constants of a dislocation or grain boundary, where sites have no
    meaning, vacancies and interstitials neither at the border of the window. A boundary of so low an angle that the
    lattice was registered as one domain appears as its dislocations.

    Parameters
    ----------
    atoms
        The atoms of one image.
    lattice
        Their lattice.
    search
        How to look; the defaults suit crystals with up to 10 % of scatter.

    Returns
    -------
    Defects
        One row for each defect, kinds in the order of `DefectKind`; empty where there is none.

    Raises
    ------
    InputError
        The lattice belongs to other atoms, or there are atoms of several images.

    Warns
    -----
    CalibrationWarning
        The atoms scatter by more than a tenth of the distance between sites, or many of them sit on no site.

    References
    ----------
    .. [1] M. J. Hytch, J.-L. Putaux, J.-M. Penisson, Nature 423, 270 (2003), for dislocations seen by lattice phase.

    Examples
    --------
    >>> from tusi.datasets.defects import CrystalRecipe, simulate_defects
    >>> from tusi.structure import register_lattice
    >>> crystal = simulate_defects(CrystalRecipe(vacancies=2, interstitials=1), rng=np.random.default_rng(1))
    >>> find_defects(crystal.atoms, register_lattice(crystal.atoms)).count()
    {'vacancy': 2, 'interstitial': 1}
    """
    search = search or DefectSearch()
    _check(atoms, lattice)
    usable = ~has(atoms.flags, UNUSABLE | AtomFlag.EDGE) & np.isfinite(atoms.position).all(axis=1)
    owner = merged_domains(lattice)
    grain = grain_of_atoms(atoms.position, usable, lattice, owner)
    frames = _frames(atoms, lattice, grain, np.unique(owner), search)
    grain = sharpened_grains(atoms.position, np.where(np.isin(grain, list(frames)), grain, -1), frames)
    frames = _frames(atoms, lattice, grain, np.array(list(frames), dtype=np.int64), search)
    grain[~np.isin(grain, list(frames))] = -1
    boundaries = find_grain_boundaries(atoms.position, grain, lattice, frames)
    walls = [row.segments.reshape(-1, 2) for row in boundaries]
    found = list(boundaries)
    sublattice = np.where(np.isin(lattice.domain, list(frames)), lattice.index[:, 2], -1)
    for number, frame in frames.items():
        rows, order = _in_crystal(atoms, lattice, frame, (number, walls, search))
        found += rows
        if order is not None:
            found += find_antiphase_boundaries(atoms, lattice, frame, order)
            sublattice[order.site] = len(lattice.basis) + sublattice[order.site] * order.n_phases + order.sublattice
    found += find_substitutions(
        atoms,
        lattice,
        sublattice=np.where(_near(lattice.position, walls, frames), -1, sublattice),
    )
    found = [row for row in found if row.probability >= search.least_probability]
    found.sort(key=lambda row: row.kind)
    table = Defects.of(found, length_unit=atoms.length_unit, species=atoms.species, image=lattice.image)
    told = _caveats(table, frames)
    for text in told:
        warnings.warn(text, CalibrationWarning, stacklevel=2)
    return dataclasses.replace(table, warnings=told)


def _caveats(table: Defects, frames: dict[int, CrystalFrame]) -> tuple[str, ...]:
    """Say where the crystal is not what the probabilities assume."""
    told = []
    share = max((scatter_of(frame) / frame.site_spacing for frame in frames.values()), default=0.0)
    if share > MOST_SCATTER:
        told.append(
            f"atoms scatter by {share:.0%} of the distance between sites along each axis, more than the "
            f"{MOST_SCATTER:.0%} up to which false alarms are rare"
        )
    n_sites = sum(len(frame.atom) for frame in frames.values())
    n_stray = int(((table.kind == DefectKind.INTERSTITIAL) & (table.probability >= 0.5)).sum())
    if n_stray > max(3, MOST_STRAY * n_sites):
        told.append(
            f"{n_stray} of {n_sites} atoms sit on no site: rather than interstitials they may be noise or a basis site "
            "that the lattice lacks"
        )
    return tuple(told)


def _near(position: np.ndarray, walls: list[np.ndarray], frames: dict[int, CrystalFrame]) -> np.ndarray:
    """Return which places are so close to a grain boundary that their sublattice may be the other grain's."""
    if not walls:
        return np.zeros(len(position), bool)
    spacing = min(frame.spacing for frame in frames.values())
    return cKDTree(np.concatenate(walls)).query(position)[0] < 2.0 * spacing


def _frames(
    atoms: Atoms,
    lattice: Lattice,
    grain: Int[np.ndarray, " atom"],
    numbers: Int[np.ndarray, " grain"],
    search: DefectSearch,
) -> dict[int, CrystalFrame]:
    """Return the frame of each grain that has enough atoms."""
    return {
        number: domain_frame(atoms.position, lattice, domain=number, atom=member, width=search.width)
        for number in numbers.tolist()
        if len(member := np.flatnonzero(grain == number)) >= FEWEST_ATOMS
    }


def _in_crystal(
    atoms: Atoms, lattice: Lattice, frame: CrystalFrame, task: tuple[int, list[np.ndarray], DefectSearch]
) -> tuple[list[Defect], AlloyOrder | None]:
    """Return the dislocations, vacancies and interstitials of one crystal, and the order of its alloy."""
    number, walls, search = task
    scatter = scatter_of(frame)
    at_wall = cKDTree(np.concatenate(walls)) if walls else None
    lines = [
        line
        for line in find_dislocations(frame, scatter=scatter, domain=number)
        if at_wall is None or at_wall.query(line.position)[0] > 2.0 * frame.spacing
    ]
    places = [*walls, *(line.position[None] for line in lines if line.probability >= search.least_probability)]
    avoid = cKDTree(np.concatenate(places)) if places else None
    _, empty, _ = empty_sites(frame, lattice, domain=number)
    claims = claim_sites(frame, scatter=scatter, pair_rate=search.pair_rate, empty=empty, avoid=avoid)
    points = find_vacancies(frame, claims, lattice=lattice, domain=number, scatter=scatter, avoid=avoid)
    points += find_interstitials(frame, claims, atoms=atoms, domain=number)
    return [*points, *lines], find_order(atoms, lattice, frame, domain=number)


def _check(atoms: Atoms, lattice: Lattice) -> None:
    if lattice.length_unit != atoms.length_unit:
        raise InputError("lattice", expected=f"positions in {atoms.length_unit}", got=lattice.length_unit)
    if len(lattice) and lattice.atom.max() >= len(atoms):
        raise InputError(
            "lattice", expected=f"rows of {len(atoms)} atoms", got=f"row {lattice.atom.max()}",
            then="Pass the atoms that it was registered from.",
        )  # fmt: skip
    if len(np.unique(atoms.image)) > 1:
        raise InputError("atoms", expected="atoms of one image", got="several")
