"""From a model on sites to arrays: which clusters exist, which sites are random, which species may sit where."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from tusi.data.graph import OUTSIDE
from tusi.errors import InputError
from tusi.generative.lattice.model import LatticeModel, Term
from tusi.generative.lattice.motifs import Motif, SingleSite
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.system import LatticeSystem


def lattice_system(
    model: LatticeModel,
    sites: LatticeSites,
    *,
    log_weight: Float[np.ndarray, "site species"] | None = None,
    disorder: Float[np.ndarray, " pair"] | None = None,
    reach: Sequence[LatticeModel] = (),
) -> LatticeSystem:
    """Compile a model on given sites.

    A site is random if all clusters that it belongs to were seen, for this model and for those named in `reach`;
    others are clamped, so that the probability of the random sites given the clamped ones is exact whatever lies
    outside. Vacant sites belong to no cluster.

    Parameters
    ----------
    model
        The Hamiltonian.
    sites
        The sites.
    log_weight
        Fixed log-weights of the species on each site, e.g. what an image says of them; -inf bars a species.
    disorder
        Factor of each cluster of the model's first term, in the order of its clusters: quenched bond disorder.
    reach
        Models to be compared on the same random sites.

    Returns
    -------
    LatticeSystem
        Energies, energy changes and statistics, all from one table.

    Raises
    ------
    InputError
        The crystal lacks what the model counts, a table breaks the symmetry, or an array does not fit.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import SQUARE
    >>> from tusi.generative.lattice.named import ising
    >>> from tusi.generative.lattice.sites import periodic_sites
    >>> system = lattice_system(ising(), periodic_sites(SQUARE, (4, 4)))
    >>> system.statistics(np.ones((1, 16), dtype=np.int8)).tolist()
    [[-32.0, -16.0]]
    """
    groups = _groups(model)
    free = sites.occupied & _complete(sites, [model, *reach])
    parts = [_members(terms, motif, sites) for motif, terms in groups.items()]
    parts += [part for motif, terms in groups.items() for part in _broken(terms, motif, sites)]
    n_corners = max((part.shape[1] for part, _ in parts), default=1)
    n_codes = model.n_species**n_corners
    table = np.zeros((len(parts), n_codes, len(model.terms)))
    members, kind = [np.empty((0, n_corners), np.int64)], [np.empty(0, np.int64)]
    for number, (clusters, tables) in enumerate(parts):
        padded = np.full((len(clusters), n_corners), len(sites), dtype=np.int64)
        padded[:, : clusters.shape[1]] = clusters
        members.append(padded)
        kind.append(np.full(len(clusters), number, dtype=np.int64))
        for k, values in tables.items():
            table[number, : len(values), k] = values
    every = np.concatenate(kind)
    return LatticeSystem(
        parameters=model.parameters,
        n_species=model.n_species,
        members=np.concatenate(members),
        kind=every,
        weight=_weights(every, disorder),
        table=table,
        log_weight=_log_weight(model, sites, log_weight),
        free=free,
    )


def _groups(model: LatticeModel) -> dict[Motif, list[tuple[int, Term]]]:
    """Gather the terms that count the same clusters."""
    groups: dict[Motif, list[tuple[int, Term]]] = {}
    for k, term in enumerate(model.terms):
        groups.setdefault(term.motif, []).append((k, term))
    return groups


def _members(terms: list[tuple[int, Term]], motif: Motif, sites: LatticeSites) -> tuple[np.ndarray, dict]:
    """Return the clusters of a motif whose corners were all seen and hold atoms, and its terms' tables."""
    for _, term in terms:
        term.check_symmetry(sites.crystal)
    found = [sites.clusters(orbit)[0] for orbit in motif.orbits(sites.crystal)]
    clusters = np.concatenate(found) if found else np.empty((0, motif.n_corners), np.int64)
    return clusters[sites.occupied[clusters].all(axis=1)], {k: term.table for k, term in terms}


def _broken(terms: list[tuple[int, Term]], motif: Motif, sites: LatticeSites) -> list[tuple[np.ndarray, dict]]:
    """Return what is left of clusters with one vacant corner, for the terms that count it."""
    tables = {k: term.with_vacancy for k, term in terms if term.with_vacancy}
    if not tables or sites.occupied.all():
        return []
    clusters = np.concatenate([sites.clusters(orbit)[0] for orbit in motif.orbits(sites.crystal)])
    there = sites.occupied[clusters]
    one_missing = there.sum(axis=1) == clusters.shape[1] - 1
    return [(clusters[one_missing][there[one_missing]].reshape(-1, clusters.shape[1] - 1), tables)]


def _complete(sites: LatticeSites, models: Sequence[LatticeModel]) -> Bool[np.ndarray, " site"]:
    """Return the sites all of whose clusters were seen."""
    complete = np.ones(len(sites), dtype=bool)
    if all(sites.period):
        return complete
    for motif in {term.motif: None for model in models for term in model.terms}:
        if isinstance(motif, SingleSite):
            continue
        for orbit in motif.orbits(sites.crystal):
            cut = sites.clusters(orbit)[1]
            complete[cut[cut != OUTSIDE]] = False
    return complete


def _weights(kind: np.ndarray, disorder: np.ndarray | None) -> np.ndarray:
    weight = np.ones(len(kind))
    if disorder is not None:
        first = np.flatnonzero(kind == 0)
        if np.shape(disorder) != (len(first),) or not np.isfinite(disorder).all():
            raise InputError(
                "disorder", expected=f"{len(first)} finite factors, one per cluster of the first term",
                got=str(np.shape(disorder)),
            )  # fmt: skip
        weight[first] = disorder
    return weight


def _log_weight(model: LatticeModel, sites: LatticeSites, given: np.ndarray | None) -> np.ndarray:
    """Return the fixed log-weights with the species barred from sites that are not their home."""
    log_weight = np.zeros((len(sites), model.n_species)) if given is None else np.array(given, dtype=np.float64)
    if log_weight.shape != (len(sites), model.n_species) or np.isnan(log_weight).any():
        raise InputError(
            "log_weight", expected=f"numbers for {len(sites)} sites and {model.n_species} species",
            got=f"shape {log_weight.shape}, {int(np.isnan(log_weight).sum())} NaN",
        )  # fmt: skip
    labels = np.array(sites.labels)
    for number, name in enumerate(model.species):
        allowed = [label for species, label in model.homes if species == name]
        if allowed:
            log_weight[~np.isin(labels, allowed), number] = -np.inf
    return log_weight
