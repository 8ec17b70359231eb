"""Effects of interventions with intervals: average, direct, and by way of mediators."""

import dataclasses
from functools import partial

import numpy as np
from jaxtyping import Float

from tusi.causal.bootstrap import BlockBootstrap
from tusi.causal.knowledge import reachable
from tusi.causal.structural.intervals import (
    N_DRAWS,
    Effect,
    colour_of_errors,
    effects_of_draws,
    resampled_changes,
    slope_draws,
)
from tusi.causal.structural.model import StructuralModel
from tusi.causal.structural.structure import Structure
from tusi.causal.table import CausalTable
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """The question how much a variable changes when another is raised from one value to another.

    Attributes
    ----------
    cause, effect
        The variables.
    low, high
        Values of the cause, in its unit; half a standard deviation below and above its mean when not given.
    """

    cause: str
    effect: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.cause == self.effect or (self.low is None) != (self.high is None):
            raise InputError("low", expected="two variables, and both values or none", got=repr(self))

    def values(self, table: CausalTable) -> tuple[float, float]:
        """Return both values of the cause.

        Parameters
        ----------
        table
            Whose mean and standard deviation are used where no values are given.
        """
        if self.low is not None and self.high is not None:
            return self.low, self.high
        seen = table.column(self.cause)
        half = float(seen.std()) / 2
        return float(seen.mean()) - half, float(seen.mean()) + half


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mediation:
    """An effect and its two parts.

    Attributes
    ----------
    total
        Change of the effect when the cause is raised.
    direct
        The same while the mediators stay what they would have been at the low value (natural direct effect).
    indirect
        The rest, which comes by way of the mediators.
    mediators
        Which these are.
    """

    total: Effect
    direct: Effect
    indirect: Effect
    mediators: tuple[str, ...]

    def __str__(self) -> str:
        return f"total {self.total}, direct {self.direct}, by way of {', '.join(self.mediators)} {self.indirect}"


def average_effect(
    table: CausalTable,
    contrast: Contrast,
    *,
    structure: Structure,
    rng: np.random.Generator,
    bootstrap: BlockBootstrap | None = None,
    level: float = 0.95,
) -> Effect:
    """Return the average causal effect of raising one variable on another, with its interval.

    Linear equations: slopes are drawn from the distribution that the autocovariances of causes and noise give them,
    known errors of the causes included. Others, or where a bootstrap is given: images are put together anew from blocks
    of themselves and the equations fitted again (the smoothness of splines is kept); percentiles are moved outwards by
    what the number of blocks costs; of splines behind heavy tails such 95 % intervals cover about 90 %. The graph is
    taken as true.

    Parameters
    ----------
    table
        The rows.
    contrast
        What is raised, from where to where, and what is looked at.
    structure
        The graph and the form of its equations.
    rng
        Source of randomness.
    bootstrap
        Number of resamples and side of the blocks; for splines 200, and eight correlation lengths, when not given.
    level
        Coverage of the interval.

    Raises
    ------
    InputError
        Images hold too few blocks.

    References
    ----------
    S. N. Lahiri, Resampling Methods for Dependent Data (Springer, 2003), section 12.3; T. C. Hesterberg, Am. Stat. 69,
    371 (2015), for the widened percentiles.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> table = linear_fields(np.array([[0, 0.5], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> structure = Structure.of([("x0", "x1")], names=("x0", "x1"))
    >>> question = Contrast(cause="x0", effect="x1", low=0.0, high=2.0)
    >>> found = average_effect(table, question, structure=structure, rng=np.random.default_rng(1))
    >>> found.interval[0] < 1.0 < found.interval[1], found.standard_error < 0.05
    (True, True)
    """
    return _effects(table, (contrast, ()), structure, rng, (bootstrap, level))[0]


