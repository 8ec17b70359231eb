"""Dislocations: the points around which the lattice phase winds; how often it winds is the Burgers vector."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import Delaunay, cKDTree

from tusi.structure.defects.cores import OUTER, fit_core
from tusi.structure.defects.frame import CrystalFrame
from tusi.structure.defects.table import Defect, DefectKind

CORE_ERROR, NODE_ERROR = 0.06, 0.32
"""What is added to the standard error of a core's position along each axis, in lattice constants: where the elastic
field was fitted, and where only the node of the wave is known.

Measured on simulated edge dislocations with cores anywhere in the cell and Poisson ratios from .1 to .4. The node is
that far off because the strain of the rest of the crystal moves it.
"""

CANCEL, PAIR = 2.0, 1.6
"""Nodes of one wave with opposite signs nearer than this are none; nodes of the two waves nearer than that are one
dislocation; in lattice constants."""

LONGEST_EDGE = 3.5
"""Longest edge of a triangle in which a node is looked for, in lattice constants."""

RING, N_RING = 2.0, 16
"""Radius of the Burgers circuit, in lattice constants, and the points on it."""


def find_dislocations(frame: CrystalFrame, *, scatter: float, domain: int = 0) -> list[Defect]:
    """Return the dislocations of one crystal.

    Around every triangle of neighbouring atoms the wrapped phase steps of each wave are summed: the sum is a whole
    number of turns, and not zero where the wave has a node. Nodes of both waves near each other make one Burgers
    vector; its place is that of the elastic field around it. Its probability is that of a circuit around it on which
    noise turns no phase step over.

    Parameters
    ----------
    frame
        The crystal.
    scatter
        Standard deviation of the atoms about their sites along one axis, in the unit of the positions.
    domain
        Number of the crystal.
    """
    if len(frame.atom) < 4:
        return []
    pairs = _paired(*(_nodes(frame, wave, scatter) for wave in (0, 1)), reach=PAIR * frame.spacing)
    nodes = [[(wave, node) for wave, node in enumerate(pair) if node is not None] for pair in pairs]
    middles = np.array([np.mean([node[0] for _, node in parts], axis=0) for parts in nodes]).reshape(-1, 2)
    found = []
    for number, parts in enumerate(nodes):
        steps = np.zeros(2)
        for wave, node in parts:
            steps[wave] = node[2]
        apart = np.linalg.norm(np.delete(middles, number, axis=0) - middles[number], axis=1).min(initial=np.inf)
        outer = min(OUTER, 0.5 * apart / frame.spacing)
        core = fit_core(frame, steps, middles[number], scatter=scatter, outer=outer)
        if core is None:
            position, error = middles[number], NODE_ERROR
            covariance = np.mean([node[1] for _, node in parts], axis=0)
        else:
            position, covariance, error = core.position, core.covariance, CORE_ERROR
        covariance = covariance + (error * frame.spacing) ** 2 * np.eye(2)
        found.append(
            Defect(
                kind=DefectKind.DISLOCATION,
                position=position,
                covariance=covariance,
                probability=_circuit_probability(frame, middles[number]),
                atoms=frame.atom[cKDTree(frame.position).query_ball_point(position, 1.2 * frame.spacing)],
                domains=(domain, -1),
                steps=steps,
                vector=steps @ frame.vectors,
            )
        )
    return found


Node = tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"], int]
"""Place, covariance from the atoms' scatter, and turns of the phase around it."""


def _nodes(frame: CrystalFrame, wave: int, scatter: float) -> list[Node]:
    """Return the nodes of one wave that no node of opposite sign cancels."""
    phase = np.angle(frame.wave(frame.position)[:, wave])
    triangle = Delaunay(frame.position).simplices
    corner = frame.position[triangle]
    edge = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2).max(axis=1)
    triangle, corner = triangle[edge < LONGEST_EDGE * frame.spacing], corner[edge < LONGEST_EDGE * frame.spacing]
    step = np.roll(phase[triangle], -1, axis=1) - phase[triangle]
    turns = np.rint(np.angle(np.exp(1j * step)).sum(axis=1) / (2 * np.pi)).astype(int)
    clockwise = np.sign(_cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])).astype(int)
    winding = turns * clockwise
    wound = np.flatnonzero(winding)
    kept = _uncancelled(corner[wound].mean(axis=1), winding[wound], reach=CANCEL * frame.spacing)
    return [
        (*_refined(frame, wave, corner[wound[row]].mean(axis=0), scatter=scatter), int(winding[wound[row]]))
        for row in kept
    ]


