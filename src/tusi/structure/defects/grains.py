"""Grains, and the boundaries between them: by how much the crystal turns or shifts across."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy.spatial import Delaunay, cKDTree
from scipy.special import expit

from tusi.data import Lattice
from tusi.structure.defects.frame import CrystalFrame, gaussian_weights, local_mean
from tusi.structure.defects.table import Defect, DefectKind

LOW_ANGLE, MINOR, UNSTRAINED = 10.0, 0.1, 0.015
"""A domain turned by less than so many degrees against a larger one is part of it, if it has less than this share of
its atoms or is strained by more than this: strained matter around a dislocation registers as such. So is a small domain
of another lattice."""

FLATTEST = 0.2
"""Triangles less high than this share of their longest edge lie along the border of the window and are left out."""

LARGEST_STRAIN = 0.05
"""Two lattices that differ by more strain than this are not the same crystal turned."""

BORDER = 5.0
"""How far from another grain atoms are assigned anew, in lattice constants."""

WIDEST_GAP = 5.0
"""Across wider gaps no boundary is drawn, in lattice constants."""

SMOOTHING = 4
"""Rounds of averaging that take the zigzag of the atoms' rows out of a boundary."""

ANGLE_RANGE = 60.0
"""Range of misorientations that are thought possible beforehand, in degrees."""


EQUIVALENT = 0.1
"""Descriptions of a lattice whose strains against another differ by less than this are the same by its symmetry."""

_STEPS = np.array(list(itertools.product(range(-2, 3), repeat=4)), dtype=float).reshape(-1, 2, 2)
UNIMODULAR = _STEPS[np.rint(np.linalg.det(_STEPS)) == 1]
"""The changes of lattice vectors by short steps that leave lattice and handedness as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """How one lattice is turned against another, in degrees counter-clockwise as shown, and strained."""

    angle: float
    strain: float


def turn_between(first: Float[np.ndarray, "2 2"], second: Float[np.ndarray, "2 2"]) -> Turn:
    """Return the smallest turn that carries one lattice into the other, whichever vectors describe them.

    Parameters
    ----------
    first, second
        Lattice vectors as rows (y, x).
    """
    forward = np.linalg.solve(UNIMODULAR @ first, np.broadcast_to(second, UNIMODULAR.shape))
    angle = np.rad2deg(np.arctan2(forward[:, 0, 1] - forward[:, 1, 0], forward[:, 0, 0] + forward[:, 1, 1]))
    strain = np.abs(np.linalg.svd(forward, compute_uv=False) - 1).max(axis=1)
    alike = np.flatnonzero(strain < strain.min() + EQUIVALENT)
    best = alike[np.abs(angle[alike]).argmin()]
    return Turn(angle=float(angle[best]), strain=float(strain[best]))


def merged_domains(lattice: Lattice) -> Int[np.ndarray, " domain"]:
    """Return for each domain the number of the domain that it is part of: itself, or a larger one hardly turned."""
    size = np.bincount(lattice.domain[lattice.atom >= 0], minlength=len(lattice.vectors))
    owner = np.arange(len(lattice.vectors))
    for domain in np.argsort(size, kind="stable"):
        for larger in np.argsort(-size, kind="stable"):
            if larger == domain:
                break
            turn = turn_between(lattice.vectors[larger], lattice.vectors[domain])
            same_size = abs(np.linalg.det(lattice.vectors[domain]) / np.linalg.det(lattice.vectors[larger]))
            irregular = turn.strain > LARGEST_STRAIN or not 0.85 < same_size < 1.15
            minor = size[domain] < MINOR * size[larger]
            low = abs(turn.angle) < LOW_ANGLE and (minor or turn.strain > UNSTRAINED)
            if low or (irregular and minor):
                owner[domain] = larger
                break
    return owner


def grain_of_atoms(
    position: Float[np.ndarray, "atom 2"],
    usable: Bool[np.ndarray, " atom"],
    lattice: Lattice,
    owner: Int[np.ndarray, " domain"],
) -> Int[np.ndarray, " atom"]:
    """Return the grain of each atom: its domain's, or that of the registered atom next to it; -1 where none is near."""
    grain = np.full(len(position), -1)
    filled = lattice.atom >= 0
    grain[lattice.atom[filled]] = owner[lattice.domain[filled]]
    registered, rest = np.flatnonzero(grain >= 0), np.flatnonzero((grain < 0) & usable)
    if len(rest) and len(registered):
        distance, nearest = cKDTree(position[registered]).query(position[rest])
        near = distance < 2.0 * np.linalg.norm(lattice.vectors[grain[registered[nearest]]], axis=2).min(axis=1)
        grain[rest[near]] = grain[registered[nearest[near]]]
    return grain


