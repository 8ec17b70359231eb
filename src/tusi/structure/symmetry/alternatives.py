"""Probabilities of alternatives that the user declares, each a set of constraints on the cell."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.symmetry.evidence import measured
from tusi.structure.symmetry.mean_cells import N_STRAINS, MeanCell, strain_tensor
from tusi.structure.symmetry.strata import CellFamily


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint:
    """A linear equation that the cell must obey.

    Attributes
    ----------
    metric
        Coefficients of a.a, a.b and b.b; the equation's right side is then 0.
    sites
        Terms (site, axis, coefficient) of fractional coordinates; the sum is `value` up to whole numbers.
    value
        Right side of an equation of fractional coordinates.

    Examples
    --------
    >>> Constraint(metric=(1, 0, -1))  # two sides of one length
    Constraint(metric=(1, 0, -1), sites=(), value=0.0)
    """

    metric: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sites: tuple[tuple[int, int, float], ...] = ()
    value: float = 0.0

    def __post_init__(self) -> None:
        if any(self.metric) == bool(self.sites):
            raise InputError("constraint", expected="terms of the metric or of sites, not both", got=repr(self))


INCONSISTENT = 1e-6
"""What an equation may miss by rounding."""

RIGHT_ANGLE, EQUAL_SIDES = Constraint(metric=(0, 1, 0)), Constraint(metric=(1, 0, -1))
HEXAGONAL_ANGLE = Constraint(metric=(1, 4, 1))
"""With equal sides: a.b = -|a|^2 / 2."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alternative:
    """A named set of constraints, with its prior weight.

    Attributes
    ----------
    name
        What the alternative is called.
    constraints
        Equations that hold together; none for a cell without any.
    weight
        Prior weight, relative to the other alternatives.
    width
        Range over which each coordinate that this alternative frees, and some other does not, is taken to be spread
        before the data, as a strain or in units of the cell: 1 for nothing known, 0.05 for "tetragonal by up to five
        per cent".
    """

    name: str
    constraints: tuple[Constraint, ...] = ()
    weight: float = 1.0
    width: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.weight < math.inf and 0 < self.width < math.inf):
            raise InputError("alternative", expected="a weight and a positive width", got=repr(self))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AlternativePosterior(Record):
    """Probability of each declared alternative.

    Attributes
    ----------
    probability, prior
        After and before the data.
    log_evidence
        Log probability of the data under each, relative to a perfect fit of a cell without freedom.
    misfit
        Chi-square of the best cell that obeys the constraints.
    n_constraints
        Equations that are independent of each other.
    names
        Names of the alternatives.
    """

    format_name: ClassVar[str] = "alternative_posterior"
    row: ClassVar[str] = "alternative"

    probability: Float[np.ndarray, " alternative"] = array("alternative")
    prior: Float[np.ndarray, " alternative"] = array("alternative")
    log_evidence: Float[np.ndarray, " alternative"] = array("alternative")
    misfit: Float[np.ndarray, " alternative"] = array("alternative")
    n_constraints: Float[np.ndarray, " alternative"] = array("alternative")
    names: tuple[str, ...]


