"""Neighbourhoods of defects, cut out relative to the lattice, and whether two of them show the same defect."""

import dataclasses
import itertools
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.data.flags import UNUSABLE, AtomFlag, has
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.defects.frame import domain_frame, scatter_of
from tusi.structure.defects.table import DefectKind, Defects
from tusi.units import LENGTH_UNITS

GATE = 0.45
"""Atoms of two patches farther apart than this cannot be the same, in lattice constants."""

RIM = 0.75
"""Atoms nearer to the edge of their patch than this may lie outside the other patch, in lattice constants."""

MOST_STRAIN = 0.08
"""Lattices that differ by more strain than this (apart from their scale) are not the same."""

TIE = 1.5
"""Ways to lay one patch on the other count as equal by symmetry where their mean squared distances, blurred by a sixth
of the lattice constant, differ by less than this factor."""

N_DRAWS = 400
"""Draws of the noise from which the p-value is read."""

SURELY_THERE = 1e-3
"""No presence is surer than one minus this."""

_STEPS = np.array(list(itertools.product(range(-2, 3), repeat=4)), dtype=float).reshape(-1, 2, 2)
_CHANGES = _STEPS[np.abs(np.rint(np.linalg.det(_STEPS))) == 1]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DefectPatch(Record):
    """The atoms around a defect.

    Attributes
    ----------
    offset
        (y, x) of the atoms from the defect, in `length_unit`.
    presence_probability
        Probability that the atom is there.
    species_probability
        Probability of each of `species`.
    vectors
        Lattice vectors of the host as rows (y, x).
    scatter
        Standard deviation of the host's atoms about their sites along one axis, measurement noise included.
    radius
        How far the patch reaches, in `length_unit`.
    kind
        Code of `DefectKind`.
    label
        What people call the defect.
    source
        Where the patch comes from.

    Examples
    --------
    >>> patch = DefectPatch(
    ...     offset=np.array([[0.0, 3.0], [3.0, 0.0]]), presence_probability=np.ones(2),
    ...     species_probability=np.empty((2, 0)), vectors=3.0 * np.eye(2), scatter=0.1, radius=4.0, kind=0,
    ...     length_unit="angstrom",
    ... )
    >>> len(patch), patch.title
    (2, 'vacancy')
    """

    format_name: ClassVar[str] = "defect-patch"
    row: ClassVar[str] = "atom"

    offset: Float[np.ndarray, "atom 2"] = array("atom", "axis")
    presence_probability: Float[np.ndarray, " atom"] = array("atom")
    species_probability: Float[np.ndarray, "atom species"] = array("atom", "species_")
    vectors: Float[np.ndarray, "2 2"] = array("lattice_vector", "axis")
    scatter: float
    radius: float
    kind: int
    label: str = ""
    source: str = ""
    species: tuple[str, ...] = ()
    length_unit: str

    def _check(self) -> None:
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))
        if not self.scatter > 0:
            raise InputError("scatter", expected="a length above zero", got=str(self.scatter))
        if not np.isfinite(self.offset).all() or abs(np.linalg.det(self.vectors)) < 1e-12:
            raise InputError("offset", expected="finite offsets and two independent lattice vectors", got="others")

    @property
    def title(self) -> str:
        """The kind in words."""
        return DefectKind(self.kind).title

    @property
    def spacing(self) -> float:
        """The shorter lattice vector's length."""
        return float(np.linalg.norm(self.vectors, axis=1).min())


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchMatch:
    """How alike two patches are.

    Attributes
    ----------
    distance
        Root mean square distance of the atoms, in units of what noise alone gives: about 1 for equal defects. An inner
        atom without partner counts as one at the largest distance at which atoms are matched; infinite where the
        lattices differ.
    p_value
        Probability of a distance at least this large between two pictures of the same defect, less by what unmatched
        atoms and contradicting species make it.
    n_matched, n_unmatched
        Atoms that have a partner, and atoms away from the rim that have none.
    mirrored
        Whether one patch had to be reflected.
    """

    distance: float
    p_value: float
    n_matched: int
    n_unmatched: int
    mirrored: bool


