"""Energies of adsorption sites, barriers and attempt frequencies of adatoms from images and movies, in one fit."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import gammaincc, ndtri

from tusi.errors import ConvergenceError, InputError
from tusi.generative.estimation.adatom_data import (
    AdatomData,
    AdatomImages,
    AdatomMovies,
    Jumps,
    Layout,
    SiteCounts,
)
from tusi.inference import resampling_p_value
from tusi.units import BOLTZMANN

__all__ = [
    "AdatomData",
    "AdatomFit",
    "AdatomImages",
    "AdatomMovies",
    "Jumps",
    "RateLaw",
    "SiteCounts",
    "fit_adatoms",
]

MAX_STEPS, RIDGE, CLOSE = 100, 1e-12, 1e-7
LEAST_CONDITION = 1e-11
"""Smallest eigenvalue of the scaled information, relative to the largest, at which parameters count as told apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateLaw:
    """How the rates of jumps depend on temperature: `attempt exp(-barrier/kT)`.

    Attributes
    ----------
    own_attempt
        Whether each pair of types has an attempt frequency of its own; one for all otherwise.
    detailed_balance
        Whether barriers there and back differ by the site energies that images show, as equilibrium demands. Without
        it each kind of jump has a barrier of its own (and, with `own_attempt`, an attempt frequency).

    Examples
    --------
    >>> RateLaw().detailed_balance
    True
    """

    own_attempt: bool = False
    detailed_balance: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdatomFit:
    """Energies of sites and barriers, with their covariance.

    Attributes
    ----------
    parameters, value, covariance, interval
        Names, values, covariance and 95 % intervals: site energies relative to the first type and barriers or saddles
        in eV, and natural logarithms of attempt frequencies in 1/s.
    site_types, energy, energy_covariance
        Energy of each type of site, the first being zero, in eV.
    kinds, barrier, barrier_covariance
        From and to of each kind of jump, and its barrier, in eV.
    attempt
        Attempt frequency of each kind of jump, in 1/s.
    log_likelihood
        At the maximum.
    chi_square, degrees_of_freedom
        The misfit: Pearson's of images and frames, the deviance of hops.
    p_value
        Chance of a larger misfit if the law holds: from refitted replicas where `n_bootstrap` is above 0, and from the
        chi-square law, good for large counts only, otherwise.
    n_bootstrap
        Replicas behind the p-value.
    law
        The law that was fitted.
    """

    parameters: tuple[str, ...]
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    interval: Float[np.ndarray, "parameter 2"]
    site_types: tuple[str, ...]
    energy: Float[np.ndarray, " type"]
    energy_covariance: Float[np.ndarray, "type type"]
    kinds: tuple[tuple[str, str], ...]
    barrier: Float[np.ndarray, " kind"]
    barrier_covariance: Float[np.ndarray, "kind kind"]
    attempt: Float[np.ndarray, " kind"]
    log_likelihood: float
    chi_square: float
    degrees_of_freedom: int
    p_value: float
    n_bootstrap: int
    law: RateLaw

    @property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of each parameter."""
        return np.sqrt(np.diag(self.covariance))

    def populations(self, temperature: float, *, n_sites: Sequence[float]) -> Float[np.ndarray, " type"]:
        """Return the share of adatoms on each type of site at low coverage.

        Parameters
        ----------
        temperature
            In K.
        n_sites
            Sites of each type.
        """
        exponent = np.log(np.asarray(n_sites, dtype=float)) - self.energy / (BOLTZMANN * temperature)
        share = np.exp(exponent - exponent.max())
        return share / share.sum()


def fit_adatoms(
    data: Sequence[AdatomData],
    *,
    law: RateLaw | None = None,
    n_bootstrap: int = 0,
    rng: np.random.Generator | None = None,
) -> AdatomFit:
    """Return the energies that images and movies of adatoms support together.

    Maximum likelihood by Fisher scoring: Boltzmann occupations `P_i ~ n_i exp(-e_i/kT)` in images (exact for at most
    one adatom on a site), Poisson counts of hops over the time for which they were possible, and transition
    probabilities of the continuous-time process between frames. Assumes known temperatures, independent images, and
    adatoms that do not interact except by taking sites.

    Parameters
    ----------
    data
        Images, movies and movies in frames, with the same types of site and kinds of jump.
    law
        Which barriers and attempt frequencies are free.
    n_bootstrap
        Replicas for the p-value of the misfit; none by default.
    rng
        Source of randomness of the replicas.

    Returns
    -------
    AdatomFit
        Energies in eV with their covariance.

    Raises
    ------
    InputError
        Data that do not belong together, or that leave a combination of parameters open, such as a barrier and an
        attempt frequency at a single temperature.
    ConvergenceError
        The likelihood has no maximum at finite energies, e.g. because a type of site is never seen occupied.

    References
    ----------
    T. R. Linderoth, S. Horch, E. Lægsgaard, I. Stensgaard, F. Besenbacher, Phys. Rev. Lett. 78, 4978 (1997).
    J. D. Kalbfleisch, J. F. Lawless, J. Am. Stat. Assoc. 80, 863 (1985).

    Examples
    --------
    >>> images = AdatomImages(
    ...     site_types=("hollow", "bridge"),
    ...     temperature=np.array([200.0, 300.0]),
    ...     counts=np.array([[960, 40], [880, 120]]),
    ...     n_sites=np.array([[10000, 20000], [10000, 20000]]),
    ... )
    >>> fit = fit_adatoms([images])
    >>> fit.parameters, fit.value.round(3).tolist(), fit.standard_error.round(3).tolist()
    (('e_bridge',), [0.07], [0.002])
    """
    law = law or RateLaw()
    layout, jumps = _layout(data, law)
    theta, value, information = _maximise(data, layout)
    covariance = np.linalg.inv(information)
    misfits = [one.misfit(layout, theta) for one in data]
    chi_square, freedom = sum(m[0] for m in misfits), sum(m[1] for m in misfits) - len(theta)
    p_value = float(gammaincc(freedom / 2, chi_square / 2)) if freedom > 0 else float("nan")
    if n_bootstrap:
        if rng is None:
            raise InputError("rng", expected="a source of randomness for the replicas", got="None")
        p_value = _bootstrap(data, layout, theta, (chi_square, n_bootstrap), rng)
    half = float(ndtri(0.975)) * np.sqrt(np.diag(covariance))
    return AdatomFit(
        parameters=layout.names,
        value=theta,
        covariance=covariance,
        interval=np.stack([theta - half, theta + half], axis=1),
        site_types=data[0].types,
        energy=layout.energy @ theta,
        energy_covariance=layout.energy @ covariance @ layout.energy.T,
        kinds=jumps.kinds if jumps else (),
        barrier=layout.barrier @ theta,
        barrier_covariance=layout.barrier @ covariance @ layout.barrier.T,
        attempt=np.exp(layout.attempt @ theta),
        log_likelihood=value,
        chi_square=float(chi_square),
        degrees_of_freedom=int(freedom),
        p_value=p_value,
        n_bootstrap=n_bootstrap,
        law=law,
    )


def _layout(data: Sequence[AdatomData], law: RateLaw) -> tuple[Layout, Jumps | None]:
    """Return the parameters that these data and this law have."""
    if not len(data) or len({one.types for one in data}) != 1:
        raise InputError("data", expected="at least one, all with the same types of site", got=str(len(data)))
    jumps = [one.jumps for one in data if isinstance(one, AdatomMovies | SiteCounts)]
    if len(set(jumps)) > 1:
        raise InputError("data", expected="the same kinds of jump in all movies", got=str(len(set(jumps))))
    images = any(isinstance(one, AdatomImages) for one in data)
    types = data[0].types
    linked = law.detailed_balance
    e_names = [f"e_{name}" for name in types[1:]] if linked or images else []
    if not jumps:
        energy = np.vstack([np.zeros(len(types) - 1), np.eye(len(types) - 1)])
        empty = np.zeros((0, len(types) - 1))
        return Layout(names=tuple(e_names), energy=energy, attempt=empty, barrier=empty), None
    kinds, pairs = jumps[0].kinds, jumps[0].pairs
    b_names = [f"saddle_{a}-{b}" for a, b in pairs] if linked else [f"barrier_{a}>{b}" for a, b in kinds]
    attempts = [name.split("_", 1)[1] for name in b_names] if law.own_attempt else [""]
    names = e_names + b_names + ["log_attempt" + (f"_{name}" if name else "") for name in attempts]
    energy = np.zeros((len(types), len(names)))
    for number in range(len(e_names)):
        energy[number + 1, number] = 1.0
    attempt, barrier = np.zeros((2, len(kinds), len(names)))
    for kind, start in enumerate(jumps[0].ends[:, 0]):
        which = kind // 2 if linked else kind
        barrier[kind, len(e_names) + which] = 1.0
        attempt[kind, len(e_names) + len(b_names) + (which if law.own_attempt else 0)] = 1.0
        if linked:
            barrier[kind] -= energy[start]
    return Layout(names=tuple(names), energy=energy, attempt=attempt, barrier=barrier), jumps[0]


def _maximise(
    data: Sequence[AdatomData], layout: Layout, start: np.ndarray | None = None
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the most likely parameters, the log-likelihood and the information there."""
    theta = _rough(data, layout) if start is None else start
    value, score, information = _evaluate(data, layout, theta)
    for _ in range(MAX_STEPS):
        step = np.linalg.solve(information + RIDGE * np.diag(np.diag(information) + RIDGE), score)
        if (np.abs(step) < CLOSE * (1 + np.abs(theta))).all() and float(score @ step) < CLOSE:
            _check_told_apart(layout, information)
            return theta, value, information
        scale = 1.0
        while scale > 1e-6:
            new = _evaluate(data, layout, theta + scale * step)
            if new[0] >= value - 1e-9 * abs(value):
                break
            scale /= 2
        theta, (value, score, information) = theta + scale * step, new
    _check_told_apart(layout, information)
    raise ConvergenceError(
        "The likelihood of the adatoms has no maximum at finite energies: is a type of site never occupied?",
        result=theta,
    )


