"""Point defects: sites without an atom, atoms without a site, atoms on the sites of another species."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice
from tusi.structure.defects.frame import CrystalFrame, surrounded
from tusi.structure.defects.table import Defect, DefectKind

SAME_SITE = 0.35
"""Two atoms whose sites lie nearer than this claim the same one, in distances between sites."""

LEAST_COHERENCE = 0.45
"""Where the local mean of a wave is weaker than this, sites are not known."""

RELAXED_SHARE, RELAXATION = 0.01, 0.12
"""Share of columns that the surroundings of a defect displace, and by how much along each axis, in distances between
sites."""


CONCENTRATED = 0.15
"""A sublattice with more foreign atoms than this is an alloy: its species are composition, not substitutions."""

LEAST_REPORTED = 0.01
"""Defects less probable than this are not reported."""

N_FRACTIONS = 60
"""Fractions of foreign columns, or of interstitials, over which probabilities are averaged."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SiteClaims:
    """Which site every atom of a crystal claims, and whether it gets it.

    Attributes
    ----------
    site
        (y, x) of the nearest local site; of an atom whose own is taken the empty one nearby, NaN where there is none.
    missed
        Vector from it to the atom.
    judged
        Atoms in regular surroundings with neighbours on all sides: only these can be told to be off every site.
    extra
        Atoms whose site another, nearer atom has.
    pair_probability
        Probability that the atom does not belong to that site although no other has it: a vacancy and an interstitial.
    """

    site: Float[np.ndarray, "atom 2"]
    missed: Float[np.ndarray, "atom 2"]
    judged: Bool[np.ndarray, " atom"]
    extra: Bool[np.ndarray, " atom"]
    pair_probability: Float[np.ndarray, " atom"]


def claim_sites(
    frame: CrystalFrame, *, scatter: float, pair_rate: float, empty: Float[np.ndarray, "site 2"], avoid: cKDTree | None
) -> SiteClaims:
    """Give each atom the local site nearest to it, and each site the atom nearest to it.

    An atom far from a site that is otherwise empty is either displaced (normal, with the scatter of the others or, for
    a few, as far as atoms relax beside defects) or a vacancy beside an interstitial (anywhere in the site's area, at
    the prior rate): Bayes decides. Where two atoms claim one site and another nearby is empty, one of the two may have
    come from there.

    Parameters
    ----------
    frame
        The crystal.
    scatter
        Standard deviation of the atoms about their sites along one axis.
    pair_rate
        Prior number of vacancy-interstitial pairs per site.
    empty
        (y, x) of the sites to which the lattice found no atom.
    avoid
        Places near which sites are not judged: cores of dislocations and boundaries.
    """
    wave, share = frame.wave_and_share(frame.position, leave_out=np.arange(len(frame.atom)))
    missed, _ = frame.miss(frame.position, wave)
    judged = (np.abs(wave) > LEAST_COHERENCE).all(axis=1)
    judged &= surrounded(frame.position, frame.position, reach=1.6 * frame.spacing)
    judged &= _far(frame.position, avoid, 2.0 * frame.spacing)
    site = frame.position - missed
    square = (missed**2).sum(axis=1)
    anywhere = pair_rate / frame.area_per_site
    rival = _rival(site, square, reach=SAME_SITE * frame.site_spacing)
    extra = rival >= 0
    away = np.where(extra[:, None], _empty_site(site, rival, empty, reach=1.3 * frame.site_spacing), site)
    other = np.maximum(rival, 0)
    # Either the atom itself was displaced from the empty site, or the one that has its site and gives it back to it.
    exchanged = _square(frame.position[other] - away) + square - square[other]
    square = np.where(extra, np.minimum(_square(frame.position - away), exchanged), square)
    variance = scatter**2 * (1 + np.minimum(share, 1.0))
    relaxed = variance + (RELAXATION * frame.site_spacing) ** 2
    density = (1 - RELAXED_SHARE) * _normal(square, variance) + RELAXED_SHARE * _normal(square, relaxed)
    return SiteClaims(
        site=np.where(np.isfinite(away), away, np.nan),
        missed=missed,
        judged=judged,
        extra=extra,
        pair_probability=anywhere / (anywhere + np.where(np.isfinite(density), density, 0.0)),
    )