def cut_patch(
    defects: Defects, row: int | np.integer, *, atoms: Atoms, lattice: Lattice, radius: float = 2.5, label: str = ""
) -> DefectPatch:
    """Cut out the atoms around a defect.

    Parameters
    ----------
    defects
        What `find_defects` returned.
    row
        Which of its rows.
    atoms
        The atoms of the image.
    lattice
        Their lattice.
    radius
        How far the patch reaches, in lattice constants.
    label
        What to call the defect.

    Returns
    -------
    DefectPatch
        Atoms relative to the defect, and the host's lattice.

    Raises
    ------
    InputError
        There is no such row, or no atom within the radius.

    Examples
    --------
    >>> from tusi.datasets.defects import CrystalRecipe, simulate_defects
    >>> from tusi.structure import register_lattice
    >>> from tusi.structure.defects import find_defects
    >>> crystal = simulate_defects(CrystalRecipe(vacancies=1), rng=np.random.default_rng(0))
    >>> lattice = register_lattice(crystal.atoms)
    >>> len(cut_patch(find_defects(crystal.atoms, lattice), 0, atoms=crystal.atoms, lattice=lattice, radius=1.5))
    6
    """
    if not 0 <= row < len(defects):
        raise InputError("row", expected=f"a number below {len(defects)}", got=str(row))
    domain = int(defects.domain[row, 0])
    vectors = lattice.vectors[domain]
    spacing = float(np.linalg.norm(vectors, axis=1).min())
    usable = np.flatnonzero(~has(atoms.flags, UNUSABLE | AtomFlag.EDGE) & np.isfinite(atoms.position).all(axis=1))
    tree = cKDTree(atoms.position[usable])
    near = usable[np.sort(np.array(tree.query_ball_point(defects.position[row], radius * spacing), dtype=np.int64))]
    if not len(near):
        raise InputError("radius", expected="one that holds atoms", got=f"{radius} lattice constants")
    registered = lattice.atom[(lattice.atom >= 0) & (lattice.domain == domain)]
    frame = domain_frame(atoms.position, lattice, domain=domain, atom=registered)
    return DefectPatch(
        offset=atoms.position[near] - defects.position[row],
        presence_probability=atoms.presence_probability[near],
        species_probability=atoms.species_probability[near],
        vectors=vectors,
        scatter=scatter_of(frame),
        radius=radius * spacing,
        kind=int(defects.kind[row]),
        label=label,
        species=atoms.species,
        length_unit=atoms.length_unit,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Laying:
    """One way to lay a patch on another: a linear map, and which atoms then lie on which."""

    map: Float[np.ndarray, "2 2"]
    first: Int[np.ndarray, " pair"]
    second: Int[np.ndarray, " pair"]
    cost: float

    @property
    def mirrored(self) -> bool:
        return bool(np.linalg.det(self.map) < 0)


def compare_patches(one: DefectPatch, other: DefectPatch, *, rng: np.random.Generator) -> PatchMatch:
    """Say whether two patches show the same defect, whichever way their crystals are turned, mirrored or scaled.

    The second lattice is laid on the first in every way that its symmetry allows; atoms are matched one to one. The
    statistic is the sum of squared distances over their variance, shift and small turn taken out, least over the ways
    that symmetry makes equal and in which the species agree best; its p-value comes from drawing the noise of both
    patches. Assumes independent normal scatter of the atoms, the same within each patch.

    Parameters
    ----------
    one, other
        The patches.
    rng
        Draws the noise.

    Returns
    -------
    PatchMatch
        Distance and p-value.

    Examples
    --------
    >>> from tusi.datasets.defects import CrystalRecipe, simulate_defects
    >>> from tusi.structure import register_lattice
    >>> from tusi.structure.defects import find_defects
    >>> patches = []
    >>> for seed, angle in ((0, 0.0), (1, 25.0)):
    ...     crystal = simulate_defects(CrystalRecipe(vacancies=1, angle=angle), rng=np.random.default_rng(seed))
    ...     lattice = register_lattice(crystal.atoms)
    ...     found = find_defects(crystal.atoms, lattice)
    ...     patches.append(cut_patch(found, 0, atoms=crystal.atoms, lattice=lattice))
    >>> compare_patches(*patches, rng=np.random.default_rng(2)).p_value > 0.01
    True
    """
    layings = _layings(one, other)
    if not layings:
        return PatchMatch(distance=float("inf"), p_value=0.0, n_matched=0, n_unmatched=len(one), mirrored=False)
    least = min(laying.cost for laying in layings)
    equal = [laying for laying in layings if laying.cost <= TIE * least]
    agreement = np.array([_species_factor(one, other, laying) for laying in equal])
    equal = [laying for laying, factor in zip(equal, agreement, strict=True) if factor > 0.5 * agreement.max()]
    values = [_Statistic.of(laying, one, other) for laying in equal]
    best = min(range(len(equal)), key=lambda k: values[k].of_residual(values[k].residual[None])[0])
    observed = float(values[best].of_residual(values[best].residual[None])[0])
    noise = (
        one.scatter * rng.normal(size=(N_DRAWS, len(one), 2)),
        other.scatter * rng.normal(size=(N_DRAWS, len(other), 2)),
    )
    drawn = np.min([value.of_noise(*noise) for value in values], axis=0)
    p_value = (1 + (drawn >= observed).sum()) / (1 + N_DRAWS)
    chosen = equal[best]
    lost = _unmatched(one, other, chosen)
    widest = (GATE * one.spacing) ** 2 / (one.scatter**2 + other.scatter**2 * abs(np.linalg.det(chosen.map)))
    return PatchMatch(
        distance=float(np.sqrt((observed + len(lost) * widest) / max(float(drawn.mean()) + 2 * len(lost), 1e-12))),
        p_value=float(p_value * np.prod(lost) * _species_factor(one, other, chosen)),
        n_matched=len(chosen.first),
        n_unmatched=len(lost),
        mirrored=chosen.mirrored,
    )


def _layings(one: DefectPatch, other: DefectPatch) -> list[_Laying]:
    """Return every way to lay the second patch on the first that keeps lattices on each other and matches atoms."""
    found = []
    for change in _CHANGES:
        forward = np.linalg.solve(other.vectors, change @ one.vectors)
        stretch = np.linalg.svd(forward, compute_uv=False)
        if np.abs(stretch / np.sqrt(stretch.prod()) - 1).max() > MOST_STRAIN:
            continue
        distance = np.linalg.norm(one.offset[:, None] - other.offset @ forward, axis=2)
        gate = GATE * one.spacing
        first, second = linear_sum_assignment(np.minimum(distance, gate))
        near = distance[first, second] < gate
        if near.sum() < 2:
            continue
        blurred = np.minimum(distance[first, second], gate) ** 2
        missing = len(one) + len(other) - 2 * len(first)
        cost = (blurred.sum() + missing * gate**2) / (len(first) + missing) + (one.spacing / 6) ** 2
        found.append(_Laying(map=forward, first=first[near], second=second[near], cost=float(cost)))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Statistic:
    """Residuals of matched atoms, whitened, with shift and turn projected out."""

    laying: _Laying
    residual: Float[np.ndarray, "pair 2"]
    whiten: Float[np.ndarray, "2 2"]
    project: Float[np.ndarray, "entry entry"]

    @classmethod
    def of(cls, laying: _Laying, one: DefectPatch, other: DefectPatch) -> "_Statistic":
        covariance = one.scatter**2 * np.eye(2) + other.scatter**2 * laying.map.T @ laying.map
        whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        place = one.offset[laying.first]
        free = np.stack([
            np.broadcast_to([1.0, 0.0], place.shape),
            np.broadcast_to([0.0, 1.0], place.shape),
            (place - place.mean(axis=0)) @ np.array([[0.0, -1.0], [1.0, 0.0]]),
        ])  # fmt: skip
        basis = np.linalg.qr((free @ whiten).reshape(3, -1).T)[0]
        return cls(
            laying=laying,
            residual=place - other.offset[laying.second] @ laying.map,
            whiten=whiten,
            project=np.eye(2 * len(place)) - basis @ basis.T,
        )

    def of_residual(self, residual: Float[np.ndarray, "draw pair 2"]) -> Float[np.ndarray, " draw"]:
        """Return the sum of squares of each set of residuals, shift and turn taken out."""
        white = (residual @ self.whiten).reshape(len(residual), -1)
        return ((white @ self.project) ** 2).sum(axis=1)

    def of_noise(
        self, first: Float[np.ndarray, "draw atom 2"], second: Float[np.ndarray, "draw atom_ 2"]
    ) -> Float[np.ndarray, " draw"]:
        """Return the statistic for noise alone."""
        return self.of_residual(first[:, self.laying.first] - second[:, self.laying.second] @ self.laying.map)


def _unmatched(one: DefectPatch, other: DefectPatch, laying: _Laying) -> Float[np.ndarray, " lost"]:
    """Return for each inner atom without partner the probability that it is not there."""
    scale = float(np.sqrt(abs(np.linalg.det(laying.map))))
    radius = min(one.radius, other.radius * scale) - RIM * one.spacing
    lost = [
        1 - patch.presence_probability[row]
        for patch, matched, factor in ((one, laying.first, 1.0), (other, laying.second, scale))
        for row in np.setdiff1d(np.arange(len(patch)), matched)
        if np.linalg.norm(patch.offset[row]) * factor < radius
    ]
    return np.maximum(np.array(lost, dtype=float), SURELY_THERE)


def _species_factor(one: DefectPatch, other: DefectPatch, laying: _Laying) -> float:
    """Return how much less likely the same defect is for the species that contradict each other."""
    names = sorted(set(one.species) & set(other.species))
    if not names:
        return 1.0
    first = one.species_probability[laying.first][:, [one.species.index(name) for name in names]]
    second = other.species_probability[laying.second][:, [other.species.index(name) for name in names]]
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    agreement = (first * second).sum(axis=1)[known] * len(names)
    return float(np.prod(np.clip(agreement, SURELY_THERE, 1.0)))