def mediation(
    table: CausalTable,
    contrast: Contrast,
    *,
    structure: Structure,
    rng: np.random.Generator,
    mediators: tuple[str, ...] = (),
    bootstrap: BlockBootstrap | None = None,
) -> Mediation:
    """Return how much of an effect is direct and how much comes by way of mediators, with 95 % intervals.

    The direct effect is the natural one: every row's mediators stay what they would be at the low value of the cause,
    with that row's noise. Assumes the graph, additive noise, and no hidden common causes.

    Parameters
    ----------
    table
        The rows.
    contrast
        What is raised, from where to where, and what is looked at.
    structure
        The graph and the form of its equations.
    rng
        Source of randomness.
    mediators
        Variables between cause and effect; all of them when not given.
    bootstrap
        As for `average_effect`.

    Raises
    ------
    InputError
        There is no mediator, or one is not between cause and effect.

    References
    ----------
    J. Pearl, Uncertainty in Artificial Intelligence 17, 411 (2001).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> coefficients = np.array([[0, 0.8, 0.3], [0, 0, 0.5], [0, 0, 0]])
    >>> table = linear_fields(coefficients, FieldRecipe(), rng=np.random.default_rng(0), names=("x", "m", "y"))
    >>> structure = Structure.of(coefficients != 0, names=("x", "m", "y"))
    >>> question = Contrast(cause="x", effect="y", low=0.0, high=1.0)
    >>> found = mediation(table, question, structure=structure, rng=np.random.default_rng(1))
    >>> [round(part.estimate, 1) for part in (found.total, found.direct, found.indirect)], found.mediators
    ([0.7, 0.3, 0.4], ('m',))
    """
    between = between_variables(structure, contrast.cause, contrast.effect)
    mediators = mediators or between
    if not mediators or set(mediators) - set(between):
        raise InputError(
            "mediators", expected=f"some of {', '.join(between) or 'none that there are'}", got=", ".join(mediators),
            then="A mediator lies on a directed path from the cause to the effect.",
        )  # fmt: skip
    total, direct, indirect = _effects(table, (contrast, mediators), structure, rng, (bootstrap, 0.95))
    return Mediation(total=total, direct=direct, indirect=indirect, mediators=mediators)


def linear_effects(
    table: CausalTable, *, structure: Structure, rng: np.random.Generator, level: float = 0.95
) -> dict[tuple[str, str], Mediation]:
    """Return the effects of one unit of every variable on all that it reaches, in linear equations.

    The same as `mediation` and `average_effect` of every pair, but from one set of draws of the slopes. Where nothing
    lies between two variables, the effect is direct.

    Parameters
    ----------
    table
        The rows.
    structure
        The graph, its equations linear.
    rng
        Source of randomness.
    level
        Coverage of the intervals.

    Raises
    ------
    InputError
        The equations are not linear.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> coefficients = np.array([[0, 0.8, 0.3], [0, 0, 0.5], [0, 0, 0]])
    >>> table = linear_fields(coefficients, FieldRecipe(), rng=np.random.default_rng(0), names=("x", "m", "y"))
    >>> structure = Structure.of(coefficients != 0, names=("x", "m", "y"))
    >>> found = linear_effects(table, structure=structure, rng=np.random.default_rng(1))
    >>> {pair: round(one.total.estimate, 1) for pair, one in found.items()}
    {('x', 'm'): 0.8, ('x', 'y'): 0.7, ('m', 'y'): 0.5}
    """
    if not structure.mechanism.linear:
        raise InputError("structure", expected="linear equations", got=repr(structure.mechanism))
    slopes = drawn_slopes(table, structure, rng=rng)
    found = {}
    for i, j in np.argwhere(reachable(structure.arrow)):
        cause, effect = structure.names[i], structure.names[j]
        mediators = between_variables(structure, cause, effect)
        question = Contrast(cause=cause, effect=effect), mediators
        estimate, changes = (_changes_of_slopes(one, structure, question) for one in slopes)
        total, direct, indirect = effects_of_draws(estimate[0], changes, level=level)
        found[cause, effect] = Mediation(total=total, direct=direct, indirect=indirect, mediators=mediators)
    return found


