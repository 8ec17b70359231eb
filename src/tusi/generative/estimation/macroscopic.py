"""Micro and macro data in one fit: what an image shows of some sites, and mean compositions measured over a wide area.

An image that shows some of a crystal's sites has the probability `Z(w | what it shows) / Z(w)`: the score is the
difference between the mean statistics of the whole crystal and of the crystal with the seen sites clamped, which
leaves out nothing that an unseen site could hold. A profile by spectroscopy adds a Gaussian error around the model's
own mean composition of each group of sites; its slope is minus a covariance of the same samples.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import gammaincc, ndtri

from tusi.errors import InputError
from tusi.generative.estimation.specimen_moments import (
    Chains,
    DistanceShare,
    EvidenceShare,
    JointSettings,
    ascend,
    distance_share,
    evidence_share,
    positive,
    total,
)
from tusi.generative.estimation.specimens import MacroscopicProfile, Specimen, depth_groups

__all__ = [
    "DistanceFit",
    "JointFit",
    "JointSettings",
    "MacroscopicProfile",
    "Specimen",
    "depth_groups",
    "fit_specimens",
    "fit_specimens_by_distance",
]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class JointFit:
    """Couplings from micro and macro data together.

    Attributes
    ----------
    parameters, value, covariance, interval
        Names, couplings in kT, their covariance (the noise of the sampling included), and intervals.
    micro_information, macro_information
        What the images and what the profiles tell: Fisher information, in 1/kT^2.
    monte_carlo_error
        Standard error that is left from the finite number of samples.
    profile_chi_square, profile_p_value
        Misfit of the profiles, and the chance of a larger one.
    converged, n_rounds
        Whether the last step was small beside the standard errors, and how many rounds it took.
    """

    parameters: tuple[str, ...]
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    interval: Float[np.ndarray, "parameter 2"]
    micro_information: Float[np.ndarray, "parameter parameter"]
    macro_information: Float[np.ndarray, "parameter parameter"]
    monte_carlo_error: Float[np.ndarray, " parameter"]
    profile_chi_square: float
    profile_p_value: float
    converged: bool
    n_rounds: int

    @property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of each coupling, in kT."""
        return np.sqrt(np.diag(self.covariance))