def _evaluate(data: Sequence[AdatomData], layout: Layout, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    parts = [one.evaluate(layout, theta) for one in data]
    return sum(p[0] for p in parts), np.sum([p[1] for p in parts], axis=0), np.sum([p[2] for p in parts], axis=0)


def _rough(data: Sequence[AdatomData], layout: Layout) -> np.ndarray:
    """Return a start by least squares on log-odds and log rates, drawn weakly to 1e13 attempts a second."""
    rows = [one.rough(layout) for one in data]
    attempts = np.array([float(name.startswith("log_attempt")) for name in layout.names])
    prior = np.diag(np.where(attempts > 0, 0.1, 1e-3))
    slopes = np.concatenate([*(row[0] for row in rows), prior])
    values = np.concatenate([*(row[1] for row in rows), prior @ (attempts * np.log(1e13))])
    return np.linalg.lstsq(slopes, values, rcond=None)[0]


def _check_told_apart(layout: Layout, information: np.ndarray) -> None:
    """Refuse data that leave a combination of parameters open."""
    scale = np.sqrt(np.diag(information))
    size = np.linalg.eigvalsh(information / np.outer(scale, scale)) if (scale > 0).all() else np.zeros(1)
    if size[0] < LEAST_CONDITION:
        raise InputError(
            "data",
            expected=f"data that tell {', '.join(layout.names)} apart",
            got="a combination of them that nothing depends on",
            then="Add another temperature, or fix more by the law.",
        )


def _bootstrap(
    data: Sequence[AdatomData], layout: Layout, theta: np.ndarray, run: tuple[float, int], rng: np.random.Generator
) -> float:
    """Return the chance of a larger misfit among refitted replicas."""
    chi_square, n_bootstrap = run
    replicas = np.full(n_bootstrap, np.inf)
    for k in range(n_bootstrap):
        again = [one.resample(layout, theta, rng=rng) for one in data]
        try:
            best = _maximise(again, layout, theta)[0]
        except (ConvergenceError, InputError):
            continue
        replicas[k] = sum(one.misfit(layout, best)[0] for one in again)
    return resampling_p_value(chi_square, replicas)
