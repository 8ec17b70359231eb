"""Weights without cycles by descent: a smooth measure of cycles, how badly weights fit, and what each weight costs."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from tusi.errors import InputError

Score = Literal["squares", "likelihood"]
"""Least squares, the likelihood if all disturbances have the same variance; or the likelihood if each has its own."""

Weights = Float[np.ndarray, "cause effect"]
Arrows = Bool[np.ndarray, "cause effect"]

TEMPERATURES = (1.0, 0.1, 0.01, 0.001)
"""Weight of the fit beside cycles, stage after stage: the last one leaves next to no cycles."""

MOST_STEPS = 500
"""Steps of a stage, at most."""

SETTLED = 1e-3
"""Slope, beside the fit's weight, at which a stage has settled."""

MEMORY = 5
"""Steps among which the highest value is what a new one must be below: the descent may rise for a moment."""

ROUNDING = 1e-9
"""By how much a number that cannot be negative may be."""

SURE_FALL = 1e-4
"""Share of the fall that the slope promises which a step must make."""


def acyclicity(weight: Weights) -> tuple[float, Weights]:
    """Return how far weights are from having no cycle, and the gradient: -log det(1 - W o W).

    Zero without cycles and positive with them, as long as no cycle multiplies beyond one; infinite, without a gradient,
    where one does.

    Parameters
    ----------
    weight
        Entry (i, j): of i on j.

    References
    ----------
    K. Bello, B. Aragam, P. Ravikumar, Adv. Neural Inf. Process. Syst. 35, 8226 (2022).

    Examples
    --------
    >>> [round(acyclicity(np.array([[0.0, 0.5], [back, 0.0]]))[0], 4) for back in (0.0, 0.5, 3.0)]
    [0.0, 0.0645, inf]
    """
    cycles = np.eye(len(weight)) - weight * weight
    sign, size = np.linalg.slogdet(cycles)
    inverse = np.linalg.inv(cycles) if sign > 0 else cycles
    if sign <= 0 or inverse.min() < -ROUNDING:
        return np.inf, np.full_like(weight, np.nan)
    return float(-size) + 0.0, 2 * inverse.T * weight


def misfit(covariance: Weights, weight: Weights, score: Score) -> tuple[float, Weights]:
    """Return minus the log-likelihood per sample but for constants, and its gradient.

    Parameters
    ----------
    covariance
        Of the variables.
    weight
        Entry (i, j): of i on j.
    score
        Which disturbances are assumed.

    References
    ----------
    X. Zheng, B. Aragam, P. Ravikumar, E. P. Xing, Adv. Neural Inf. Process. Syst. 31, 9472 (2018), for least squares;
    I. Ng, A. Ghassami, K. Zhang, Adv. Neural Inf. Process. Syst. 33, 17943 (2020), for unequal variances.

    Examples
    --------
    >>> misfit(np.eye(2), np.zeros((2, 2)), "squares")[0]
    1.0
    """
    left = np.eye(len(weight)) - weight
    shared = covariance @ left
    variance = (left * shared).sum(axis=0)
    if score == "squares":
        return 0.5 * float(variance.sum()), -shared
    return 0.5 * float(np.log(variance).sum()), -shared / variance


def acyclic_weights(covariance: Weights, *, allowed: Arrows, score: Score, shrinkage: float) -> Weights:
    """Return weights that fit a covariance with next to no cycles; those that do not pay are zero.

    The fit and the absolute weights count less and less beside cycles. Every stage starts where the last one ended and
    descends by steps as long as the last change of slope allows (Barzilai and Borwein), weights shrunk at each.

    The answer depends on the variables' units: with "squares" so much that on raw values it mostly repeats the order of
    variances. Give correlations.

    Parameters
    ----------
    covariance
        Of the variables.
    allowed
        Entry (i, j): whether i may act on j.
    score
        Which disturbances are assumed.
    shrinkage
        Price of a unit of weight.

    Raises
    ------
    InputError
        A variable does not vary.

    References
    ----------
    K. Bello et al. (2022), see `acyclicity`; S. J. Wright, R. D. Nowak, M. A. T. Figueiredo, IEEE Trans. Signal
    Process. 57, 2479 (2009), for the steps.

    Examples
    --------
    >>> chain = np.array([[1, 0.8, 0.64], [0.8, 1, 0.8], [0.64, 0.8, 1]])
    >>> forward = np.triu(np.ones((3, 3), dtype=bool), 1)
    >>> acyclic_weights(chain, allowed=forward, score="likelihood", shrinkage=0.01).round(1)
    array([[0. , 0.8, 0. ],
           [0. , 0. , 0.8],
           [0. , 0. , 0. ]])
    """
    if np.diagonal(covariance).min() <= 0:
        raise InputError("covariance", expected="positive variances", got=str(np.diagonal(covariance)))
    weight = np.zeros_like(covariance)
    for temperature in TEMPERATURES:
        value = partial(_tempered, covariance=covariance, score=score, temperature=temperature)
        weight = _descended(value, weight, allowed=allowed, price=temperature * shrinkage, slack=SETTLED * temperature)
    return weight


def _tempered(weight: Weights, *, covariance: Weights, score: Score, temperature: float) -> tuple[float, Weights]:
    """Return what a descent brings down, the size of the weights aside, and its gradient."""
    cycles, away = acyclicity(weight)
    fit, slope = misfit(covariance, weight, score)
    return temperature * fit + cycles, temperature * slope + away


def _descended(
    value: Callable[[Weights], tuple[float, Weights]], weight: Weights, *, allowed: Arrows, price: float, slack: float
) -> Weights:
    """Return where a function of the weights and the price of their size are least together, from a start on."""
    height, slope = value(weight)
    heights, rate = [height + price * np.abs(weight).sum()], 1.0
    for _ in range(MOST_STEPS):
        while True:
            new = weight - slope / rate
            new = np.where(allowed, np.sign(new) * np.maximum(np.abs(new) - price / rate, 0.0), 0.0)
            step = new - weight
            length = float((step**2).sum())
            height, new_slope = value(new)
            height += price * np.abs(new).sum()
            if height <= max(heights[-MEMORY:]) - SURE_FALL * rate / 2 * length:
                break
            rate *= 2
        change = float((step * (new_slope - slope)).sum())
        weight, slope = new, new_slope
        heights.append(height)
        if rate * np.sqrt(length) <= slack:
            break
        rate = float(np.clip(change / length, 1e-3, 1e8))
    return weight