def drawn_slopes(
    table: CausalTable, structure: Structure, *, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "1 cause effect"], Float[np.ndarray, "draw cause effect"]]:
    """Return the slopes of linear equations, as one draw, and draws of what they could as well be.

    Parameters
    ----------
    table
        The rows, before detrending.
    structure
        The graph, its equations linear.
    rng
        Source of randomness.
    """
    rows = structure.rows(table)
    colour = colour_of_errors(structure, table, rows=rows, rng=rng)
    slope, drawn = slope_draws(structure, rows, n_draws=N_DRAWS, rng=rng, colour=colour)
    return slope[None], drawn


def between_variables(structure: Structure, cause: str, effect: str) -> tuple[str, ...]:
    """Return the variables on directed paths from a cause to an effect.

    Parameters
    ----------
    structure
        The graph.
    cause, effect
        Ends of the paths.
    """
    walks = reachable(structure.arrow)
    i, j = (structure.names.index(name) for name in (cause, effect))
    return tuple(
        name for k, name in enumerate(structure.names) if k not in (i, j) and walks[i, k] and walks[k, j]
    )  # fmt: skip


Question = tuple[Contrast, tuple[str, ...]]
"""What is raised and looked at, and which variables count as mediators."""


def _effects(
    table: CausalTable,
    question: Question,
    structure: Structure,
    rng: np.random.Generator,
    how: tuple[BlockBootstrap | None, float],
) -> tuple[Effect, ...]:
    """Return total, direct and indirect effect."""
    bootstrap, level = how
    values = question[0].values(table)
    if structure.mechanism.linear and bootstrap is None:
        slopes = drawn_slopes(table, structure, rng=rng)
        raised = values[1] - values[0]
        estimate, changes = (raised * _changes_of_slopes(one, structure, question) for one in slopes)
        return effects_of_draws(estimate[0], changes, level=level)
    changes, n_blocks = resampled_changes(
        structure,
        table,
        changes=partial(_changes, question=question, values=values),
        bootstrap=bootstrap or BlockBootstrap(n_resamples=200),
        rng=rng,
    )
    estimate = _changes(StructuralModel.fit(table, structure), question=question, values=values)
    return effects_of_draws(estimate, changes, level=level, n_blocks=n_blocks)


def _changes_of_slopes(
    slope: Float[np.ndarray, "draw cause effect"], structure: Structure, question: Question
) -> Float[np.ndarray, "draw 3"]:
    """Return total, direct and indirect effect of one unit of the cause in linear equations."""
    contrast, held = question
    names = structure.names
    i, j = names.index(contrast.cause), names.index(contrast.effect)
    unit = np.eye(len(names))
    total = np.linalg.inv(unit - slope)[:, i, j]
    still = slope.copy()
    still[:, :, [names.index(name) for name in held]] = 0.0
    direct = np.linalg.inv(unit - still)[:, i, j]
    return np.stack([total, direct, total - direct], axis=1)


def _changes(model: StructuralModel, *, question: Question, values: tuple[float, float]) -> Float[np.ndarray, " 3"]:
    """Return the mean total, direct and indirect change; mediators are held at what they are at the low value."""
    contrast, held = question
    names = model.structure.names
    i, j = names.index(contrast.cause), names.index(contrast.effect)
    rows = np.arange(len(model.table))
    low, high = (np.full(len(rows), value) for value in values)
    before = model.propagate(rows, {i: low})
    fixed = {names.index(name): before[:, names.index(name)] for name in held}
    total, direct = (
        np.average(model.propagate(rows, {i: high, **also})[:, j] - before[:, j], weights=model.weight)
        for also in ({}, fixed)
    )
    return np.array([total, direct, total - direct])