def sharpened_grains(
    position: Float[np.ndarray, "atom 2"], grain: Int[np.ndarray, " atom"], frames: dict[int, CrystalFrame]
) -> Int[np.ndarray, " atom"]:
    """Give each atom near another grain to the one whose lattice waves are the more coherent around it.

    Registration follows a lattice some way into a neighbour that is turned little; here only the nearest neighbours
    count, and no grain came first. Where two lattices are parallel their coherence is equal and nothing changes.

    Parameters
    ----------
    position
        (y, x) of all atoms.
    grain
        Grain of each; -1 for none.
    frames
        The frame of each grain.
    """
    grain = grain.copy()
    if len(frames) < 2:
        return grain
    spacing = min(frame.spacing for frame in frames.values())
    inside = np.flatnonzero(grain >= 0)
    other = {n: cKDTree(position[inside][grain[inside] == n]) for n in frames if (grain[inside] == n).any()}
    near = {n: tree.query(position[inside])[0] < BORDER * spacing for n, tree in other.items()}
    band = inside[np.sum(list(near.values()), axis=0) > 1]
    if not len(band):
        return grain
    coherence = np.full((len(band), max(frames) + 1), -np.inf)
    for number, frame in frames.items():
        usual = float(np.median(_coherence(frame.position, position[inside], frame)))
        wave = _coherence(position[band], position[inside], frame) / max(usual, 1e-6)
        coherence[:, number] = np.where(near[number][np.searchsorted(inside, band)], wave, -np.inf)
    best = coherence.argmax(axis=1)
    own = coherence[np.arange(len(band)), grain[band]]
    grain[band] = np.where(coherence.max(axis=1) > own + 0.02, best, grain[band])
    return _without_specks(position, grain, band, reach=1.2 * spacing)


def _coherence(
    place: Float[np.ndarray, "place 2"], position: Float[np.ndarray, "atom 2"], frame: CrystalFrame
) -> Float[np.ndarray, " place"]:
    """Return the sum of the moduli of one crystal's waves at each place, over all atoms nearby whatever their site."""
    phasor = np.exp(2j * np.pi * (position @ np.linalg.inv(frame.vectors)))
    return np.abs(local_mean(gaussian_weights(place, position, width=0.75 * frame.spacing), phasor)).sum(axis=1)


def _without_specks(
    position: Float[np.ndarray, "atom 2"],
    grain: Int[np.ndarray, " atom"],
    band: Int[np.ndarray, " row"],
    *,
    reach: float,
) -> Int[np.ndarray, " atom"]:
    """Return the grains with single atoms inside another grain given to it."""
    inside = np.flatnonzero(grain >= 0)
    tree = cKDTree(position[inside])
    before = grain.copy()
    for row, near in zip(band, tree.query_ball_point(position[band], reach), strict=True):
        votes = np.bincount(before[inside[near]], minlength=before.max() + 1)
        if votes[before[row]] * 3 < votes.max():
            grain[row] = votes.argmax()
    return grain


def wall_segments(
    position: Float[np.ndarray, "atom 2"], label: Int[np.ndarray, " atom"], *, widest: float
) -> dict[tuple[int, int], Float[np.ndarray, "segment 2 2"]]:
    """Return the line between atoms of different labels, for each pair of labels, as short straight pieces.

    In each Delaunay triangle with two labels the piece joins the middles of the two mixed edges; where three labels
    meet, each pair's piece runs from its edge's middle to the triangle's.

    Parameters
    ----------
    position
        (y, x) of the atoms.
    label
        Region of each.
    widest
        Triangles with longer edges are left out, in the unit of the positions.
    """
    if len(position) < 4 or len(np.unique(label)) < 2:
        return {}
    triangle = Delaunay(position).simplices
    corner = position[triangle]
    edge = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2).max(axis=1)
    height = np.abs(np.linalg.det(corner[:, 1:] - corner[:, :1])) / edge
    edge = np.where(height < FLATTEST * edge, np.inf, edge)
    pieces: dict[tuple[int, int], list[np.ndarray]] = {}
    for rows in triangle[(edge < widest) & (np.ptp(label[triangle], axis=1) > 0)]:
        middles = {
            (int(min(label[i], label[j])), int(max(label[i], label[j])), int(i), int(j)): (position[i] + position[j])
            / 2
            for i, j in itertools.combinations(rows, 2)
            if label[i] != label[j]
        }
        centre = position[rows].mean(axis=0)
        if len(middles) == 2:
            (first, second), pair = list(middles.values()), next(iter(middles))[:2]
            pieces.setdefault(pair, []).append(np.array([first, second]))
        else:
            for key, middle in middles.items():
                pieces.setdefault(key[:2], []).append(np.array([middle, centre]))
    return {pair: _straightened(np.array(found)) for pair, found in sorted(pieces.items())}


