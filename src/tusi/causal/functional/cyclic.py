"""LiNG: linear effects with feedback, all stable models that independent components allow."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from tusi.causal.functional.components import independent_components
from tusi.causal.functional.normality import gaussianity
from tusi.causal.functional.sample import Sample
from tusi.causal.independence import PartialCorrelation
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending

MOST_VARIABLES = 8
"""Variables of which all assignments to components are looked at."""

EXACT = 0.02
"""Largest share of a variable's variance that may be measurement error where directions are told."""

ASSUMPTION = (
    "Linear effects, feedback allowed and at rest, no hidden common causes, independent non-Gaussian disturbances."
)

_GAUSSIAN = (
    "Not identifiable: more than one component looks Gaussian. With covariance S and the disturbances' deviations D, "
    "every B with I - B = D Q S^(-1/2), Q any rotation, fits equally well."
)
_INEXACT = "Directions are not told: measurement errors make independent components out of what is not a disturbance."
_SEVERAL = "{} stable models fit equally well; only what all of them say is drawn as decided."
_NONE = "No stable model fits: the linear feedback that the data would need does not come to rest."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StableModel:
    """One linear model with feedback that comes to rest.

    Attributes
    ----------
    coefficient, coefficient_error
        Entry (i, j): by how many of its units j follows one unit of i directly, and the standard error.
    acts
        Which of these are more than chance.
    radius
        Largest size of an eigenvalue of the feedback; below one.
    """

    coefficient: Float[np.ndarray, "cause effect"]
    coefficient_error: Float[np.ndarray, "cause effect"]
    acts: Bool[np.ndarray, "cause effect"]
    radius: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CyclicModels:
    """All stable models of a table.

    Attributes
    ----------
    names
        The variables.
    solutions
        The models, most strongly damped first; empty where nothing is identifiable.
    identifiable
        Whether at most one component may be Gaussian.
    gaussian_p_value
        Of each component being Gaussian.
    dependent
        Which pairs depend on each other given all other variables.
    scale
        Standard deviation of each variable.
    notes
        What the reader must know.
    """

    names: tuple[str, ...]
    solutions: tuple[StableModel, ...]
    identifiable: bool
    gaussian_p_value: Float[np.ndarray, " component"]
    dependent: Bool[np.ndarray, "variable variable"]
    scale: Float[np.ndarray, " variable"]
    notes: tuple[str, ...]

    @property
    def graph(self) -> CausalGraph:
        """The result as every method gives it; what not all stable models say is undecided."""
        if not self.solutions:
            return CausalGraph.of(
                names=self.names, method="LiNG", notes=self.notes, undecided=self.dependent.astype(float)
            )
        acts = np.array([one.acts for one in self.solutions])
        arrow = (acts & ~acts.transpose(0, 2, 1)).all(axis=0)
        feedback = (acts & acts.transpose(0, 2, 1)).all(axis=0)
        connected = (acts | acts.transpose(0, 2, 1)).any(axis=0)
        first = self.solutions[0]
        unit = self.scale[:, None] / self.scale[None, :]
        known = len(self.solutions) == 1
        return CausalGraph.of(
            names=self.names,
            method="LiNG",
            notes=self.notes,
            arrow=arrow.astype(float),
            feedback=feedback.astype(float),
            undecided=(connected & ~(arrow | arrow.T | feedback)).astype(float),
            effect=np.where(first.acts & known, first.coefficient * unit, np.nan),
            effect_error=np.where(first.acts & known, first.coefficient_error * unit, np.nan),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CyclicLing:
    """Independent components, assigned to variables in every way that makes a stable model.

    Values at rest follow x = B x + e; independent components are the e up to order and scale. Each order without a
    zero on the diagonal is a model with the same fit; those stay whose feedback dies away. Standard errors come from
    leaving out blocks of the image one by one.

    Attributes
    ----------
    detrending
        The linear map, the same for all variables, that is applied first.
    level
        Probability of any effect where there is none, for one model.
    gaussian_level
        Probability that Gaussian data are called identifiable, at most; shared among components and, because these are
        chosen to look least Gaussian, among twice as many directions for each.

    References
    ----------
    G. Lacerda, P. Spirtes, J. Ramsey, P. O. Hoyer, UAI 24, 366 (2008).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> feedback = np.array([[0, -0.5], [0.6, 0]])
    >>> world = linear_fields(feedback, FieldRecipe(shape=(80, 80), tail="laplace"), rng=np.random.default_rng(0))
    >>> found = CyclicLing().find(world)
    >>> len(found.solutions), bool(np.abs(found.solutions[0].coefficient - feedback).max() < 0.05)
    (1, True)
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)
    level: float = 0.01
    gaussian_level: float = 0.05

    def __post_init__(self) -> None:
        for name in ("level", "gaussian_level"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(name, expected="a probability between 0 and 1", got=str(getattr(self, name)))

    def find(self, table: CausalTable) -> CyclicModels:
        """Return all stable models of a table.

        Parameters
        ----------
        table
            Two to eight variables that vary within the images.
        """
        n_variables = table.n_variables
        if n_variables > MOST_VARIABLES:
            raise InputError("table", expected=f"at most {MOST_VARIABLES} variables", got=str(n_variables))
        sample = Sample.of(table, self.detrending)
        unmixing, without, gaussian = _components(sample)
        identifiable = int((gaussian <= self.gaussian_level / (2 * n_variables**2)).sum()) >= n_variables - 1
        solutions, notes = (), [ASSUMPTION]
        if not identifiable:
            notes.append(_GAUSSIAN)
        elif np.diagonal(sample.error).max() > EXACT:
            notes.append(_INEXACT)
        else:
            solutions = self._solutions(sample, unmixing, without)
            if len(solutions) != 1:
                notes.append(_SEVERAL.format(len(solutions)) if solutions else _NONE)
        return CyclicModels(
            names=table.names,
            solutions=solutions,
            identifiable=identifiable,
            gaussian_p_value=gaussian,
            dependent=self._dependent(table),
            scale=sample.scale,
            notes=tuple(notes),
        )

    def graph_of(self, table: CausalTable, rng: np.random.Generator) -> CausalGraph:  # noqa: ARG002
        """Return the graph alone: what a bootstrap repeats.

        Parameters
        ----------
        table
            The variables.
        rng
            Not used: nothing is random here.
        """
        return dataclasses.replace(self.find(table).graph, notes=(ASSUMPTION,))

    def _solutions(self, sample: Sample, unmixing: np.ndarray, without: np.ndarray) -> tuple[StableModel, ...]:
        """Return the stable models, most strongly damped first."""
        n_variables, n_blocks = len(unmixing), len(without)
        level = self.level / (n_variables * (n_variables - 1))
        limit = float(stats.t.isf(level / 2, n_blocks - 1))
        possible = np.abs(unmixing) > limit * np.sqrt((n_blocks - 1) * without.var(axis=0))
        unit = sample.scale[None, :] / sample.scale[:, None]
        found = []
        for order in _assignments(possible):
            coefficient = _coefficients(unmixing, order)
            radius = float(np.abs(np.linalg.eigvals(coefficient)).max())
            if radius < 1:
                each = np.array([_coefficients(one, order) for one in without])
                error = np.sqrt((n_blocks - 1) * each.var(axis=0))
                found.append(
                    StableModel(
                        coefficient=coefficient * unit,
                        coefficient_error=error * unit,
                        acts=np.abs(coefficient) > limit * error,
                        radius=radius,
                    )
                )
        return tuple(sorted(found, key=lambda one: one.radius))

    def _dependent(self, table: CausalTable) -> Bool[np.ndarray, "variable variable"]:
        """Return which pairs depend on each other given all others."""
        n_variables = table.n_variables
        test = PartialCorrelation(detrending=self.detrending).prepare(table)
        out = np.zeros((n_variables, n_variables), dtype=bool)
        level = self.level / (n_variables * (n_variables - 1) / 2)
        for i, j in zip(*np.triu_indices(n_variables, 1), strict=True):
            others = tuple(k for k in range(n_variables) if k not in (i, j))
            out[i, j] = out[j, i] = test.ask(int(i), int(j), others).p_value <= level
        return out


def _components(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrix that makes components, without each block, and p-values of components being Gaussian."""
    n_variables, blocks = len(sample.value), range(int(sample.block.max()) + 1)
    try:
        unmixing = independent_components(sample.value)
        without = [independent_components(sample.value[:, sample.block != k], start=unmixing) for k in blocks]
    except InputError:
        return np.eye(n_variables), np.zeros((0, n_variables, n_variables)), np.ones(n_variables)
    parts = unmixing @ sample.value
    gaussian = np.array([gaussianity(one, layout=sample.layout, lags=sample.lags) for one in parts])
    return unmixing, np.array(without), gaussian


def _assignments(possible: Bool[np.ndarray, "component variable"]) -> list[tuple[int, ...]]:
    """Return every order of the components that leaves no zero on the diagonal."""
    orders: list[tuple[int, ...]] = [()]
    for variable in range(len(possible)):
        orders = [
            (*order, int(component))
            for order in orders
            for component in np.flatnonzero(possible[:, variable])
            if component not in order
        ]
    return orders


def _coefficients(unmixing: np.ndarray, order: tuple[int, ...]) -> Float[np.ndarray, "cause effect"]:
    """Return direct effects for one order of the components."""
    rows = unmixing[list(order)]
    effect = np.eye(len(rows)) - rows / np.diagonal(rows)[:, None]
    np.fill_diagonal(effect, 0.0)
    return effect.T
