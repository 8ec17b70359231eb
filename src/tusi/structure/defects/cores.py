"""Where the core of a dislocation is: the elastic field around it, fitted to the phases of the atoms."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.structure.defects.frame import CrystalFrame

INNER, OUTER = 1.2, 6.0
"""Atoms between these distances from the core are fitted, in lattice constants."""

N_FIELD = 6
"""Terms of the field of one wave besides its winding: a constant, a gradient, sin and cos of twice the bearing, log."""

MOST_STEPS, LONGEST_STEP, LARGEST_MOVE = 20, 0.4, 2.0
"""Steps of the fit, the longest of them, and how far from the first guess it may end, in lattice constants."""

SPARE = 1.5
"""There must be so many times as many phases as unknowns."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Core:
    """Place of a core and its covariance."""

    position: Float[np.ndarray, "2"]
    covariance: Float[np.ndarray, "2 2"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Phases:
    """Atoms around a core: rows in the frame, distance in lattice constants and bearing from x towards y."""

    row: Int[np.ndarray, " atom"]
    step: Float[np.ndarray, "atom 2"]
    distance: Float[np.ndarray, " atom"]
    bearing: Float[np.ndarray, " atom"]

    @classmethod
    def around(cls, frame: CrystalFrame, place: Float[np.ndarray, "2"], outer: float) -> "_Phases":
        step = (frame.position - place) / frame.spacing
        distance = np.linalg.norm(step, axis=1)
        row = np.flatnonzero((distance > INNER) & (distance < outer) & (np.abs(frame.phasor[:, 0]) > 0))
        return cls(row, step[row], distance[row], np.arctan2(step[row, 0], step[row, 1]))

    @property
    def field(self) -> Float[np.ndarray, "atom term"]:
        """Terms of which the phase of a wave consists besides the winding."""
        twice = 2 * self.bearing
        constant = np.ones(len(self.row))
        return np.column_stack([constant, self.step, np.sin(twice), np.cos(twice), np.log(self.distance)])

    def slope(self, turns: float, term: Float[np.ndarray, " term"]) -> Float[np.ndarray, "atom 2"]:
        """Return how the phase of a wave changes when the core moves by one lattice constant along y or x."""
        s, c = np.sin(self.bearing), np.cos(self.bearing)
        around = turns + 2 * term[3] * np.cos(2 * self.bearing) - 2 * term[4] * np.sin(2 * self.bearing)
        outward = term[5]
        return -np.column_stack([around * c + outward * s, outward * c - around * s]) / self.distance[:, None]


def fit_core(
    frame: CrystalFrame,
    steps: Float[np.ndarray, "2"],
    start: Float[np.ndarray, "2"],
    *,
    scatter: float,
    outer: float = OUTER,
) -> Core | None:
    """Return where the core of a dislocation lies, by least squares on the phases of the atoms around it.

    In an isotropic medium the phase of each wave around an edge dislocation is its winding times the bearing, terms in
    sin and cos of twice the bearing, and the logarithm of the distance. The rest of the crystal, strained and turned
    against the lattice that was registered, adds a constant and a gradient, which would move the zero of a smoothed
    wave; all these are fitted together with the place, which the waves have in common.

    Parameters
    ----------
    frame
        The crystal.
    steps
        The Burgers vector: how often each wave winds.
    start
        (y, x) near the core.
    scatter
        Standard deviation of the atoms about their sites along one axis, in the unit of the positions.
    outer
        Up to where atoms are fitted, in lattice constants.

    Returns
    -------
    Core or None
        Nothing where there are too few atoms, or the fit leaves the neighbourhood of the first guess.
    """
    waves = np.flatnonzero(steps)
    place, terms = start.copy(), np.zeros((len(waves), N_FIELD))
    for number in range(MOST_STEPS):
        near = _Phases.around(frame, place, outer)
        if len(near.row) * len(waves) < SPARE * (2 + N_FIELD * len(waves)):
            return None
        design, residual = _linearised(frame, near, steps, terms if number else None)
        solution = np.linalg.lstsq(design, residual.ravel(), rcond=None)[0]
        terms = solution[2:].reshape(len(waves), N_FIELD)
        length = float(np.linalg.norm(solution[:2]))
        place = place + frame.spacing * solution[:2] * min(1.0, LONGEST_STEP / max(length, 1e-12))
        if np.linalg.norm(place - start) > LARGEST_MOVE * frame.spacing:
            return None
        if number and length < 1e-3:
            break
    back = np.linalg.pinv(design)[:2].reshape(2, len(waves), -1)
    reciprocal = 2 * np.pi * np.linalg.inv(frame.vectors)[:, waves]
    covariance = np.einsum("ika,kl,jla->ij", back, scatter**2 * reciprocal.T @ reciprocal, back)
    return Core(position=place, covariance=frame.spacing**2 * covariance)


def _linearised(
    frame: CrystalFrame,
    near: _Phases,
    steps: Float[np.ndarray, "2"],
    terms: Float[np.ndarray, "wave term"] | None,
) -> tuple[Float[np.ndarray, "phase unknown"], Float[np.ndarray, "wave atom"]]:
    """Return the slopes of all phases with the place and the terms of each wave's field, and the phases to explain.

    Phases are taken within half a turn of what the last step says, at first of their mean.
    """
    waves = np.flatnonzero(steps)
    field = near.field
    design = np.zeros((len(waves), len(near.row), 2 + N_FIELD * len(waves)))
    residual = np.empty((len(waves), len(near.row)))
    for k, wave in enumerate(waves):
        phasor = frame.phasor[near.row, wave] * np.exp(-1j * steps[wave] * near.bearing)
        expected = np.angle(phasor.mean()) if terms is None else field @ terms[k]
        residual[k] = np.angle(phasor * np.exp(-1j * expected)) + expected
        design[k, :, :2] = near.slope(steps[wave], np.zeros(N_FIELD) if terms is None else terms[k])
        design[k, :, 2 + N_FIELD * k : 2 + N_FIELD * (k + 1)] = field
    return design.reshape(-1, design.shape[2]), residual