def _straightened(segments: Float[np.ndarray, "segment 2 2"]) -> Float[np.ndarray, "segment 2 2"]:
    """Return the pieces with their zigzag taken out: points between two pieces move to the mean of their neighbours."""
    point, number = np.unique(np.round(segments.reshape(-1, 2), 6), axis=0, return_inverse=True)
    link = number.reshape(-1, 2)
    both = np.concatenate([link, link[:, ::-1]])
    n_links = np.bincount(both[:, 0], minlength=len(point))
    for _ in range(SMOOTHING):
        total = np.zeros_like(point)
        np.add.at(total, both[:, 0], point[both[:, 1]])
        point = np.where(n_links[:, None] == 2, 0.5 * point + 0.5 * total / n_links[:, None], point)
    return point[link]


def middle_of(segments: Float[np.ndarray, "segment 2 2"]) -> Float[np.ndarray, "2"]:
    """Return the place on a boundary that is nearest to its mean."""
    middles = segments.mean(axis=1)
    return middles[np.linalg.norm(middles - middles.mean(axis=0), axis=1).argmin()]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """Lattice vectors of a grain by least squares, and the covariance of their four components."""

    vectors: Float[np.ndarray, "2 2"]
    covariance: Float[np.ndarray, "4 4"]


def find_grain_boundaries(
    position: Float[np.ndarray, "atom 2"],
    grain: Int[np.ndarray, " atom"],
    lattice: Lattice,
    frames: dict[int, CrystalFrame],
) -> list[Defect]:
    """Return the boundaries between grains.

    Lattice vectors are fitted to the atoms of each grain that lie apart from the boundary; the misorientation is the
    smallest turn that carries one lattice into the other, its error that of the fits. Where no turn is seen, the shift
    across is measured: a translation (antiphase) boundary.

    Parameters
    ----------
    position
        (y, x) of all atoms.
    grain
        Grain of each; -1 for none.
    lattice
        The registered lattice.
    frames
        The frame of each grain.
    """
    inside = np.flatnonzero(grain >= 0)
    spacing = min((frame.spacing for frame in frames.values()), default=1.0)
    walls = wall_segments(position[inside], grain[inside], widest=WIDEST_GAP * spacing)
    cells = {number: _fitted_cell(position, grain, number, lattice, frames[number]) for number in frames}
    found = []
    for (one, other), segments in walls.items():
        first, second = cells[one], cells[other]
        if first is None or second is None:
            continue
        turn = turn_between(first.vectors, second.vectors)
        error = _turn_error(first, second)
        ends = _beside(position, grain, (one, other), segments, reach=1.5 * spacing)
        row = Defect(
            kind=DefectKind.GRAIN_BOUNDARY,
            position=middle_of(segments),
            probability=_turned(turn.angle, error),
            atoms=ends,
            domains=(one, other),
            misorientation=turn.angle,
            misorientation_error=error,
            segments=segments,
        )
        if row.probability < 0.5 and turn.strain < LARGEST_STRAIN:
            row = _translation(row, frames[one], frames[other])
        found.append(row)
    return found


