"""Probabilities of the plane groups, and of the point group about each site, given the mean cell of a window."""

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logsumexp

from tusi.data.record import Record, array
from tusi.structure.symmetry.ambiguity import ambiguity
from tusi.structure.symmetry.evidence import distorted, measured
from tusi.structure.symmetry.mean_cells import MeanCell
from tusi.structure.symmetry.operations import Operations, find_operations, product_table, subgroups
from tusi.structure.symmetry.plane_groups import PLANE_GROUPS, SITE_GROUPS, plane_group
from tusi.structure.symmetry.prior import SymmetryPrior, broken_prior
from tusi.structure.symmetry.realised import RealisedPrior, realised_prior, realised_symmetry
from tusi.structure.symmetry.strata import Stratum, stratum_of

WIDEST = 0.08
"""Displacement, in units of the cell's side, from which a broken parent is no longer recognised."""

UNRECOGNISED = 0.01
"""Share of the broken parents, at the least, of which nothing is taken to be recognised."""

REACH = 3.5
"""Standard deviations within which near-symmetries are looked for."""

NEGLIGIBLE = 25.0
"""Log odds at which an explanation is not followed further."""

NOTHING = 1e-9
"""Posterior probability of a hypothesis below which its exact symmetry is not asked for."""

SPECIES_FLOOR = 1e-6
"""Probability that two atoms are of one species below which they are not matched."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SymmetryPosterior(Record):
    """Probability of each plane group for a window.

    The group is that of the average structure, with all of its symmetry and referred to its primitive cell.

    Attributes
    ----------
    probability
        Posterior probability of each of `groups`.
    prior
        Probability before the data, for structures with as many atoms in the cell.
    site_probability
        Posterior probability of each of `site_groups` as the point group about each site of the cell.
    smaller_cell
        Probability that the primitive cell is smaller than the cell that was averaged.
    ambiguous
        Probability that errors have mixed up the atoms of the cell; so much of the posterior is the prior.
    position_error, strain_error
        Standard errors of a mean position, in units of the cell's side, and of the cell's strains: distortions below
        them are not seen.
    groups, site_groups
        Names.
    """

    format_name: ClassVar[str] = "symmetry_posterior"
    row: ClassVar[str] = "group"

    probability: Float[np.ndarray, " group"] = array("group")
    prior: Float[np.ndarray, " group"] = array("group")
    site_probability: Float[np.ndarray, "site point_group"] = array("site", "point_group")
    smaller_cell: float = 0.0
    ambiguous: float = 0.0
    position_error: float = math.nan
    strain_error: float = math.nan
    groups: tuple[str, ...] = PLANE_GROUPS
    site_groups: tuple[str, ...] = SITE_GROUPS

    @property
    def best(self) -> str:
        """The most probable group; empty where no structure that the prior allows comes near the window."""
        if not np.isfinite(self.probability).all():
            return ""
        return self.groups[int(self.probability.argmax())]

    @property
    def information(self) -> float:
        """What the data said, in nats: the divergence of the posterior from the prior."""
        used = self.probability > 0
        ratio = self.probability[used] / np.clip(self.prior[used], 1e-12, None)
        return float((self.probability[used] * np.log(ratio)).sum())

    @property
    def verdict(self) -> str:
        """Which groups remain, whether the data or the prior chose them, and what would not have been seen."""
        if not self.best:
            return "No structure that the prior allows comes near this window."
        order = np.argsort(-self.probability)
        n_credible = int(np.searchsorted(np.cumsum(self.probability[order]), 0.95)) + 1
        named = ", ".join(f"{self.groups[k]} ({self.probability[k]:.2f})" for k in order[:n_credible])
        if self.ambiguous > 0.5:
            return f"The positions are too uncertain to tell the atoms of a cell apart; the prior stands: {named}."
        if self.information < 0.1:
            return f"The data do not tell the groups apart; the prior stands: {named}."
        unseen = (
            f"Distortions below {self.position_error:.2g} of the cell and strains below {self.strain_error:.2g} "
            "are not seen."
        )
        if n_credible == 1:
            return f"Plane group {named}. {unseen}"
        return f"Not decided between {named}; the data gave {self.information:.1f} nats. {unseen}"

    def of(self, name: str) -> float:
        """Return the probability of a group."""
        return float(self.probability[self.groups.index(name)])


def infer_symmetry(cell: MeanCell, *, prior: SymmetryPrior | None = None) -> SymmetryPosterior:
    """Return the posterior over the plane groups and over the point group about each site.

    Every group of operations that nearly carries the mean cell into itself is a hypothesis: a structure of exactly
    this symmetry, with free coordinates spread over the cell, or a parent of this symmetry distorted to one of its
    subgroups. The probability of the measured cell under each is a Gaussian integral over the free coordinates,
    including lattice vectors and origin; fewer free coordinates make a sharper prediction, which is why symmetry wins
    when the data permit it. Explanations are summed by the exact group of the structures that they describe. Atoms of
    an orbit must be of one species. How atoms are matched to their images is enumerated among near matches; with the
    probability that errors have mixed up atoms, the posterior is the prior.

    Parameters
    ----------
    cell
        Mean cell of a window.
    prior
        What is taken to be likely; every group alike by default.

    Returns
    -------
    SymmetryPosterior
        Probabilities, the prior of them, and what the data added; NaN where the prior allows nothing like the window.

    References
    ----------
    .. [1] P. Moeck, Symmetry 10, 133 (2018), for the plane groups as competing models of an image.

    Examples
    --------
    >>> cell = MeanCell(fraction=np.zeros((1, 2)), species_log_likelihood=np.zeros((1, 0)), vectors=np.eye(2),
    ...     covariance=1e-6 * np.eye(5), n_cells=36, length_unit="pixel")
    >>> infer_symmetry(cell).best
    'p4m'
    """
    prior = prior or SymmetryPrior()
    hypotheses = find_strata(cell, prior)
    terms = _terms(cell, hypotheses, prior)
    if not np.isfinite(terms.log_weight).any():
        return _unexplained(cell, prior)
    before = _before(cell, prior)
    unclear = ambiguity(cell)
    weights = np.bincount(terms.kept, np.exp(terms.log_weight - logsumexp(terms.log_weight)))
    weights[weights < NOTHING] = 0.0
    weights *= (1.0 - unclear) / weights.sum()
    probability = unclear * before.group
    sites = np.tile(unclear * before.site, (len(cell), 1))
    smaller = unclear * prior.larger_cell * bool(_multiples(len(cell)))
    for number in np.flatnonzero(weights):
        weight = weights[number]
        symmetry = realised_symmetry(hypotheses.strata[number], cell, hypotheses.species[number])
        probability[PLANE_GROUPS.index(symmetry.group)] += weight
        for site, name in enumerate(symmetry.site_groups):
            sites[site, SITE_GROUPS.index(name)] += weight
        smaller += weight * (symmetry.n_translations > 1)
    return SymmetryPosterior(
        probability=np.clip(probability, 0.0, 1.0),
        prior=before.group,
        site_probability=np.clip(sites, 0.0, 1.0),
        smaller_cell=float(smaller),
        ambiguous=unclear,
        position_error=cell.position_error / cell.side,
        strain_error=cell.strain_error,
    )


def _before(cell: MeanCell, prior: SymmetryPrior) -> RealisedPrior:
    return realised_prior(prior, len(cell), n_species=max(len(cell.species), 1))


def _unexplained(cell: MeanCell, prior: SymmetryPrior) -> SymmetryPosterior:
    """Return the answer where no structure that the prior allows comes near the window."""
    return SymmetryPosterior(
        probability=np.full(len(PLANE_GROUPS), np.nan),
        prior=_before(cell, prior).group,
        site_probability=np.full((len(cell), len(SITE_GROUPS)), np.nan),
        smaller_cell=math.nan,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Hypotheses:
    """Groups of near-symmetries of a cell.

    Attributes
    ----------
    operations
        The operations, and in `members` which of them form each group.
    strata
        The structures that each group leaves invariant.
    log_species
        Log probability of the species under the orbits of each group.
    species
        Likeliest species of each site, one for each orbit.
    """

    operations: Operations
    members: Bool[np.ndarray, "group operation"]
    strata: tuple[Stratum, ...]
    log_species: Float[np.ndarray, " group"]
    species: tuple[np.ndarray, ...]


def find_strata(cell: MeanCell, prior: SymmetryPrior) -> Hypotheses:
    """Return every group of operations under which a structure near the observed cell can be invariant."""
    widest = cell.side * max([0.0, *(scale for scale in prior.scales if scale <= WIDEST)]) * (prior.broken > 0)
    spread = math.hypot(cell.position_error, widest)
    strain = math.hypot(cell.strain_error, 0.36 * widest / cell.side)
    operations = find_operations(
        cell.fraction,
        cell.vectors,
        compatible=_compatible(cell.species_log_likelihood),
        tolerance=REACH * 2.0 * spread,
        strain_tolerance=min(REACH * 1.5 * strain, 0.45),
    )
    if not prior.larger_cell:
        moving = operations.image[:, 0] != 0
        identity = (operations.rotation == np.eye(2, dtype=int)).all(axis=(1, 2))
        operations = operations[~(identity & moving)]
    members = subgroups(product_table(operations))
    strata, log_species, species = [], [], []
    distinct = np.zeros(len(members), np.bool_)
    for number, group in enumerate(members):
        stratum = stratum_of(operations[group], cell.fraction, cell.vectors)
        distinct[number] = stratum.keeps_apart(cell.fraction)
        if not distinct[number]:
            continue
        evidence, likeliest = _species_evidence(cell.species_log_likelihood, stratum.orbit)
        strata.append(stratum)
        log_species.append(evidence)
        species.append(likeliest)
    return Hypotheses(
        operations=operations,
        members=members[distinct],
        strata=tuple(strata),
        log_species=np.array(log_species),
        species=tuple(species),
    )


def _compatible(log_likelihood: Float[np.ndarray, "site species"]) -> Bool[np.ndarray, "site site"]:
    """Return which sites may hold the same species."""
    if not log_likelihood.shape[1]:
        return np.ones((len(log_likelihood),) * 2, np.bool_)
    share = np.exp(log_likelihood - logsumexp(log_likelihood, axis=1, keepdims=True))
    return share @ share.T > SPECIES_FLOOR


def _species_evidence(log_likelihood: Float[np.ndarray, "site species"], orbit: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the log probability of the species, one drawn evenly for each orbit, and the likeliest ones."""
    n_species = log_likelihood.shape[1]
    if not n_species:
        return 0.0, np.zeros(len(orbit), np.int64)
    total = np.zeros((orbit.max() + 1, n_species))
    np.add.at(total, orbit, log_likelihood)
    return float((logsumexp(total, axis=1) - math.log(n_species)).sum()), total.argmax(axis=1)[orbit]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Terms:
    """Explanations of a cell: which group was kept, and the log of prior times evidence."""

    kept: np.ndarray
    log_weight: Float[np.ndarray, " term"]