def _normal(square: Float[np.ndarray, " row"], variance: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Return the density of a round normal in the plane at this squared distance."""
    return np.exp(-0.5 * square / variance) / (2 * np.pi * variance)


def _square(vector: Float[np.ndarray, "row 2"]) -> Float[np.ndarray, " row"]:
    return (vector**2).sum(axis=1)


def _empty_site(
    site: Float[np.ndarray, "atom 2"],
    rival: Int[np.ndarray, " atom"],
    empty: Float[np.ndarray, "site 2"],
    *,
    reach: float,
) -> Float[np.ndarray, "atom 2"]:
    """Return the nearest empty site to each atom that has a rival, each site at most once; NaN where none is near."""
    away = np.full_like(site, np.nan)
    free = np.ones(len(empty), bool)
    for row in np.flatnonzero(rival >= 0):
        distance = np.where(free, np.linalg.norm(empty - site[row], axis=1), np.inf)
        if len(empty) and distance.min() < reach:
            away[row] = empty[distance.argmin()]
            free[distance.argmin()] = False
    return away


def find_interstitials(frame: CrystalFrame, claims: SiteClaims, *, atoms: Atoms, domain: int) -> list[Defect]:
    """Return the atoms that sit on no site: those whose site is taken, and those too far from the only one left.

    Finding expects an atom in every site's area; off the sites they are rare. The odds that one is there at all are
    multiplied by the rate of interstitials, and averaged over what the candidates together say about that rate.
    """
    off_site = claims.pair_probability * claims.judged
    off_site = off_site * _there_at_all(
        atoms.presence_probability[frame.atom], off_site, n_sites=int(claims.judged.sum())
    )
    probability = np.where(np.isfinite(off_site), off_site, 0.0)
    return [
        Defect(
            kind=DefectKind.INTERSTITIAL,
            position=frame.position[row],
            covariance=atoms.covariance[frame.atom[row]],
            probability=float(probability[row]),
            atoms=frame.atom[[row]],
            species=_species_of(atoms, int(frame.atom[row])),
            domains=(domain, -1),
        )
        for row in np.flatnonzero(probability >= LEAST_REPORTED)
    ]


def _there_at_all(
    presence: Float[np.ndarray, " atom"], off_site: Float[np.ndarray, " atom"], *, n_sites: int
) -> Float[np.ndarray, " atom"]:
    """Return the probability that each atom is there, were it an interstitial."""
    odds = presence / np.maximum(1 - presence, 1e-9)
    rate = np.geomspace(0.1 / max(n_sites, 1), 0.5, N_FRACTIONS)
    candidate = odds[off_site > 0.5]
    evidence = np.log1p(candidate[:, None] * rate).sum(axis=0) - rate * n_sites + 0.5 * np.log(rate)
    weight = np.exp(evidence - evidence.max())
    return (odds[:, None] * rate / (1 + odds[:, None] * rate)) @ (weight / weight.sum())


def empty_sites(
    frame: CrystalFrame, lattice: Lattice, *, domain: int
) -> tuple[Int[np.ndarray, " site"], Float[np.ndarray, "site 2"], Complex[np.ndarray, "site 2"]]:
    """Return the rows of one domain's sites without an atom, where the local lattice has them, and the waves there."""
    empty = np.flatnonzero((lattice.atom < 0) & (lattice.domain == domain))
    place = lattice.position[empty]
    wave = frame.wave(place)
    missed, _ = frame.miss(place, wave)
    return empty, place - missed, wave


def find_vacancies(
    frame: CrystalFrame, claims: SiteClaims, *, lattice: Lattice, domain: int, scatter: float, avoid: cKDTree | None
) -> list[Defect]:
    """Return the lattice's empty sites, each with its probability there, unless an atom claims the same local site."""
    empty, site, wave = empty_sites(frame, lattice, domain=domain)
    if not len(empty):
        return []
    distance, nearest = _nearest(claims.site, site)
    taken = distance < 0.5 * frame.site_spacing
    claimed = np.where(taken, 1 - np.where(claims.judged, claims.pair_probability, 0.0)[nearest], 0.0)
    probability = lattice.vacancy_probability[empty] * (1 - claimed)
    known = (np.abs(wave) > LEAST_COHERENCE).all(axis=1) & _far(site, avoid, 2.0 * frame.spacing)
    known &= surrounded(site, frame.position, reach=1.6 * frame.spacing)
    tree = cKDTree(frame.position)
    variance = scatter**2 * np.minimum(frame.wave_and_share(site)[1], 1.0)
    return [
        Defect(
            kind=DefectKind.VACANCY,
            position=site[row],
            covariance=variance[row] * np.eye(2),
            probability=float(probability[row]),
            site=int(empty[row]),
            atoms=frame.atom[tree.query_ball_point(site[row], 1.3 * frame.site_spacing)],
            domains=(domain, -1),
        )
        for row in np.flatnonzero(known & (probability >= LEAST_REPORTED))
    ]


def find_substitutions(atoms: Atoms, lattice: Lattice, *, sublattice: Int[np.ndarray, " site"]) -> list[Defect]:
    """Return the atoms that may not be of their sublattice's majority species.

    Species probabilities carry the composition of all columns as their prior; here it is replaced by the composition of
    the sublattice, which the same probabilities tell, with its uncertainty. Where more than `CONCENTRATED` of a
    sublattice is of other species it is an alloy, and its species are its composition, not defects.

    Parameters
    ----------
    atoms
        Atoms with species probabilities.
    lattice
        Their lattice.
    sublattice
        Number of the sublattice of each site; -1 where it has none.
    """
    if not atoms.species:
        return []
    site = np.flatnonzero((lattice.atom >= 0) & (sublattice >= 0))
    site = site[np.isfinite(atoms.species_probability[lattice.atom[site]]).all(axis=1)]
    atom = lattice.atom[site]
    prior = atoms.species_probability[atom].mean(axis=0) if len(atom) else np.empty(0)
    found = []
    for number in np.unique(sublattice[site]):
        here = sublattice[site] == number
        probability = _on_sublattice(atoms.species_probability[atom[here]], prior)
        majority = int(probability.mean(axis=0).argmax())
        if 1 - probability[:, majority].mean() > CONCENTRATED:
            continue
        other = np.delete(np.arange(len(atoms.species)), majority)
        found += [
            Defect(
                kind=DefectKind.SUBSTITUTION,
                position=atoms.position[row],
                covariance=atoms.covariance[row],
                probability=float(np.clip(1 - chance[majority], 0, 1)),
                site=int(place),
                atoms=(int(row),),
                species=int(other[chance[other].argmax()]),
                domains=(int(lattice.domain[place]), -1),
            )
            for row, place, chance in zip(atom[here], site[here], probability, strict=True)
            if 1 - chance[majority] >= LEAST_REPORTED
        ]
    return found


def _on_sublattice(
    probability: Float[np.ndarray, "atom species"], prior: Float[np.ndarray, " species"]
) -> Float[np.ndarray, "atom species"]:
    """Return the probabilities under the sublattice's own composition instead of this prior.

    The fraction of foreign columns is uncertain where there are few: the probabilities are averaged over its posterior
    under Jeffreys' prior for a rare event, on a grid that is even in its logarithm from a tenth of a column to a half.
    """
    likelihood = probability / np.maximum(prior, 1e-12)
    majority = int(probability.mean(axis=0).argmax())
    share = np.delete(probability.mean(axis=0), majority) + 1e-12
    foreign = np.delete(likelihood, majority, axis=1) * share / share.sum()
    fraction = np.geomspace(0.1 / len(probability), 0.5, N_FRACTIONS)
    host, guest = likelihood[:, [majority]] * (1 - fraction), foreign.sum(axis=1, keepdims=True) * fraction
    evidence = np.log(np.maximum(host + guest, 1e-150)).sum(axis=0) + 0.5 * np.log(fraction)
    weight = np.exp(evidence - evidence.max())
    replaced = (guest / np.maximum(host + guest, 1e-150)) @ (weight / weight.sum())
    among = foreign / np.maximum(foreign.sum(axis=1, keepdims=True), 1e-150)
    return np.insert(among * replaced[:, None], majority, 1 - replaced, axis=1)


def _rival(
    site: Float[np.ndarray, "atom 2"], square: Float[np.ndarray, " atom"], *, reach: float
) -> Int[np.ndarray, " atom"]:
    """Return for each atom the one that is nearer to the site which both claim; -1 where there is none."""
    pairs = cKDTree(site).query_pairs(reach, output_type="ndarray")
    shape = (len(site), len(site))
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape).tocsr()
    _, group = connected_components(links, directed=False)
    order = np.lexsort((square, group))
    first = np.r_[True, np.diff(group[order]) != 0]
    winner = order[first][group]
    return np.where(winner == np.arange(len(site)), -1, winner)


def _nearest(
    position: Float[np.ndarray, "atom 2"], place: Float[np.ndarray, "place 2"]
) -> tuple[Float[np.ndarray, " place"], Int[np.ndarray, " place"]]:
    """Return the distance to, and the row of, the nearest finite position."""
    rows = np.flatnonzero(np.isfinite(position).all(axis=1))
    if not len(rows):
        return np.full(len(place), np.inf), np.zeros(len(place), np.int64)
    distance, nearest = cKDTree(position[rows]).query(place)
    return distance, rows[nearest]


def _far(place: Float[np.ndarray, "place 2"], avoid: cKDTree | None, distance: float) -> Bool[np.ndarray, " place"]:
    return np.ones(len(place), bool) if avoid is None else avoid.query(place)[0] > distance


def _species_of(atoms: Atoms, row: int) -> int:
    """Return the most probable species of an atom, -1 where it is not known."""
    probability = atoms.species_probability[row]
    return int(probability.argmax()) if len(probability) and np.isfinite(probability).all() else -1
