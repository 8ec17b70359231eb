"""The top of a likelihood surface, and where it has fallen too far to be believed."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import chdtri

from tusi.generative.estimation.elimination import LEAST_SHARE, inverse_information
from tusi.generative.estimation.surface import Level, LikelihoodSurface
from tusi.generative.likelihood import COUPLING_LIMIT

MOST_STEPS = 30

FARTHEST = 2.5
"""How far a climb may go from where samples were drawn, in standard errors of complete data."""

FEWEST = 10.0
"""Effective samples below which a surface is not believed."""


def climb(surface: LikelihoodSurface, start: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
    """Return the highest point of a surface that its samples reach, by damped Newton steps.

    Parameters
    ----------
    surface
        The log-likelihood.
    start
        Couplings in kT to start from.
    """
    value = np.array(start, dtype=np.float64)
    here = surface.level(value)
    metric = here.complete
    for _ in range(MOST_STEPS):
        step = inverse_information(here.information, here.complete, least=LEAST_SHARE)[0] @ here.gradient
        for _ in range(12):
            trial = np.clip(value + step, -COUPLING_LIMIT, COUPLING_LIMIT)
            away = trial - start
            if away @ metric @ away <= FARTHEST**2:
                there = surface.level(trial)
                if there.value >= here.value - 1e-12 and surface.sizes(trial, there.fields).min() >= FEWEST:
                    break
            step = 0.5 * step
        else:
            break
        gain = here.gradient @ (trial - value)
        value, here = trial, there
        if gain < 1e-7:
            break
    return value


def interval_of(
    surface: LikelihoodSurface,
    value: Float[np.ndarray, " parameter"],
    fallback: Float[np.ndarray, "parameter 2"],
    *,
    confidence: float = 0.95,
) -> Float[np.ndarray, "parameter 2"]:
    """Return the likelihood-ratio interval of each coupling, the others maximised over.

    Ends that the surface's samples do not reach are taken from `fallback`.
    """
    top = surface.log_likelihood(value)[0]
    drop = chdtri(1, 1 - confidence) / 2
    out = fallback.copy()
    if surface.effective_sample_size(value).min() < FEWEST:
        return out
    for k in range(len(value)):
        for side in (0, 1):
            reach = fallback[k, side] - value[k]
            inner, outer = value[k], value[k] + 0.5 * reach
            for _ in range(4):
                fallen = _fallen(surface, (value, top), (k, outer)) - drop
                if fallen > 0:
                    break
                inner, outer = outer, outer + 0.5 * reach
            else:
                continue
            if not np.isfinite(fallen):
                continue
            out[k, side] = brentq(
                lambda x, k=k: _fallen(surface, (value, top), (k, x)) - drop, inner, outer, xtol=1e-3 * abs(reach)
            )
    return out


def _fallen(surface: LikelihoodSurface, peak: tuple[np.ndarray, float], held: tuple[int, float]) -> float:
    """Return how far the profile log-likelihood with one coupling held lies below the top; infinite if unknown."""
    best, top = peak
    number, position = held
    value = best.copy()
    value[number] = position
    others = np.arange(len(best)) != number
    here: Level = surface.level(value)
    for _ in range(10 if others.any() else 0):
        block = np.ix_(others, others)
        inverse, _ = inverse_information(here.information[block], here.complete[block], least=LEAST_SHARE)
        step = inverse @ here.gradient[others]
        gain = here.gradient[others] @ step
        if gain < 1e-4:
            break
        trial = value.copy()
        trial[others] += step
        there = surface.level(trial)
        if there.value < here.value:
            break
        value, here = trial, there
    return top - here.value if surface.sizes(value, here.fields).min() >= FEWEST else np.inf