def _cross(first: Float[np.ndarray, "row 2"], second: Float[np.ndarray, "row 2"]) -> Float[np.ndarray, " row"]:
    """Return a positive number where the turn from one (y, x) to the other goes from x towards y."""
    return first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]


def _uncancelled(place: Float[np.ndarray, "node 2"], winding: Int[np.ndarray, " node"], *, reach: float) -> list[int]:
    """Return the nodes that are left when pairs of opposite sign are taken away, the nearest first."""
    left = set(range(len(place)))
    if len(place) > 1:
        pairs = cKDTree(place).query_pairs(reach, output_type="ndarray")
        pairs = pairs[winding[pairs[:, 0]] * winding[pairs[:, 1]] < 0]
        order = np.argsort(np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1), kind="stable")
        for one, other in pairs[order].tolist():
            if one in left and other in left:
                left -= {one, other}
    return sorted(left)


def _refined(
    frame: CrystalFrame, wave: int, start: Float[np.ndarray, "2"], *, scatter: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]]:
    """Return where the wave is zero (Newton), and the covariance that the scatter of the atoms gives that place."""
    reciprocal = np.linalg.inv(frame.vectors)[:, wave]
    place = start.copy()
    for _ in range(20):
        weight, offset = _weights_at(frame, place)
        phasor = frame.phasor[:, wave]
        value = weight @ phasor
        slope = (weight * phasor) @ offset / frame.width**2
        jacobian = np.stack([np.real(slope), np.imag(slope)])
        if abs(np.linalg.det(jacobian)) < 1e-9 * np.abs(jacobian).max() ** 2:
            break
        step = -np.linalg.solve(jacobian, [np.real(value), np.imag(value)])
        step *= min(1.0, 0.3 * frame.spacing / max(float(np.linalg.norm(step)), 1e-300))
        place = place + step
        if np.linalg.norm(step) < 1e-6 * frame.spacing or np.linalg.norm(place - start) > 1.5 * frame.spacing:
            break
    if np.linalg.norm(place - start) > 1.5 * frame.spacing:
        place = start
    weight, offset = _weights_at(frame, place)
    phasor = frame.phasor[:, wave]
    slope = (weight * phasor) @ offset / frame.width**2
    moved = (weight * phasor)[:, None] * (2j * np.pi * reciprocal - offset / frame.width**2)
    response = np.stack([np.real(moved), np.imag(moved)])
    noise = scatter**2 * np.einsum("aik,bik->ab", response, response)
    back = np.linalg.pinv(np.stack([np.real(slope), np.imag(slope)]))
    return place, back @ noise @ back.T


def _weights_at(
    frame: CrystalFrame, place: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, " atom"], Float[np.ndarray, "atom 2"]]:
    """Return the Gaussian weight of every atom at a place, and the vectors from the place to the atoms."""
    offset = frame.position - place
    return np.exp(-0.5 * (offset**2).sum(axis=1) / frame.width**2), offset


def _paired(first: list[Node], second: list[Node], *, reach: float) -> list[tuple[Node | None, Node | None]]:
    """Return nodes of the first and of the second wave that belong to one dislocation, and those that stand alone."""
    pairs: list[tuple[Node | None, Node | None]] = []
    free = list(range(len(second)))
    for node in first:
        distance = [float(np.linalg.norm(second[k][0] - node[0])) for k in free]
        if distance and min(distance) < reach:
            pairs.append((node, second[free.pop(int(np.argmin(distance)))]))
        else:
            pairs.append((node, None))
    return pairs + [(None, second[k]) for k in free]


def _circuit_probability(frame: CrystalFrame, position: Float[np.ndarray, "2"]) -> float:
    """Return the probability that no noise turned a phase over on a circuit around the core (a bound, by summing).

    Both waves are means of phasors whose scatter about the mean is seen in the neighbourhood itself; a phase is turned
    over where the noise of such a mean exceeds its modulus.
    """
    angle = 2 * np.pi * np.arange(N_RING) / N_RING
    ring = position + RING * frame.spacing * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weight = frame.weights(ring)
    total = np.maximum(np.asarray(weight.sum(axis=1)).ravel(), 1e-150)
    seen = np.asarray(weight.multiply(weight).sum(axis=1)).ravel()
    modulus = np.abs((weight @ frame.phasor) / total[:, None])
    variance = np.maximum(1 - modulus**2, 1e-6) * (seen / total**2)[:, None]
    inside = total > 0.5
    turned = np.exp(-(modulus**2) / variance).max(axis=1)[inside].sum() * RING / frame.width * frame.spacing / N_RING
    return float(np.clip(1 - 2 * np.pi * turned, 0.0, 1.0)) if inside.any() else 0.0
