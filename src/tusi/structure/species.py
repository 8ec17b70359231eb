"""Which species each column is, as probabilities: a Bayesian mixture on column intensity."""

import dataclasses
import warnings
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Lattice
from tusi.data.record import Record, array
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure.elements import ATOMIC_NUMBER
from tusi.structure.mixture import Mixture, MixturePrior, average_mixture, fit_mixtures

FEWEST_COLUMNS = 20
"""Fewer columns than this cannot carry a mixture."""

BARELY = 1.0
"""A class more must raise the log-evidence by this: less is not worth a mention (Jeffreys), and no species."""


OVERSTATED = "the stated variances of the column intensities exceed what the columns scatter; they were reduced"
"""Warning given where `Atoms.intensity_variance` contradicts the data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntensityMixture:
    """How species are told from column intensities.

    Attributes
    ----------
    most_classes
        Largest number of classes tried when the species are not named.
    highest_degree
        Highest polynomial degree of the slowly varying factor; the evidence chooses up to this.
    contrast_exponent
        Intensity goes as a power of the atomic number: expected exponent and its standard deviation. Broad, since a
        display need not be linear and neighbours' tails dilute the contrast.
    """

    most_classes: int = 3
    highest_degree: int = 4
    contrast_exponent: tuple[float, float] = (1.2, 0.7)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SpeciesFit(Record):
    """Species probabilities of one image's atoms, and the mixture that they come from.

    Attributes
    ----------
    atoms
        The atoms with `species_probability` filled; NaN rows off the classified sublattice.
    corrected_intensity
        Column intensities divided by `background`, in their unit; NaN off the sublattice.
    background
        The slowly varying factor at each column (mean one); NaN off the sublattice.
    measurement_variance
        Variance of the corrected intensity that the mixture took for measurement noise; NaN off the sublattice.
    fraction
        Share of the columns of this window in each class.
    fraction_interval
        Its 95 % interval, from the uncertainty of the labels and of the mixture.
    mean, deviation
        Class means and standard deviations of the corrected intensity, measurement noise removed.
    log_evidence
        Log-evidence of 1, 2, ... classes (the best degree of the factor for each), relative to the largest.
    degree
        Polynomial degree of the factor.
    basis_site
        Which sublattice was classified; `None` for all of them together.
    warnings
        What a reader of the numbers must know.
    """

    format_name: ClassVar[str] = "species-fit"
    row: ClassVar[str] = "class"

    atoms: Atoms
    corrected_intensity: Float[np.ndarray, " atom"] = array("atom")
    background: Float[np.ndarray, " atom"] = array("atom")
    measurement_variance: Float[np.ndarray, " atom"] | None = array("atom", default=None)
    fraction: Float[np.ndarray, " class"] = array("class")
    fraction_interval: Float[np.ndarray, "class 2"] = array("class", "bound")
    mean: Float[np.ndarray, " class"] = array("class")
    deviation: Float[np.ndarray, " class"] = array("class")
    log_evidence: Float[np.ndarray, " candidate"] = array("candidate")
    degree: int
    basis_site: int | None
    warnings: tuple[str, ...] = ()


def classify_species(
    atoms: Atoms,
    lattice: Lattice,
    *,
    species: tuple[str, ...] | None = None,
    basis_site: int | None = 0,
    settings: IntensityMixture | None = None,
    rng: np.random.Generator,
) -> SpeciesFit:
    """Give each column of one sublattice, or of all, the probability of each species.

    Intensities are a mixture of normal classes times a slowly varying factor (polynomial in the position, its degree by
    evidence); the probabilities are averaged over the posterior of the mixture's parameters. Assumes that a species'
    columns share one mean intensity apart from that factor. Named elements are ordered by atomic number, other names
    from dim to bright; unnamed classes are called "A", "B", ..., as few as the evidence allows.

    Parameters
    ----------
    atoms
        The atoms of one image.
    lattice
        Their lattice.
    species
        Names of the species on the sublattice; `None` to choose the number of classes by evidence.
    basis_site
        Which sublattice; 0 is the brightest. `None` classifies the columns of all sublattices together, for crystals
        whose sublattices differ in species.
    settings
        Limits and expectations of the mixture.
    rng
        Source of randomness of the posterior sample.

    Returns
    -------
    SpeciesFit
        Probabilities, mixture, evidence and warnings.

    Raises
    ------
    InputError
        There are fewer than 20 columns on the sublattice, or the species' names are repeated.

    References
    ----------
    .. [1] S. Van Aert et al., Phys. Rev. B 87, 064107 (2013), for mixtures on column intensities.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:12, :12] * 3.0
    >>> heavy = rng.random(144) < 0.3
    >>> intensity = np.where(heavy, 2.0, 1.0) * rng.normal(1.0, 0.06, 144)
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=intensity)
    >>> fit = classify_species(atoms, register_lattice(atoms), species=("Mo", "Re"), rng=rng)
    >>> bool(((fit.atoms.species_probability[:, 1] > 0.5) == heavy).all())
    True
    """
    settings = settings or IntensityMixture()
    if species is not None and (not species or len(set(species)) != len(species)):
        raise InputError("species", expected="distinct names", got=str(species))
    wanted = np.ones(len(lattice), bool) if basis_site is None else lattice.index[:, 2] == basis_site
    column = np.sort(lattice.atom[wanted & (lattice.atom >= 0)])
    column = column[np.isfinite(atoms.intensity[column])]
    if len(column) < FEWEST_COLUMNS:
        where = "the lattice" if basis_site is None else f"basis site {basis_site}"
        raise InputError("atoms", expected=f"at least {FEWEST_COLUMNS} columns on {where}", got=str(len(column)))
    prior = _prior(species, settings)
    columns, overstated = _Columns.of(atoms, column).limited(len(species or "AB"), prior)
    n_most = max(len(species) if species else 0, settings.most_classes)
    candidates = [_best_mixture(columns, n, prior=prior, settings=settings) for n in range(1, n_most + 1)]
    evidence = np.array([mixture.log_evidence for mixture in candidates])
    n_classes = len(species) if species else int(np.argmax(evidence > evidence.max() - BARELY)) + 1
    mixture = candidates[n_classes - 1]
    told = _caveats(mixture, evidence) + ((OVERSTATED,) if overstated else ())
    for text in told:
        warnings.warn(text, ScarceDataWarning, stacklevel=2)
    average = average_mixture(mixture, columns.intensity, columns.variance, columns.position, rng=rng)
    background = mixture.factor(columns.position)
    names = _ordered(species) if species else tuple(chr(ord("A") + k) for k in range(n_classes))
    return SpeciesFit(
        atoms=dataclasses.replace(
            atoms, species=names, species_probability=_spread(average.probability, column, len(atoms))
        ),
        corrected_intensity=_spread(columns.intensity * columns.scale / background, column, len(atoms)),
        background=_spread(background, column, len(atoms)),
        measurement_variance=_spread(columns.variance * (columns.scale / background) ** 2, column, len(atoms)),
        fraction=average.probability.mean(axis=0),
        fraction_interval=np.quantile(average.observed_fraction, [0.025, 0.975], axis=0).T,
        mean=mixture.mean * columns.scale,
        deviation=mixture.deviation * columns.scale,
        log_evidence=evidence - evidence.max(),
        degree=mixture.degree,
        basis_site=basis_site,
        warnings=told,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """Intensities in units of their median, so that no result depends on the unit."""

    scale: float
    intensity: Float[np.ndarray, " column"]
    variance: Float[np.ndarray, " column"]
    position: Float[np.ndarray, "column 2"]

    @classmethod
    def of(cls, atoms: Atoms, column: Int[np.ndarray, " column"]) -> "_Columns":
        scale = float(np.median(np.abs(atoms.intensity[column]))) or 1.0
        variance = atoms.intensity_variance[column] / scale**2
        return cls(
            scale=scale,
            intensity=atoms.intensity[column] / scale,
            variance=np.where(np.isfinite(variance), variance, 0.0),
            position=atoms.position[column],
        )

    def limited(self, n_classes: int, prior: MixturePrior) -> tuple["_Columns", bool]:
        """Return columns whose measurement variance is at most half of what the classes scatter, and if that mattered.

        A measurement cannot be noisier than what it shows; a variance that says so comes from a wrong noise model.
        """
        noise_free = dataclasses.replace(self, variance=np.zeros_like(self.variance))
        mixture = fit_mixtures(
            noise_free.intensity,
            noise_free.variance,
            noise_free.position,
            n_classes=n_classes,
            highest_degree=0,
            prior=prior,
        )[0]
        most = 0.5 * (mixture.prior.relative_spread[0] * self.intensity) ** 2
        overstated = bool(np.median(self.variance / np.maximum(most, 1e-300)) > 2.0)
        return dataclasses.replace(self, variance=np.minimum(self.variance, most)), overstated


def _best_mixture(columns: _Columns, n_classes: int, *, prior: MixturePrior, settings: IntensityMixture) -> Mixture:
    """Fit the mixture with factors of rising degree and return the one of highest evidence."""
    fits = fit_mixtures(
        columns.intensity,
        columns.variance,
        columns.position,
        n_classes=n_classes,
        highest_degree=settings.highest_degree,
        prior=prior,
    )
    return max(fits, key=lambda mixture: mixture.log_evidence)


def _prior(species: tuple[str, ...] | None, settings: IntensityMixture) -> MixturePrior:
    """Return the expected contrast between successive species."""
    if not species or len(species) < 2 or not all(name in ATOMIC_NUMBER for name in species):
        return MixturePrior()
    numbers = np.log([ATOMIC_NUMBER[name] for name in _ordered(species)])
    exponent, deviation = settings.contrast_exponent
    step = float(np.diff(numbers).mean())
    return MixturePrior(log_ratio=(exponent * step, deviation * step))


def _ordered(species: tuple[str, ...]) -> tuple[str, ...]:
    """Return the species from dim to bright: elements by atomic number, other names as given."""
    if all(name in ATOMIC_NUMBER for name in species):
        return tuple(sorted(species, key=ATOMIC_NUMBER.__getitem__))
    return species


def _caveats(mixture: Mixture, evidence: Float[np.ndarray, " candidate"]) -> tuple[str, ...]:
    """Say where the intensities do not support the classes that were asked for."""
    told = []
    n_classes, best = len(mixture.mean), int(evidence.argmax()) + 1
    if best != n_classes and evidence.max() - evidence[n_classes - 1] > 3:
        told.append(
            f"{n_classes} species were asked for, but the intensities favour {best} classes "
            f"(log-evidence higher by {evidence.max() - evidence[n_classes - 1]:.1f})"
        )
    separation = np.diff(mixture.mean) / np.hypot(mixture.deviation[1:], mixture.deviation[:-1])
    if n_classes > 1 and separation.min() < 1.5:
        told.append(
            f"the species overlap: class means lie {separation.min():.1f} combined standard deviations apart, "
            "so that many columns cannot be told"
        )
    return tuple(told)


def _spread(values: Float[np.ndarray, "column ..."], column: Int[np.ndarray, " column"], n_atoms: int) -> np.ndarray:
    """Return values of some atoms as values of all, NaN elsewhere."""
    full = np.full((n_atoms, *values.shape[1:]), np.nan)
    full[column] = values
    return full