def _fitted_cell(
    position: Float[np.ndarray, "atom 2"],
    grain: Int[np.ndarray, " atom"],
    number: int,
    lattice: Lattice,
    frame: CrystalFrame,
) -> _Cell | None:
    """Fit lattice vectors to the atoms of one grain that are not beside another; `None` where there are too few."""
    rows = np.flatnonzero((lattice.atom >= 0) & (lattice.domain == number))
    others = position[(grain >= 0) & (grain != number)]
    if len(others):
        apart = cKDTree(others).query(position[lattice.atom[rows]])[0] > 2.0 * frame.spacing
        rows = rows[apart]
    coordinate = lattice.index[rows, :2] + lattice.basis[lattice.index[rows, 2]]
    design = np.column_stack([coordinate, np.ones(len(rows))])
    target = position[lattice.atom[rows]]
    if len(rows) < 8 or np.linalg.matrix_rank(design) < 3:
        return None
    for _ in range(2):
        solution = np.linalg.lstsq(design, target, rcond=None)[0]
        residual = target - design @ solution
        size = np.linalg.norm(residual, axis=1)
        keep = size <= 4.0 * np.median(size) + 1e-12
        design, target, residual = design[keep], target[keep], residual[keep]
    variance = (residual**2).sum() / max(2 * len(residual) - 6, 1)
    covariance = np.kron(np.linalg.inv(design.T @ design)[:2, :2], variance * np.eye(2))
    return _Cell(vectors=solution[:2], covariance=covariance)


def _turn_error(first: _Cell, second: _Cell) -> float:
    """Return the standard error of the turn between two fitted lattices, in degrees: first-order propagation."""
    angle = turn_between(first.vectors, second.vectors).angle
    variance = 0.0
    for cell, varied in ((first, 0), (second, 1)):
        step = 1e-5 * float(np.abs(cell.vectors).max())
        gradient = np.empty(4)
        for k in range(4):
            moved = cell.vectors + step * np.eye(4)[k].reshape(2, 2)
            pair = (moved, second.vectors) if varied == 0 else (first.vectors, moved)
            change = turn_between(*pair).angle - angle
            gradient[k] = change / step
        variance += gradient @ cell.covariance @ gradient
    return float(np.sqrt(variance))


def _turned(angle: float, error: float) -> float:
    """Return the probability that two grains are turned at all, all angles being as likely beforehand as none."""
    log_odds = 0.5 * (angle / error) ** 2 + np.log(np.sqrt(2 * np.pi) * error / ANGLE_RANGE) if error > 0 else 0.0
    return float(expit(log_odds))


def _translation(row: Defect, first: CrystalFrame, second: CrystalFrame) -> Defect:
    """Return the boundary as one across which the lattice is shifted: phases of both grains compared on the wall."""
    place = row.segments.mean(axis=1)
    near_first = _wave_of_all(first, first, place)
    near_second = _wave_of_all(first, second, place)
    ratio = near_second * np.conj(near_first)
    strong = (np.abs(ratio) > 0.1).all(axis=1)
    if not strong.any():
        return row
    mean = (ratio[strong] / np.abs(ratio[strong])).mean(axis=0)
    shift = np.angle(mean) / (2 * np.pi)
    error = np.sqrt(np.maximum(1 - np.abs(mean) ** 2, 1e-4) / max(strong.sum() / 4, 1)) / (2 * np.pi)
    log_odds = float((0.5 * (shift / error) ** 2 + np.log(np.sqrt(2 * np.pi) * error)).sum())
    return dataclasses.replace(
        row,
        kind=DefectKind.ANTIPHASE_BOUNDARY,
        probability=float(expit(log_odds)),
        steps=shift,
        vector=shift @ first.vectors,
        misorientation=float("nan"),
        misorientation_error=float("nan"),
    )


def _wave_of_all(
    counted: CrystalFrame, atoms: CrystalFrame, place: Float[np.ndarray, "place 2"]
) -> Complex[np.ndarray, "place 2"]:
    """Return the wave of one grain's atoms with the reciprocal vectors of another, at places up to two widths away."""
    phasor = np.exp(2j * np.pi * (atoms.position @ np.linalg.inv(counted.vectors)))
    frame = dataclasses.replace(atoms, phasor=phasor, width=1.5 * counted.width)
    return frame.wave(place)


def _beside(
    position: Float[np.ndarray, "atom 2"],
    grain: Int[np.ndarray, " atom"],
    pair: tuple[int, int],
    segments: Float[np.ndarray, "segment 2 2"],
    *,
    reach: float,
) -> Int[np.ndarray, " member"]:
    """Return the atoms of both grains along a boundary."""
    members = np.flatnonzero(np.isin(grain, pair))
    distance, _ = cKDTree(segments.mean(axis=1)).query(position[members])
    return members[distance < reach] if len(segments) else np.empty(0, np.int64)