def compare_alternatives(cell: MeanCell, alternatives: tuple[Alternative, ...]) -> AlternativePosterior:
    """Return the probability of each of several sets of constraints, "cubic or tetragonal" for instance.

    Constraints are linearised about the observed cell; what they leave free is integrated over a prior of the stated
    width. A wider prior makes an alternative easier to reject when the data do not ask for its freedom, so the width
    belongs to the question: say how large the distortion may be.

    Parameters
    ----------
    cell
        Mean cell of a window.
    alternatives
        At least two, with different names.

    Raises
    ------
    InputError
        A constraint names a site that the cell does not have, or constraints contradict each other.

    Examples
    --------
    >>> cell = MeanCell(fraction=np.zeros((1, 2)), species_log_likelihood=np.zeros((1, 0)),
    ...     vectors=np.diag([1.0, 1.01]), covariance=1e-6 * np.eye(5), n_cells=36, length_unit="pixel")
    >>> cubic = Alternative(name="cubic", constraints=(RIGHT_ANGLE, EQUAL_SIDES))
    >>> tetragonal = Alternative(name="tetragonal", constraints=(RIGHT_ANGLE,), width=0.05)
    >>> bool(compare_alternatives(cell, (cubic, tetragonal)).probability[1] > 0.99)
    True
    """
    names = [alternative.name for alternative in alternatives]
    if len(names) < 2 or len(set(names)) < len(names) or not sum(one.weight for one in alternatives):
        raise InputError("alternatives", expected="at least two, of different names, with weight", got=str(names))
    scatter = measured(cell)
    every = tuple(constraint for alternative in alternatives for constraint in alternative.constraints)
    common = _free(_rows(cell, every))
    families = [_family(cell, alternative, common) for alternative in alternatives]
    log_evidence = np.array([scatter.log_evidence(family) for family in families])
    weight = np.array([alternative.weight for alternative in alternatives])
    with np.errstate(divide="ignore"):
        total = np.log(weight / weight.sum()) + log_evidence
    return AlternativePosterior(
        probability=np.exp(total - logsumexp(total)),
        prior=weight / weight.sum(),
        log_evidence=log_evidence,
        misfit=np.array([scatter.misfit(family) for family in families]),
        n_constraints=np.array([len(cell.covariance) - family.directions.shape[1] for family in families], dtype=float),
        names=tuple(names),
    )


def _family(cell: MeanCell, alternative: Alternative, common: Float[np.ndarray, "component shared"]) -> CellFamily:
    """Return the cells that obey the constraints of an alternative; what all alternatives leave free comes first."""
    rows = _rows(cell, alternative.constraints)
    missing = np.array([_missing(cell, one) for one in alternative.constraints])
    point = np.linalg.pinv(rows) @ missing
    if np.abs(rows @ point - missing).max(initial=0.0) > INCONSISTENT:
        raise InputError(
            "constraints", expected="equations that can hold together", got=f"those of {alternative.name!r}"
        )
    own = _free(np.concatenate([rows, common.T]))
    width = np.concatenate([np.ones(common.shape[1]), np.full(own.shape[1], alternative.width)])
    return CellFamily(point=point, directions=np.concatenate([common, own], axis=1), density=np.diag(1.0 / width))


def _rows(cell: MeanCell, constraints: tuple[Constraint, ...]) -> Float[np.ndarray, "equation component"]:
    return np.array([_row(cell, one) for one in constraints]).reshape(-1, len(cell.covariance))


def _free(rows: Float[np.ndarray, "equation component"]) -> Float[np.ndarray, "component free"]:
    """Return orthonormal directions along which no equation changes."""
    _, singular, right = np.linalg.svd(rows, full_matrices=True)
    return right[int((singular > INCONSISTENT).sum()) :].T


def _row(cell: MeanCell, constraint: Constraint) -> Float[np.ndarray, " component"]:
    """Return how an equation's left side changes with the components of the cell."""
    row = np.zeros(len(cell.covariance))
    if constraint.sites:
        for site, axis, coefficient in constraint.sites:
            if not (0 <= site < len(cell) and axis in (0, 1)):
                raise InputError("sites", expected=f"sites below {len(cell)} and axis 0 or 1", got=f"{site}, {axis}")
            row[N_STRAINS + 2 * site + axis] += coefficient
        return row
    for component in range(N_STRAINS):
        change = 2 * cell.vectors @ strain_tensor(np.eye(N_STRAINS)[component]) @ cell.vectors.T
        row[component] = np.dot(constraint.metric, _metric(change)) / cell.side**2
    return row


def _missing(cell: MeanCell, constraint: Constraint) -> float:
    """Return what the observed cell lacks to obey the equation."""
    if constraint.sites:
        left = sum(coefficient * cell.fraction[site, axis] for site, axis, coefficient in constraint.sites)
        difference = constraint.value - left
        return float(difference - np.round(difference))
    return -float(np.dot(constraint.metric, _metric(cell.vectors @ cell.vectors.T))) / cell.side**2


def _metric(gram: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "3"]:
    return np.array([gram[0, 0], gram[0, 1], gram[1, 1]])
