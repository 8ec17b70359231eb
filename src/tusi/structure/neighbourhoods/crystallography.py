"""Local crystallography: what kinds of neighbourhoods there are, how many, and which atom has which."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.neighbourhoods.components import NeighbourhoodComponents, principal_components
from tusi.structure.neighbourhoods.mixture import ClassMixture, MixtureData, fit_mixture
from tusi.structure.neighbourhoods.redundancy import redundancy
from tusi.structure.neighbourhoods.vectors import Neighbourhoods

PATIENCE = 3
"""Numbers of classes in a row that bring no more evidence, and explain no more correlation, before the search stops."""

LESS_CORRELATED = 0.9
"""Ratio to the lowest redundancy so far below which more correlation counts as explained."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrystallographySettings:
    """How classes of neighbourhoods are looked for.

    Attributes
    ----------
    n_components
        Principal components used besides off-centring; `None` takes those that errors do not explain.
    n_classes
        Number of classes; `None` lets the evidence choose.
    most_classes
        Most classes that are tried.
    most_rows
        Neighbourhoods that classes are fitted to at most; the others are only classified.

    Examples
    --------
    >>> CrystallographySettings(most_classes=4).most_rows
    3000
    """

    n_components: int | None = None
    n_classes: int | None = None
    most_classes: int = 16
    most_rows: int = 3000

    def __post_init__(self) -> None:
        if self.most_classes < 1 or (self.n_classes is not None and self.n_classes < 1):
            raise InputError("n_classes", expected="at least 1", got=repr(self))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LocalCrystallography:
    """Classes of neighbourhoods, the most frequent first.

    Attributes
    ----------
    centre
        Row of each centre in the `Atoms` of the image.
    position
        (y, x) of the centres, in the length unit of `components`.
    probability
        Probability of each class for each centre; NaN where the neighbourhood has no neighbours.
    rest
        Probability that a neighbourhood belongs to no class.
    fraction
        Share of each class.
    mean
        Mean vector of each slot in each class.
    spread
        Covariance of the vector of each slot within each class, errors included.
    empty
        Chance of each slot to be empty in each class.
    log_evidence
        Log-evidence of 1, 2, ... classes relative to one.
    redundancy
        By how much correlated rows inflate the likelihood ratio of 2, 3, ... classes; it is divided by that.
    components
        The principal components in which the classes were found.

    Examples
    --------
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> position = np.stack([y.ravel(), x.ravel()], axis=1) + rng.normal(0, 0.05, (64, 2))
    >>> atoms = Atoms.at(position, length_unit="angstrom")
    >>> found = local_crystallography(neighbourhoods(atoms, n_slots=4), atoms, rng=rng)
    >>> found.n_classes, found.label[:3].tolist(), found.mean.shape
    (1, [0, 0, 0], (1, 4, 2))
    """

    centre: Int[np.ndarray, " centre"]
    position: Float[np.ndarray, "centre 2"]
    probability: Float[np.ndarray, "centre class"]
    rest: Float[np.ndarray, " centre"]
    fraction: Float[np.ndarray, " class"]
    mean: Float[np.ndarray, "class slot 2"]
    spread: Float[np.ndarray, "class slot 2 2"]
    empty: Float[np.ndarray, "class slot"]
    log_evidence: Float[np.ndarray, " number"]
    redundancy: Float[np.ndarray, " number_"]
    components: NeighbourhoodComponents

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.fraction)

    @property
    def label(self) -> Int[np.ndarray, " centre"]:
        """The most probable class of each centre; -1 where it more likely belongs to none."""
        probability = np.nan_to_num(self.probability)
        best = probability.argmax(axis=1)
        known = probability.max(axis=1) > np.nan_to_num(self.rest, nan=1.0)
        return np.where(known, best, -1)

    @property
    def number_probability(self) -> Float[np.ndarray, " number"]:
        """Probability of each number of classes that was tried, all equally likely before."""
        weight = np.exp(self.log_evidence - self.log_evidence.max())
        return weight / weight.sum()


