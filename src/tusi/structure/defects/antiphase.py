"""Antiphase boundaries of an ordered alloy: where the superlattice wave of the composition changes its phase."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay
from scipy.special import expit

from tusi.data import Atoms, Lattice, NeighborGraph
from tusi.structure.defects.frame import CrystalFrame, gaussian_weights, local_mean
from tusi.structure.defects.grains import middle_of, wall_segments
from tusi.structure.defects.table import Defect, DefectKind

LEAST_ORDER = 0.2
"""Share of the variance of the composition that the wave must explain around the median site for an alloy to count as
ordered; a few foreign columns side by side reach it around themselves only."""

SMALLEST_REGION = 8
"""Fewer sites than this in another phase are antisites, not a region."""

MOST_SWEEPS, NEIGHBOUR_GAIN = 10, 1.0
"""Sharpening of walls: sweeps, and the log-odds of a phase for each neighbour in it."""

LENGTH_COST = 0.97
"""Logarithm of the number of self-avoiding walls per step of their length on a square lattice: what the freedom to draw
a wall around any patch costs in log-odds."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AlloyOrder:
    """The order of an alloy on the sites of one crystal.

    Attributes
    ----------
    site
        Rows of the sites in the lattice, all filled.
    sublattice
        Class of each site in the superstructure, the phase of its region taken into account.
    region
        Region of constant phase of each site.
    wave_vector
        The superlattice wave, in reciprocal lattice vectors.
    n_phases
        How many phases it can have.
    phase
        Phase of each region, as a number of steps of a whole turn over `n_phases`.
    """

    site: Int[np.ndarray, " site"]
    sublattice: Int[np.ndarray, " site"]
    region: Int[np.ndarray, " site"]
    wave_vector: Float[np.ndarray, "2"]
    n_phases: int
    phase: Int[np.ndarray, " region"]


def find_order(atoms: Atoms, lattice: Lattice, frame: CrystalFrame, *, domain: int) -> AlloyOrder | None:
    """Return the order of the alloy on one crystal's sites; `None` where there is none or no species are known.

    The wave of the composition, local mean of (x - mean) exp(-2 pi i q . n), is taken for all q that double or triple
    the cell. Of these the strongest counts if it explains enough of the variance; its phase, rounded to what the
    superstructure allows, labels every site.
    """
    site = np.flatnonzero((lattice.atom >= 0) & (lattice.domain == domain))
    if not atoms.species or len(site) < 4 * SMALLEST_REGION:
        return None
    probability = atoms.species_probability[lattice.atom[site]]
    site, probability = site[np.isfinite(probability).all(axis=1)], probability[np.isfinite(probability).all(axis=1)]
    if len(site) < 4 * SMALLEST_REGION:
        return None
    level = probability[:, probability.var(axis=0).argmax()]
    contrast = level - level.mean()
    if contrast.var() < 1e-6:
        return None
    position = atoms.position[lattice.atom[site]]
    weight = gaussian_weights(position, position, width=frame.width)
    coordinate = lattice.index[site, :2] + lattice.basis[lattice.index[site, 2]]
    best, strength = None, LEAST_ORDER
    for wave_vector, n_phases in _wave_vectors(frame):
        wave = local_mean(weight, contrast * np.exp(-2j * np.pi * (coordinate @ wave_vector)))
        explained = float(np.median(np.abs(wave) ** 2) / contrast.var()) * (1 if n_phases == 2 else 2)
        if explained > strength * 1.001:
            best, strength = (wave_vector, n_phases, wave), explained
    if best is None:
        return None
    wave_vector, n_phases, wave = best
    return _labelled(site, position, probability, (coordinate @ wave_vector, wave), (wave_vector, n_phases))