def _terms(cell: MeanCell, hypotheses: Hypotheses, prior: SymmetryPrior) -> _Terms:
    """Return prior times evidence of every explanation: unbroken, broken beyond recognition, broken by a little."""
    members = hypotheses.members
    inside = np.array((members[:, None] <= members[None]).all(axis=2), bool)
    np.fill_diagonal(inside, val=False)
    parent, exact = log_parents(hypotheses, prior), measured(cell)
    own = np.array([exact.log_evidence(stratum) for stratum in hypotheses.strata])
    whole = np.where(inside.any(axis=0), 1.0 - prior.broken, 1.0)
    with np.errstate(divide="ignore"):
        weight = [parent + np.log(whole) + own]
    kept = [np.arange(len(own))]
    if prior.broken:
        wide = max(sum(scale > WIDEST for scale in prior.scales) / len(prior.scales), UNRECOGNISED)
        weight.append(_log_scattered(hypotheses, prior, len(cell)) + math.log(prior.broken * wide) + own)
        kept.append(np.arange(len(own)))
    best = max(float(part.max()) for part in weight)
    for number, stratum in enumerate(hypotheses.strata):
        parents = np.flatnonzero(inside[number] & np.isfinite(parent))
        if not (prior.broken and len(parents)):
            continue
        if parent[parents].max() + exact.log_fit(stratum) < best - NEGLIGIBLE:
            continue
        chosen = parent[parents] - np.log(inside[:, parents].sum(axis=0))
        for evidence in _distorted_evidence(cell, hypotheses, prior, number=number, parents=parents):
            weight.append(chosen + math.log(prior.broken / len(prior.scales)) + evidence)
            kept.append(np.full(len(parents), number))
    return _Terms(kept=np.concatenate(kept), log_weight=np.concatenate(weight))


