"""Simple lattices with known truth on which the accuracy of atom finding is measured."""

import dataclasses

import numpy as np
import xarray as xr

from tusi.data import Atoms, NoiseModel
from tusi.errors import InputError
from tusi.imaging import Acquisition, Scene, acquire

SPECIES = ("host", "dopant")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pattern:
    """A periodic arrangement of spots.

    Attributes
    ----------
    vectors
        The two lattice vectors (y, x), in pixels.
    basis
        Sites in the cell, in units of the lattice vectors.
    width
        Standard deviation of every spot, in pixels.
    """

    vectors: tuple[tuple[float, float], tuple[float, float]]
    basis: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    width: float

    def positions(self, shape: tuple[int, int], *, margin: float, origin: np.ndarray) -> np.ndarray:
        """Return all sites that lie within `margin` pixels of an image of this shape."""
        vectors = np.array(self.vectors)
        corners = np.array([[y, x] for y in (-margin, shape[0] + margin) for x in (-margin, shape[1] + margin)])
        cells = (corners - origin) @ np.linalg.inv(vectors)
        low, high = np.floor(cells.min(axis=0)).astype(int) - 1, np.ceil(cells.max(axis=0)).astype(int) + 2
        index = np.stack(np.meshgrid(*(np.arange(*pair) for pair in zip(low, high, strict=True)), indexing="ij"), -1)
        sites = (index.reshape(-1, 1, 2) + np.array(self.basis)).reshape(-1, 2) @ vectors + origin
        near = ((sites > -0.5 - margin) & (sites < np.array(shape) - 0.5 + margin)).all(axis=1)
        return sites[near]


def _honeycomb(bond: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return ((1.5 * bond, np.sqrt(0.75) * bond), (0.0, np.sqrt(3.0) * bond))


PATTERNS = {
    "square": Pattern(vectors=((16.0, 0.0), (0.0, 16.0)), width=2.5),
    "triangular": Pattern(vectors=((16.0 * np.sqrt(0.75), 8.0), (0.0, 16.0)), width=2.5),
    "honeycomb": Pattern(vectors=_honeycomb(14.2), basis=((0.0, 0.0), (2 / 3, -1 / 3)), width=4.0),
    "dumbbell": Pattern(vectors=((18.0, 0.0), (0.0, 28.0)), basis=((0.0, 0.0), (0.0, 7.5 / 28.0)), width=3.0),
}
"""The lattices of the localisation tests: neighbours at 6.4, 6.4, 3.55 and 2.5 spot widths."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disorder:
    """How the spots of a pattern differ from each other.

    Attributes
    ----------
    amplitude_spread
        Relative standard deviation of the peak heights.
    dopant_fraction, dopant_amplitude
        Fraction of columns that are dopants, and their peak height relative to the host.
    vacancy_fraction
        Fraction of sites left empty.
    displacement
        Standard deviation of a column's displacement from its site along each axis, in pixels.
    """

    amplitude_spread: float = 0.03
    dopant_fraction: float = 0.03
    dopant_amplitude: float = 1.8
    vacancy_fraction: float = 0.01
    displacement: float = 0.15


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LocalisationWorld:
    """An image with the truth behind it.

    Attributes
    ----------
    grid
        The image, without pixel size.
    truth
        Columns whose centre lies inside the image, in pixels, species "host" or "dopant"; line jitter is noise, not
        truth, and is not in the positions.
    width
        Standard deviation of the spots, in pixels, blur included.
    background
        Mean signal between the spots, in signal units.
    noise
        The detector's noise model.
    """

    grid: xr.DataArray
    truth: Atoms
    width: float
    background: float
    noise: NoiseModel


def localisation_world(
    lattice: str | Pattern,
    *,
    rng: np.random.Generator,
    dose: float | Acquisition,
    disorder: Disorder | None = None,
    shape: tuple[int, int] = (256, 256),
) -> LocalisationWorld:
    """Simulate an image of a simple lattice with dopants, vacancies and disorder.

    The lattice reaches beyond the image on all sides, its origin is random, and counts are Poisson. With the defaults
    these are the settings for which the localisation bound is tabulated in the documentation.

    Parameters
    ----------
    lattice
        One of `PATTERNS` by name, or a pattern of your own.
    rng
        Draws everything that is random.
    dose
        Electrons per pixel, or a whole acquisition for line jitter, blur, detector or display.
    disorder
        Dopants, vacancies, spread; the defaults of `Disorder` when `None`.
    shape
        Rows and columns of the image.

    Returns
    -------
    LocalisationWorld
        Image and truth.

    Raises
    ------
    InputError
        No pattern has this name.

    Examples
    --------
    >>> world = localisation_world("square", dose=300, rng=np.random.default_rng(0), shape=(64, 64))
    >>> world.grid.shape, len(world.truth)
    ((64, 64), 15)
    """
    if isinstance(lattice, str) and lattice not in PATTERNS:
        raise InputError("lattice", expected=f"one of {', '.join(PATTERNS)}, or a Pattern", got=repr(lattice))
    pattern = PATTERNS[lattice] if isinstance(lattice, str) else lattice
    acquisition = dose if isinstance(dose, Acquisition) else Acquisition(dose=float(dose))
    disorder = disorder or Disorder()
    origin = rng.uniform(size=2) @ np.array(pattern.vectors)
    sites = pattern.positions(shape, margin=7 * pattern.width, origin=origin)
    sites = sites[rng.random(len(sites)) >= disorder.vacancy_fraction]
    dopant = rng.random(len(sites)) < disorder.dopant_fraction
    scene = Scene(
        position=sites + rng.normal(scale=disorder.displacement, size=sites.shape),
        amplitude=(1 + disorder.amplitude_spread * rng.normal(size=len(sites)))
        * np.where(dopant, disorder.dopant_amplitude, 1.0),
        width=np.full(len(sites), pattern.width),
        shape=shape,
    )
    detector = acquisition.detector
    electrons = 2 * np.pi * acquisition.dose * acquisition.peak_fraction * scene.amplitude * scene.width**2
    truth = Atoms.at(scene.position, length_unit="pixel", intensity=detector.gain * electrons)
    truth = dataclasses.replace(truth, species=SPECIES, species_probability=np.stack([~dopant, dopant], axis=1))
    return LocalisationWorld(
        grid=acquire(scene, acquisition, rng=rng),
        truth=truth[scene.inside],
        width=float(np.hypot(pattern.width, acquisition.blur)),
        background=detector.gain * acquisition.dose * acquisition.background_fraction + detector.offset,
        noise=detector.noise,
    )
