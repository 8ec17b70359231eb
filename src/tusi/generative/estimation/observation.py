"""What one image says of the species on its sites, and at which temperature it was taken."""

import dataclasses
import functools
import warnings

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.data.graph import SiteGraph
from tusi.errors import InputError, ScarceDataWarning
from tusi.generative.lattice.sites import LatticeSites, sites_of_graph

CERTAIN = 1e-6
"""A species less likely than this is taken as ruled out."""

WIDEST_RATIO = 1e3
"""Largest ratio of two temperatures that is believed."""

MOST_STEPS, TOLERANCE = 10_000, 1e-12
"""Iterations for the composition behind noisy labels, and the change at which they end."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """One image of a lattice: its sites, and what is known of the species on each.

    Attributes
    ----------
    sites
        The sites; vacancies are those that are not `occupied`.
    species_probability
        Probability of each species on each site if sites were independent with the composition `prior`. Rows of
        vacancies and of unseen sites do not count.
    seen
        Whether the image says anything of a site.
    prior
        Composition behind the probabilities; the mean of the seen rows where it is None.
    temperature_ratio
        Reference temperature over the image's: what all couplings in kT are multiplied by.
    name
        What to call the image.

    Raises
    ------
    InputError
        Arrays that do not fit the sites, numbers that are no probabilities, nothing seen, or an absurd temperature.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> image = observe(periodic_sites(SQUARE, (2, 2)), np.array([0, 1, 1, 0]))
    >>> image.log_likelihood[0].tolist()
    [0.0, -inf]
    """

    sites: LatticeSites
    species_probability: Float[np.ndarray, "site species"]
    seen: Bool[np.ndarray, " site"]
    prior: Float[np.ndarray, " species"] | None = None
    temperature_ratio: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        n_sites = len(self.sites)
        shape = np.shape(self.species_probability)
        if len(shape) != 2 or shape[0] != n_sites or shape[1] < 2:
            raise InputError("species_probability", expected=f"{n_sites} sites x at least 2 species", got=str(shape))
        if np.shape(self.seen) != (n_sites,):
            raise InputError("seen", expected=f"a flag for each of {n_sites} sites", got=f"shape {np.shape(self.seen)}")
        rows = self.species_probability[self.informed]
        if not len(rows):
            raise InputError("seen", expected="at least one site that is seen and occupied", got="none")
        if not np.isfinite(rows).all() or rows.min() < 0 or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-6):
            raise InputError(
                "species_probability",
                expected="rows of numbers from 0 to 1 that sum to 1",
                got=f"{int((~np.isfinite(rows)).any(axis=1).sum())} rows with NaN",
                then="Mark sites that were not seen in `seen`.",
            )
        if self.prior is not None and (np.shape(self.prior) != shape[1:] or not np.all(np.asarray(self.prior) >= 0)):
            raise InputError("prior", expected=f"{shape[1]} fractions", got=str(self.prior))
        ratio = self.temperature_ratio
        if not np.isfinite(ratio) or not 1 / WIDEST_RATIO <= ratio <= WIDEST_RATIO:
            raise InputError(
                "temperature_ratio",
                expected=f"a positive number, at most {WIDEST_RATIO:g}",
                got=str(ratio),
                then="Divide the reference temperature by the image's, both in kelvin.",
            )

    @property
    def n_species(self) -> int:
        """Number of species."""
        return self.species_probability.shape[1]

    @property
    def informed(self) -> Bool[np.ndarray, " site"]:
        """Sites that hold an atom of which the image says something."""
        return self.seen & self.sites.occupied

    @functools.cached_property
    def composition(self) -> Float[np.ndarray, " species"]:
        """Composition that the probabilities were computed with."""
        if self.prior is not None:
            return np.asarray(self.prior, dtype=np.float64)
        return self.species_probability[self.informed].mean(axis=0)

    @functools.cached_property
    def log_likelihood(self) -> Float[np.ndarray, "site species"]:
        """Log-likelihood of what was seen of each site, highest 0: the probabilities without their prior."""
        out = np.zeros(self.species_probability.shape)
        rows = self.species_probability[self.informed]
        prior = np.maximum(self.composition, CERTAIN)
        with np.errstate(divide="ignore"):
            level = np.where(rows > CERTAIN, np.log(rows) - np.log(prior), -np.inf)
        out[self.informed] = level - level.max(axis=1, keepdims=True)
        return out

    @property
    def certain(self) -> Bool[np.ndarray, " site"]:
        """Sites whose species is beyond doubt."""
        return self.informed & (np.isfinite(self.log_likelihood).sum(axis=1) == 1)

    @functools.cached_property
    def independent(self) -> Float[np.ndarray, "site species"]:
        """Probability of each species on every site without regard to neighbours.

        Sites that were not seen have the mean of the seen sites with their label, or all species alike.
        """
        labels = np.array(self.sites.labels)
        out = np.full(self.species_probability.shape, 1.0 / self.n_species)
        for label in set(self.sites.labels):
            here = labels == label
            if (here & self.informed).any():
                out[here] = self.species_probability[here & self.informed].mean(axis=0)
        out[self.informed] = self.species_probability[self.informed]
        return out

    def widened(self, n_species: int) -> "Observation":
        """Return the same with more species, none of which this image holds."""
        extra = n_species - self.n_species
        if extra < 0:
            raise InputError(
                "observations",
                expected=f"at most the {n_species} species of the model",
                got=f"{self.n_species} in {self.name or 'an image'}",
            )
        if not extra:
            return self
        prior = None if self.prior is None else np.pad(self.prior, (0, extra))
        wider = np.pad(self.species_probability, ((0, 0), (0, extra)))
        return dataclasses.replace(self, species_probability=wider, prior=prior)


def observe(
    sites: LatticeSites,
    species: Int[np.ndarray, " site"],
    *,
    label_error: float | Float[np.ndarray, "species label"] = 0.0,
    seen: Bool[np.ndarray, " site"] | None = None,
    temperature_ratio: float = 1.0,
    name: str = "",
) -> Observation:
    """Return what labels say of the species on a lattice.

    With a rate of errors, the likelihood of each label is known; the probabilities are posteriors under the composition
    that makes the labels most likely.

    Parameters
    ----------
    sites
        The sites.
    species
        Label of each site: 0, 1, ...; -1 where the site was not seen.
    label_error
        Probability that a label is wrong, every wrong one alike; or the matrix of P(label | species).
    seen
        Whether a site was seen; by default where the label is not negative.
    temperature_ratio
        Reference temperature over the image's.
    name
        What to call the image.

    Returns
    -------
    Observation
        With a warning (`ScarceDataWarning`) where all labels are the same.

    Raises
    ------
    InputError
        Labels that are no whole numbers or do not fit the sites, no sites, an error rate at which labels say nothing.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> sites = periodic_sites(SQUARE, (4, 4))
    >>> image = observe(sites, np.arange(16) % 2, label_error=0.02)
    >>> image.species_probability[0].round(3).tolist()
    [0.98, 0.02]
    """
    labels = np.asarray(species)
    if labels.shape != (len(sites),) or not len(labels):
        raise InputError("species", expected=f"a label for each of {len(sites)} sites", got=f"shape {labels.shape}")
    if labels.dtype.kind not in "iub":
        if labels.dtype.kind != "f" or not np.array_equal(labels, np.round(labels)):
            raise InputError("species", expected="whole numbers: 0, 1, ..., or -1 where unseen", got="others or NaN")
        labels = labels.astype(np.int64)
    shown = labels >= 0 if seen is None else np.asarray(seen, dtype=bool)
    if shown.shape != labels.shape:
        raise InputError("seen", expected=f"a flag for each of {len(sites)} sites", got=f"shape {shown.shape}")
    used = shown & sites.occupied
    if not used.any() or labels[used].min() < 0:
        raise InputError("species", expected="a label that is not negative on every seen site", got="none or negative")
    confusion = _confusion(label_error, max(int(labels[used].max()) + 1, 2))
    if len(np.unique(labels[used])) == 1:
        warnings.warn(
            ScarceDataWarning(f"{name or 'the image'} holds one species only: it says nothing of interactions"),
            stacklevel=2,
        )
    likelihood = confusion[:, labels[used]].T
    prior = _composition(likelihood)
    rows = likelihood * prior
    probability = np.full((len(sites), len(confusion)), np.nan)
    probability[used] = rows / rows.sum(axis=1, keepdims=True)
    return Observation(
        sites=sites, species_probability=probability, seen=np.atleast_1d(shown), prior=prior,
        temperature_ratio=temperature_ratio, name=name,
    )  # fmt: skip


def observation_of_graph(graph: SiteGraph, *, temperature_ratio: float = 1.0, name: str = "") -> Observation:
    """Return what an image's site graph says of the species on its sites.

    The graph's probabilities are posteriors under independent sites of the image's mean composition, which is divided
    out again where they are used. Vacancies are known to be empty; a site with an atom and no probabilities is unseen.

    Parameters
    ----------
    graph
        Sites of one image.
    temperature_ratio
        Reference temperature over the image's.
    name
        What to call the image; the graph's title where empty.

    Examples
    --------
    >>> from tusi.generative.crystal import window_graph
    >>> graph = window_graph(np.eye(5, dtype=int), inside=np.ones((5, 5), dtype=bool))
    >>> observation_of_graph(graph).composition.round(1).tolist()
    [0.8, 0.2]
    """
    return Observation(
        sites=sites_of_graph(graph),
        species_probability=graph.species_probability,
        seen=np.asarray(np.isfinite(graph.species_probability).all(axis=1)),
        temperature_ratio=temperature_ratio,
        name=name or graph.title,
    )


def _confusion(label_error: object, n_species: int) -> np.ndarray:
    """Return P(label | species) as a matrix."""
    rate = np.asarray(label_error, dtype=np.float64)
    if rate.ndim == 0:
        if not 0 <= rate < 1 - 1 / n_species:
            raise InputError("label_error", expected=f"0 to {1 - 1 / n_species:.2g}", got=str(label_error))
        return np.full((n_species, n_species), rate / (n_species - 1)) + (1 - rate * n_species / (n_species - 1)) * (
            np.eye(n_species)
        )
    square = rate.ndim == 2 and rate.shape[0] == rate.shape[1] >= n_species
    if not square or not np.allclose(rate.sum(axis=1), 1.0) or rate.min() < 0:
        raise InputError(
            "label_error",
            expected=f"a rate, or at least {n_species} x {n_species} probabilities whose rows sum to 1",
            got=f"shape {rate.shape}",
        )
    return rate


def _composition(likelihood: Float[np.ndarray, "site species"]) -> Float[np.ndarray, " species"]:
    """Return the composition of independent sites that makes what was seen most likely."""
    rows, count = np.unique(likelihood, axis=0, return_counts=True)
    prior = np.full(likelihood.shape[1], 1.0 / likelihood.shape[1])
    for _ in range(MOST_STEPS):
        weight = rows * prior
        new = count @ (weight / weight.sum(axis=1, keepdims=True)) / count.sum()
        change = np.abs(new - prior).max()
        prior = new
        if change < TOLERANCE:
            break
    prior = np.maximum(prior, CERTAIN * 10)
    return prior / prior.sum()