def _distorted_evidence(
    cell: MeanCell, hypotheses: Hypotheses, prior: SymmetryPrior, *, number: int, parents: np.ndarray
) -> Iterator[Float[np.ndarray, " parent"]]:
    """Yield for each recognisable scale the log evidence of parents that were distorted to one group."""
    for scale in prior.scales:
        if scale <= WIDEST:
            scatter = distorted(cell, hypotheses.strata[number], scale=scale * cell.side)
            yield np.array([scatter.log_evidence(hypotheses.strata[k]) for k in parents])


def log_parents(hypotheses: Hypotheses, prior: SymmetryPrior) -> Float[np.ndarray, " group"]:
    """Return the log prior of each group as a parent, and of the species on its orbits."""
    own = [_log_parent(stratum, prior, len(stratum.orbit)) for stratum in hypotheses.strata]
    return np.array(own) + hypotheses.log_species


def _log_parent(stratum: Stratum, prior: SymmetryPrior, n_atoms: int) -> float:
    """Return the log prior of a parent: its group, setting, occupied positions, numbering of atoms and superlattice."""
    m = stratum.n_translations
    factors = _multiples(n_atoms)
    if m > 1 and m not in factors:
        return -math.inf
    cells = {1: 1, 2: 3, 3: 4, 4: 7}[m]
    share = 1.0 - prior.larger_cell if m == 1 and factors else prior.larger_cell / len(factors) if m > 1 else 1.0
    weight = prior.of_parents(n_atoms // m).get(stratum.name, 0.0)
    if not weight or not _is_allowed(stratum, prior):
        return -math.inf
    ways = prior.n_ways(stratum.name, n_atoms // m) * plane_group(stratum.name).n_settings * cells
    return math.log(weight * share / ways) + stratum.log_labels


def _multiples(n_atoms: int) -> list[int]:
    """Return how many primitive cells the observed one may consist of, other than one."""
    return [k for k in (2, 3, 4) if n_atoms % k == 0]


def _is_allowed(stratum: Stratum, prior: SymmetryPrior) -> bool:
    """Return whether the prior allows the positions that are occupied."""
    sizes = np.bincount(stratum.orbit)
    order = len(stratum.rotation) * stratum.n_translations
    if prior.positions == "general" and (sizes != order).any():
        return False
    return prior.most_orbits is None or len(sizes) <= prior.most_orbits


def _log_scattered(hypotheses: Hypotheses, prior: SymmetryPrior, n_atoms: int) -> Float[np.ndarray, " group"]:
    """Return the log prior of structures that are broken so far that only their own symmetry is left."""
    share = dict(zip(PLANE_GROUPS, broken_prior(prior, n_atoms), strict=True))
    free = dataclasses.replace(prior, most_orbits=None)
    log_prior = np.full(len(hypotheses.strata), -math.inf)
    for number, stratum in enumerate(hypotheses.strata):
        weight = share[stratum.name]
        if stratum.n_translations == 1 and weight and _is_allowed(stratum, free):
            ways = free.n_ways(stratum.name, n_atoms) * plane_group(stratum.name).n_settings
            log_prior[number] = math.log(weight / ways) + stratum.log_labels + hypotheses.log_species[number]
    return log_prior