def _wave_vectors(frame: CrystalFrame) -> list[tuple[Float[np.ndarray, "2"], int]]:
    """Return superlattice waves and the number of phases each can have."""
    waves = [(np.array(q), 2) for q in ((0.5, 0.5), (0.5, 0.0), (0.0, 0.5))]
    waves += [(np.array(q), 3) for q in ((1 / 3, 1 / 3), (1 / 3, -1 / 3), (1 / 3, 0.0), (0.0, 1 / 3))]
    if len(frame.basis) == 2:
        half = 2 * (frame.basis[1] - frame.basis[0])
        parity = np.rint(half).astype(int) % 2
        if np.abs(half - np.rint(half)).max() < 0.12 and parity.any():
            waves.append((np.array([1.0, 0.0]) if parity[0] else np.array([0.0, 1.0]), 2))
    return waves


def _labelled(
    site: Int[np.ndarray, " site"],
    position: Float[np.ndarray, "site 2"],
    seen: Float[np.ndarray, "site species"],
    start: tuple[Float[np.ndarray, " site"], Complex[np.ndarray, " site"]],
    wave: tuple[Float[np.ndarray, "2"], int],
) -> AlloyOrder:
    """Round the local phases, sharpen them site by site, and gather connected sites of one phase into regions.

    `start` are the superlattice wave's phase at each site, in turns, and the local mean of the composition's wave.
    """
    turn, mean = start
    wave_vector, n_phases = wave
    reference = np.angle((mean**n_phases).sum()) / n_phases
    label = np.rint(n_phases * (np.angle(mean) - reference) / (2 * np.pi)).astype(int) % n_phases
    step = n_phases * (turn + reference / (2 * np.pi))
    offset = np.angle(np.exp(2j * np.pi * step).mean()) / (2 * np.pi)
    own = np.rint(step - offset).astype(int) % n_phases
    links = _links(position)
    label = _sharpened(label, own, seen, (links, n_phases))
    region = _regions(label, links)
    phase = np.array([np.bincount(label[region == number]).argmax() for number in range(region.max() + 1)])
    return AlloyOrder(
        site=site,
        sublattice=(own + phase[region]) % n_phases,
        region=region,
        wave_vector=wave_vector,
        n_phases=n_phases,
        phase=phase,
    )


def _sharpened(
    label: Int[np.ndarray, " site"],
    own: Int[np.ndarray, " site"],
    seen: Float[np.ndarray, "site species"],
    task: tuple[Int[np.ndarray, "link 2"], int],
) -> Int[np.ndarray, " site"]:
    """Give sites beside a wall the phase that their species and their neighbours favour, until none changes."""
    links, n_phases = task
    label = label.copy()
    graph = NeighborGraph.from_pairs(links, n_atoms=len(label), rule="Delaunay")
    gain = _log_likelihoods(seen, own, own + label, n_phases)
    for _ in range(MOST_SWEEPS):
        walls = links[label[links[:, 0]] != label[links[:, 1]]]
        before = label.copy()
        for site in np.unique(walls):
            votes = np.bincount(label[graph.of(site)], minlength=n_phases)
            label[site] = int((gain[site] + NEIGHBOUR_GAIN * votes).argmax())
        if (label == before).all():
            break
    return label


def _links(position: Float[np.ndarray, "site 2"]) -> Int[np.ndarray, "link 2"]:
    """Return the pairs of Delaunay neighbours, those across gaps left out."""
    triangle = Delaunay(position).simplices
    pairs = np.unique(
        np.sort(np.concatenate([triangle[:, [0, 1]], triangle[:, [1, 2]], triangle[:, [0, 2]]]), axis=1), axis=0
    )
    length = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)
    return pairs[length < 1.8 * np.median(length)]


def _regions(label: Int[np.ndarray, " site"], links: Int[np.ndarray, "link 2"]) -> Int[np.ndarray, " site"]:
    """Return the connected regions of equal label; regions of a few sites take the label around them."""
    label = label.copy()
    while True:
        region = _components(label, links)
        size = np.bincount(region)
        small = np.flatnonzero(size < SMALLEST_REGION)
        small = small[np.argsort(size[small], kind="stable")]
        for number in small:
            inside = region == number
            outside = links[inside[links[:, 0]] != inside[links[:, 1]]]
            around = label[np.where(inside[outside], -1, outside).max(axis=1)]
            if len(around):
                label[inside] = np.bincount(around).argmax()
                break
        else:
            return region