def local_crystallography(
    hoods: Neighbourhoods,
    atoms: Atoms,
    *,
    rng: np.random.Generator,
    settings: CrystallographySettings | None = None,
) -> LocalCrystallography:
    """Sort neighbourhoods into classes whose number the evidence chooses; one class is an answer.

    Principal components in units of their error (`principal_components`), then a mixture of normal classes in their
    space: each neighbourhood has its own error, larger where neighbours are missing, and each class its own spread
    beyond errors, or all the same. A slot that is empty though in view speaks for the classes in which it often is. A
    wide rest takes what belongs to none.

    Each number of classes is compared with the best smaller one by Schwarz's criterion. The likelihood ratio is divided
    by the redundancy of neighbourhoods that share atoms or move together, measured on what the larger number leaves
    unexplained: a slow distortion is not cut into classes, while a superstructure, whose classes leave nothing, is
    found. The search goes on as long as more classes bring evidence or explain correlation.

    Parameters
    ----------
    hoods
        Neighbourhoods of one image.
    atoms
        The atoms they were made from, with covariances if known.
    rng
        Draws the simulated errors, the starts of the fits and, of a large image, the rows that are fitted.
    settings
        What may be found.

    Returns
    -------
    LocalCrystallography

    Raises
    ------
    InputError
        There are too few neighbourhoods, or those of several images.

    References
    ----------
    A. Belianinov, Q. He, M. Kravchenko, S. Jesse, A. Borisevich, S. V. Kalinin, Nat. Commun. 6, 7801 (2015).
    J. Bovy, D. W. Hogg, S. T. Roweis, Ann. Appl. Stat. 5, 1657 (2011).

    Examples
    --------
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:12, :12] * 3.0
    >>> position = np.stack([y.ravel(), x.ravel() + 0.3 * (-1) ** (y.ravel() // 3)], axis=1)
    >>> atoms = Atoms.at(position + rng.normal(0, 0.05, (144, 2)), length_unit="angstrom")
    >>> found = local_crystallography(neighbourhoods(atoms, n_slots=4), atoms, rng=rng)
    >>> found.n_classes, found.fraction.round(2).tolist()
    (2, [0.5, 0.5])
    """
    settings = settings or CrystallographySettings()
    if len(hoods) and np.ptp(hoods.image):
        raise InputError("hoods", expected="neighbourhoods of one image", got="of several")
    components = principal_components(hoods, atoms, rng=rng, n_components=settings.n_components)
    classed = np.flatnonzero(np.isfinite(components.score).all(axis=1))
    data = _mixture_data(hoods, components, classed)
    fitted = np.arange(len(data.score))
    if len(fitted) > settings.most_rows:
        fitted = np.sort(rng.choice(len(fitted), settings.most_rows, replace=False))
    fit, log_evidence, inflation = _search(data.rows(fitted), hoods.position[classed][fitted], settings, rng)
    probability = np.full((len(hoods), fit.n_classes + 1), np.nan)
    probability[classed] = fit.probabilities_of(data)
    order = np.argsort(-fit.fraction[:-1], kind="stable")
    mean, spread = _class_moments(hoods, np.nan_to_num(probability[:, order]))
    return LocalCrystallography(
        centre=hoods.centre,
        position=hoods.position,
        probability=probability[:, order],
        rest=probability[:, -1],
        fraction=fit.fraction[order],
        mean=mean,
        spread=spread,
        empty=fit.empty[order],
        log_evidence=log_evidence,
        redundancy=inflation,
        components=components,
    )


def _mixture_data(hoods: Neighbourhoods, components: NeighbourhoodComponents, rows: np.ndarray) -> MixtureData:
    empty = hoods.empty[rows]
    return MixtureData(
        score=components.score[rows],
        error=components.score_covariance[rows],
        empty=empty,
        seen=empty | ~hoods.missing[rows],
    )


def _search(
    data: MixtureData, position: Float[np.ndarray, "row 2"], settings: CrystallographySettings, rng: np.random.Generator
) -> tuple[ClassMixture, Float[np.ndarray, " number"], Float[np.ndarray, " number_"]]:
    """Fit growing numbers of classes until the evidence falls; return the best fit and what was compared."""
    if settings.n_classes is not None:
        fit = _fits(data, settings.n_classes, rng)
        return max(fit, key=lambda one: _criterion(one, data, 1.0)), np.zeros(1), np.empty(0)
    best = fit_mixture(data, n_classes=1, shared_spread=False, rng=rng)
    fits = [best, dataclasses.replace(best, shared_spread=True)]
    log_evidence, inflation, idle = [0.0], [], 0
    while len(log_evidence) < settings.most_classes and idle < PATIENCE:
        fits = _fits(data, len(log_evidence) + 1, rng, smaller=fits)
        shared = [redundancy(position, fit.residual(data)) for fit in fits]
        gains = [
            _criterion(fit, data, factor) - _criterion(best, data, factor)
            for fit, factor in zip(fits, shared, strict=True)
        ]
        winner = int(np.argmax(gains))
        idle = 0 if gains[winner] > 0 or shared[winner] < LESS_CORRELATED * min(inflation, default=np.inf) else idle + 1
        inflation.append(shared[winner])
        log_evidence.append(max(log_evidence) + gains[winner])
        best = fits[winner] if gains[winner] > 0 else best
    return best, np.array(log_evidence), np.array(inflation)


def _fits(
    data: MixtureData,
    n_classes: int,
    rng: np.random.Generator,
    *,
    smaller: Sequence[ClassMixture | None] = (None, None),
) -> list[ClassMixture]:
    """Return the fit in which each class has its own spread, and that in which all have the same."""
    return [
        fit_mixture(data, n_classes=n_classes, shared_spread=shared, rng=rng, smaller=one)
        for shared, one in zip((False, True), smaller, strict=True)
    ]


def _criterion(fit: ClassMixture, data: MixtureData, inflation: float) -> float:
    """Return Schwarz's approximation of the log-evidence of correlated rows."""
    penalty = 0.5 * fit.n_parameters(data) * float(np.log(max(len(data.score) / inflation, 1.0)))
    return fit.log_likelihood / inflation - penalty


def _class_moments(
    hoods: Neighbourhoods, probability: Float[np.ndarray, "centre class"]
) -> tuple[Float[np.ndarray, "class slot 2"], Float[np.ndarray, "class slot 2 2"]]:
    """Return mean and covariance of the vectors of each class and slot; NaN where a class never fills a slot."""
    filled = ~hoods.missing
    vector = np.where(filled[..., None], hoods.vector - hoods.reference, 0.0)
    weight = np.einsum("nk,ns->ks", probability, filled)
    weight = np.where(weight > 1e-6, weight, np.nan)
    mean = np.einsum("nk,nsa->ksa", probability, vector) / weight[..., None]
    second = np.einsum("nk,nsa,nsb->ksab", probability, vector, vector, optimize=True) / weight[..., None, None]
    return mean + hoods.reference, second - mean[..., :, None] * mean[..., None, :]