def fit_specimens(
    specimens: Sequence[Specimen],
    *,
    rng: np.random.Generator,
    start: Float[np.ndarray, " parameter"] | None = None,
    settings: JointSettings | None = None,
) -> JointFit:
    """Return the couplings that images of some sites and wide-area profiles support together.

    Maximum likelihood: each round samples every specimen twice, as a whole and with the seen sites clamped, and takes
    a Newton step with the score and the information of both kinds of data. Assumes that the images are independent
    of each other and of the profiles, and that a specimen is wide beside the range of its correlations.

    Parameters
    ----------
    specimens
        Pieces of crystal that share one set of couplings.
    rng
        Source of randomness.
    start
        Couplings to start from, in kT; none by default.
    settings
        How carefully.

    Returns
    -------
    JointFit
        Couplings in kT with their covariance.

    Raises
    ------
    InputError
        No specimen, or specimens with different parameters.

    References
    ----------
    L. Vlcek, R. K. Vasudevan, S. Jesse, S. V. Kalinin, J. Chem. Theory Comput. 13, 5179 (2017).
    T. A. Louis, J. R. Stat. Soc. B 44, 226 (1982).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(), periodic_sites(SQUARE, (12, 12)))
    >>> from tusi.generative.montecarlo import draw_samples
    >>> rng = np.random.default_rng(1)
    >>> species = draw_samples(system, np.array([0.2, 0.0]), rng=rng).final[0]
    >>> fit = fit_specimens([Specimen(system=system, species=species, seen=np.arange(144) < 72)], rng=rng)
    >>> bool(abs(fit.value[0] - 0.2) < 3 * fit.standard_error[0]), fit.converged
    (True, True)
    """
    settings = settings or JointSettings()
    chains = [Chains(one, settings, clamp=True, rng=rng) for one in specimens]

    def evaluate(value: np.ndarray, n_samples: int) -> tuple[np.ndarray, np.ndarray, list[EvidenceShare]]:
        parts = [
            evidence_share(one, chain.draw(value, n_samples, rng=rng))
            for one, chain in zip(specimens, chains, strict=True)
        ]
        micro = positive(total(s.micro for s in parts), total(s.scale for s in parts))
        return total(s.score for s in parts), micro + total(s.macro for s in parts), parts

    ended = ascend(evaluate, _check(specimens, start), settings)
    macro = total(s.macro for s in ended.parts)
    inverse = np.linalg.inv(ended.information)
    noise = inverse @ total(s.noise for s in ended.parts) @ inverse
    chi_square = sum(s.chi_square(ended.step) for s in ended.parts)
    freedom = sum(s.n_readings for s in ended.parts) - np.trace(inverse @ macro)
    return JointFit(
        parameters=specimens[0].system.parameters,
        value=ended.value,
        covariance=inverse + noise,
        interval=_interval(ended.value, inverse + noise, settings.confidence),
        micro_information=ended.information - macro,
        macro_information=macro,
        monte_carlo_error=np.sqrt(np.diag(noise)),
        profile_chi_square=float(chi_square),
        profile_p_value=float(gammaincc(freedom / 2, chi_square / 2)) if freedom > 0.5 else float("nan"),
        converged=ended.converged,
        n_rounds=ended.n_rounds,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceFit:
    """Couplings at the smallest weighted statistical distance.

    Attributes
    ----------
    parameters, value, covariance, interval
        Names, couplings in kT, their covariance from the scatter of the model's own histograms, and intervals.
    squared_distance
        The weighted sum of squared distances there.
    parts
        Squared distance of each specimen's histogram, then of its profile; NaN where it has none.
    converged, n_rounds
        Whether the last step was small, and how many rounds it took.
    """

    parameters: tuple[str, ...]
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    interval: Float[np.ndarray, "parameter 2"]
    squared_distance: float
    parts: Float[np.ndarray, "specimen 2"]
    converged: bool
    n_rounds: int

    @property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of each coupling, in kT."""
        return np.sqrt(np.diag(self.covariance))


def fit_specimens_by_distance(
    specimens: Sequence[Specimen],
    *,
    rng: np.random.Generator,
    weights: Float[np.ndarray, "specimen 2"] | None = None,
    start: Float[np.ndarray, " parameter"] | None = None,
    settings: JointSettings | None = None,
) -> DistanceFit:
    """Return the couplings of the field's loss, `S^2 = sum c s^2` over surface histograms and depth profiles.

    Gauss-Newton steps on the square roots of the frequencies, whose squared difference is the squared statistical
    distance to lowest order. The covariance is that of such an estimate when histograms scatter as the model's own do
    on specimens of this size: it does not treat overlapping clusters as independent.

    Parameters
    ----------
    specimens
        Pieces of crystal with a histogram, a profile, or both.
    rng
        Source of randomness.
    weights
        Weight of the squared distance of each specimen's histogram and profile; 1 for all by default.
    start
        Couplings to start from, in kT; none by default.
    settings
        How carefully.

    Returns
    -------
    DistanceFit
        Couplings in kT with their covariance.

    Raises
    ------
    InputError
        No specimen, specimens with different parameters, or weights that do not fit.

    References
    ----------
    L. Vlcek, R. K. Vasudevan, S. Jesse, S. V. Kalinin, J. Chem. Theory Comput. 13, 5179 (2017).

    Examples
    --------
    >>> from tusi.generative.estimation.histograms import ClusterHistogram
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> from tusi.generative.montecarlo import draw_samples
    >>> sites = periodic_sites(SQUARE, (12, 12))
    >>> system, rng = lattice_system(ising(), sites), np.random.default_rng(1)
    >>> specimen = Specimen(
    ...     system=system,
    ...     species=draw_samples(system, np.array([0.2, 0.0]), rng=rng).final[0],
    ...     seen=np.ones(144, dtype=bool),
    ...     histogram=ClusterHistogram().counter(sites, ("down", "up")),
    ... )
    >>> fit = fit_specimens_by_distance([specimen], rng=rng)
    >>> bool(abs(fit.value[0] - 0.2) < 3 * fit.standard_error[0]), fit.converged
    (True, True)
    """
    settings = settings or JointSettings()
    value = _check(specimens, start)
    weight = np.ones((len(specimens), 2)) if weights is None else np.asarray(weights, dtype=float)
    if weight.shape != (len(specimens), 2) or not (weight >= 0).all():
        raise InputError("weights", expected=f"{len(specimens)} x 2 numbers, not negative", got=str(weight.shape))
    chains = [Chains(one, settings, clamp=False, rng=rng) for one in specimens]
    size = 4.0 * max(sum(len(one.histogram.members) for one in specimens if one.histogram is not None), 250)

    def evaluate(value: np.ndarray, n_samples: int) -> tuple[np.ndarray, np.ndarray, list[DistanceShare]]:
        drawn = [chain.draw(value, n_samples, rng=rng) for chain in chains]
        parts = [distance_share(one, draws, c) for one, draws, c in zip(specimens, drawn, weight, strict=True)]
        return size * total(s.score for s in parts), positive(size * total(s.curvature for s in parts)), parts

    ended = ascend(evaluate, value, settings)
    inverse = np.linalg.inv(ended.information)
    covariance = size**2 * inverse @ total(s.scatter for s in ended.parts) @ inverse
    parts = np.array([s.squared for s in ended.parts])
    return DistanceFit(
        parameters=specimens[0].system.parameters,
        value=ended.value,
        covariance=covariance,
        interval=_interval(ended.value, covariance, settings.confidence),
        squared_distance=float(np.nansum(weight * parts)),
        parts=parts,
        converged=ended.converged,
        n_rounds=ended.n_rounds,
    )


def _check(specimens: Sequence[Specimen], start: np.ndarray | None) -> np.ndarray:
    """Return the couplings to start from."""
    if not len(specimens) or len({one.system.parameters for one in specimens}) != 1:
        raise InputError("specimens", expected="at least one, all with the same parameters", got=f"{len(specimens)}")
    n = len(specimens[0].system.parameters)
    value = np.zeros(n) if start is None else np.array(start, dtype=float)
    if value.shape != (n,) or not np.isfinite(value).all():
        raise InputError("start", expected=f"{n} finite numbers", got=str(start))
    return value


def _interval(value: np.ndarray, covariance: np.ndarray, confidence: float) -> np.ndarray:
    half = float(ndtri(0.5 + confidence / 2)) * np.sqrt(np.diag(covariance))
    return np.stack([value - half, value + half], axis=1)