def _components(label: Int[np.ndarray, " site"], links: Int[np.ndarray, "link 2"]) -> Int[np.ndarray, " site"]:
    same = links[label[links[:, 0]] == label[links[:, 1]]]
    shape = (len(label), len(label))
    return connected_components(coo_matrix((np.ones(len(same)), (same[:, 0], same[:, 1])), shape=shape))[1]


def find_antiphase_boundaries(atoms: Atoms, lattice: Lattice, frame: CrystalFrame, order: AlloyOrder) -> list[Defect]:
    """Return the boundaries between regions of different phase.

    The log-odds of a boundary are what the species of the smaller region gain by its own phase over its neighbour's,
    less what the freedom to draw a wall of that length costs.

    Parameters
    ----------
    atoms
        Atoms with species probabilities.
    lattice
        Their lattice.
    frame
        The crystal.
    order
        What `find_order` returned.
    """
    position = atoms.position[lattice.atom[order.site]]
    own = order.sublattice - order.phase[order.region]
    seen = atoms.species_probability[lattice.atom[order.site]]
    gain = _log_likelihoods(seen, own, order.sublattice, order.n_phases)
    found = []
    for (one, other), segments in wall_segments(position, order.region, widest=3.0 * frame.spacing).items():
        if order.phase[one] == order.phase[other]:
            continue
        change = int(order.phase[other] - order.phase[one]) % order.n_phases
        evidence = [
            (gain[order.region == region, order.phase[region]] - gain[order.region == region, order.phase[rival]]).sum()
            for region, rival in ((one, other), (other, one))
        ]
        length = float(np.linalg.norm(np.diff(segments, axis=1), axis=2).sum())
        steps = _shift(order, change, frame.vectors)
        beside = np.linalg.norm(position[:, None] - segments.mean(axis=1)[None], axis=2).min(axis=1) < frame.spacing
        found.append(
            Defect(
                kind=DefectKind.ANTIPHASE_BOUNDARY,
                position=middle_of(segments),
                probability=float(expit(min(evidence) - LENGTH_COST * length / frame.spacing)),
                atoms=lattice.atom[order.site[beside]],
                domains=(one, other),
                steps=steps,
                vector=steps @ frame.vectors,
                segments=segments,
            )
        )
    return found


def _log_likelihoods(
    seen: Float[np.ndarray, "site species"],
    own: Int[np.ndarray, " site"],
    sublattice: Int[np.ndarray, " site"],
    n_phases: int,
) -> Float[np.ndarray, "site phase"]:
    """Return the log-likelihood of what is seen on each site, were it in each phase.

    Parameters
    ----------
    seen
        Species probabilities.
    own
        Sublattice of each site in phase zero.
    sublattice
        Sublattice of each in the phase that it is thought to have: from these the sublattices' compositions come.
    n_phases
        Number of phases.
    """
    counts = np.stack([seen[sublattice % n_phases == k].sum(axis=0) + 0.5 for k in range(n_phases)])
    share = counts / counts.sum(axis=1, keepdims=True)
    odds = seen / np.maximum(seen.mean(axis=0), 1e-9)
    columns = [np.log(np.maximum((odds * share[(own + k) % n_phases]).sum(axis=1), 1e-12)) for k in range(n_phases)]
    return np.stack(columns, axis=1)


def _shift(order: AlloyOrder, change: int, vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2"]:
    """Return the shortest lattice step (half steps in a doubled cell) that changes the phase by so much."""
    unit = 0.5 if np.abs(order.wave_vector).max() >= 1 else 1.0
    steps = [unit * np.array(pair) for pair in itertools.product(range(-2, 3), repeat=2) if any(pair)]
    turns = [(-order.n_phases * (step @ order.wave_vector) - change) % order.n_phases for step in steps]
    fitting = [step for step, turn in zip(steps, turns, strict=True) if min(turn, order.n_phases - turn) < 1e-6]
    return min(fitting, key=lambda step: (round(float(np.linalg.norm(step @ vectors)), 6), *(-step)))
