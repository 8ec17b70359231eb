"""Canonical Monte Carlo on any site graph: species are exchanged between free sites, the border stays as it is."""

import dataclasses

import numba
import numpy as np
from jaxtyping import Float, Int

from tusi.generative.lattice.model import LatticeModel
from tusi.generative.models import kind_table
from tusi.generative.window import Window


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How long the chains are.

    Attributes
    ----------
    spacing
        Exchanges tried between two samples, per atom of the free sites' minority species.
    burn_in
        Samples dropped at the start of a chain.
    """

    spacing: float = 1.0
    burn_in: int = 20


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """What one run of the sampler gives.

    Attributes
    ----------
    statistics
        Sufficient statistics of each sample.
    species
        The arrangements themselves (0 or 1 per site); empty when they were not kept.
    acceptance
        Fraction of the exchanges that were accepted.
    """

    statistics: Float[np.ndarray, "sample parameter"]
    species: Int[np.ndarray, "sample site"]
    acceptance: float


def sample(  # noqa: PLR0913
    window: Window,
    model: LatticeModel,
    *,
    couplings: Float[np.ndarray, " parameter"],
    species: Int[np.ndarray, " site"],
    n_samples: int,
    rng: np.random.Generator,
    keep_species: bool = False,
    settings: SamplerSettings | None = None,
) -> Chain:
    """Draw arrangements from `exp(-sum_k w_k T_k)` at the composition of the free sites, given the border.

    An atom of each species is picked at random among the free sites and the two are exchanged by the Metropolis rule.
    The chain starts from a random arrangement. Without couplings every sample is an independent permutation.

    Parameters
    ----------
    window
        Sites, clusters and which sites are free.
    model
        What the couplings multiply.
    couplings
        w, in kT.
    species
        Species of each site (0 or 1): the border and the composition are taken from here.
    n_samples
        Samples to draw.
    rng
        Source of randomness.
    keep_species
        Whether to return the arrangements.
    settings
        Spacing and burn-in.

    Returns
    -------
    Chain
        Statistics, perhaps arrangements, and the acceptance.
    """
    settings = settings or SamplerSettings()
    window = window.only(model)
    sites = rng.permutation(np.flatnonzero(window.free))
    n_ones = int(species[sites].sum())
    state = np.append(species, 0).astype(np.int8)
    state[sites] = 0
    state[sites[:n_ones]] = 1
    energy = kind_table(model) @ np.asarray(couplings, dtype=np.float64)
    n_minority = min(n_ones, len(sites) - n_ones)
    spacing = max(1, round(settings.spacing * n_minority)) if n_minority else 0
    table = np.ascontiguousarray(kind_table(model))
    kept = np.empty((n_samples if keep_species else 0, window.n_sites), dtype=np.int8)
    statistics = np.empty((n_samples, len(model.terms)))
    n_accepted = _exchange(
        state,
        (sites[:n_ones].copy(), sites[n_ones:].copy()),
        (window.start, window.others, window.entry_kind, np.ascontiguousarray(np.diff(energy, axis=1))),
        (window.clusters, window.kind, table),
        (spacing, settings.burn_in, n_samples, np.uint64(rng.integers(2**63))),
        (statistics, kept),
    )
    n_tried = spacing * (settings.burn_in + n_samples)
    return Chain(statistics=statistics, species=kept, acceptance=n_accepted / n_tried if n_tried else 0.0)


def autocorrelation_time(series: Float[np.ndarray, " sample"], *, window_factor: float = 5.0) -> float:
    """Return the integrated autocorrelation time of a series, in samples; 1 for independent ones.

    The sum of the autocorrelation is cut at the first lag beyond `window_factor` times the running estimate.

    References
    ----------
    A. Sokal, in *Functional Integration* (1997), p. 131.

    Examples
    --------
    >>> bool(abs(autocorrelation_time(np.random.default_rng(1).normal(size=4000)) - 1) < 0.2)
    True
    """
    n_samples = len(series)
    centred = series - series.mean()
    if n_samples < 4 or not centred.any():
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * n_samples)
    covariance = np.fft.irfft(spectrum * spectrum.conj())[:n_samples]
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    beyond = np.arange(n_samples) >= window_factor * times
    return float(max(times[np.argmax(beyond)] if beyond.any() else times[-1], 1.0))


@numba.njit(cache=True, nogil=True)
def _exchange(state, atoms, near, count, plan, out):
    """Run the chain in place and return the number of accepted exchanges."""
    ones, zeros = atoms
    start, others, entry_kind, energy = near
    clusters, kind, table = count
    statistics, kept = out
    spacing, burn_in, n_samples, walk = plan
    n_accepted = 0
    n_ones, n_zeros = np.uint64(len(ones)), np.uint64(len(zeros))
    shift = np.uint64(32)
    mask = np.uint64(0xFFFFFFFF)
    for sweep in range(burn_in + n_samples):
        for _ in range(spacing):
            walk += np.uint64(0x9E3779B97F4A7C15)
            bits = _mix(walk)
            a = ((bits & mask) * n_ones) >> shift
            b = ((bits >> shift) * n_zeros) >> shift
            first, second = ones[a], zeros[b]
            change = 0.0
            for entry in range(start[first], start[first + 1]):
                change -= energy[entry_kind[entry], state[others[entry, 0]] + state[others[entry, 1]]]
            state[first] = 0
            for entry in range(start[second], start[second + 1]):
                change += energy[entry_kind[entry], state[others[entry, 0]] + state[others[entry, 1]]]
            accept = change <= 0.0
            if not accept:
                walk += np.uint64(0x9E3779B97F4A7C15)
                accept = (_mix(walk) >> np.uint64(11)) * 1.1102230246251565e-16 < np.exp(-change)
            if accept:
                state[second] = 1
                ones[a], zeros[b] = second, first
                n_accepted += 1
            else:
                state[first] = 1
        row = sweep - burn_in
        if row >= 0:
            statistics[row] = 0.0
            for cluster in range(len(kind)):
                number = state[clusters[cluster, 0]] + state[clusters[cluster, 1]] + state[clusters[cluster, 2]]
                for k in range(table.shape[2]):
                    statistics[row, k] += table[kind[cluster], number, k]
            if len(kept):
                kept[row] = state[:-1]
    return n_accepted


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(walk):
    """Scramble a counter into 64 random bits (SplitMix64)."""
    bits = walk
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
