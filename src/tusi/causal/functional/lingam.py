"""DirectLiNGAM: linear effects without cycles, told from the shape of the disturbances."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.functional.direction import preference_p_value
from tusi.causal.functional.normality import gaussianity
from tusi.causal.functional.order import causal_order
from tusi.causal.functional.regression import DirectEffects, direct_effects
from tusi.causal.functional.sample import Sample
from tusi.causal.knowledge import Knowledge
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending

ASSUMPTION = (
    "Linear effects without cycles or hidden common causes, independent non-Gaussian disturbances; measurement errors "
    "normal and as large as stated."
)

_NOT_IDENTIFIABLE = (
    "Not identifiable: the disturbances of {} look Gaussian, and of Gaussian variables no direction can be told; which "
    "pairs are connected directly depends on the order, too."
)

_ONE_SEARCH = "One search: 1 says that the search draws it, not that it is certain. Resample for probabilities."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LinearNonGaussianModel:
    """A linear model without cycles, and which of its directions the data decide.

    Attributes
    ----------
    names
        The variables.
    order
        The variables, causes first; one of several where not all is decided.
    coefficient, coefficient_error
        Entry (i, j): by how many of its units j follows one unit of i, zero without direct effect, and the standard
        error.
    effect, effect_error
        The same in standard deviations of the values without error.
    gaussian_p_value
        Of each variable's disturbance being Gaussian.
    direction_p_value
        Entry (i, j): of j rather acting on i, for each arrow; NaN elsewhere.
    decided
        Entry (i, j): whether i -> j is drawn and its direction decided, by the data or by what was known before.
    identifiable
        Whether at most one disturbance may be Gaussian.
    disturbance
        What the causes leave of each variable, in its unit, for the rows that detrending keeps.
    notes
        What the reader must know.
    """

    names: tuple[str, ...]
    order: tuple[str, ...]
    coefficient: Float[np.ndarray, "cause effect"]
    coefficient_error: Float[np.ndarray, "cause effect"]
    effect: Float[np.ndarray, "cause effect"]
    effect_error: Float[np.ndarray, "cause effect"]
    gaussian_p_value: Float[np.ndarray, " variable"]
    direction_p_value: Float[np.ndarray, "cause effect"]
    decided: Bool[np.ndarray, "cause effect"]
    identifiable: bool
    disturbance: Float[np.ndarray, "row variable"]
    notes: tuple[str, ...]

    @property
    def graph(self) -> CausalGraph:
        """The result as every method gives it: arrows where the direction is decided, else undecided."""
        drawn = self.coefficient != 0
        open_ = drawn & ~self.decided
        return CausalGraph.of(
            names=self.names,
            method="DirectLiNGAM",
            notes=(*self.notes, _ONE_SEARCH),
            arrow=(drawn & self.decided).astype(float),
            undecided=(open_ | open_.T).astype(float),
            effect=np.where(drawn, self.effect, np.nan),
            effect_error=np.where(drawn, self.effect_error, np.nan),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectLingam:
    """Order the variables by likelihood ratios of pairs, then fit direct effects and drop what chance explains.

    A direction counts as decided where one of the two disturbances is certainly not Gaussian, and one direction fits
    better by more than chance explains (influences of rows, summed within blocks of the image). Normal errors of a
    cause turn plain likelihood ratios round. Where values have known errors, densities of cause and disturbance are
    therefore fitted as mixtures behind the errors, and these are compared; regressions allow for the errors, too. Units
    have no influence.

    Assumes linear effects, no cycles, no hidden common causes, independent disturbances, and after detrending
    stationary fields.

    Attributes
    ----------
    detrending
        The linear map, the same for all variables, that is applied first. Maps that mix many sites make values more
        Gaussian, and so less is decided.
    level
        Probability of any effect where there is none, for the whole graph.
    direction_level
        Largest p-value of a direction that counts as decided.
    gaussian_level
        Probability that Gaussian data are called identifiable; shared among the variables, and quartered because the
        order is chosen by the same data.

    References
    ----------
    S. Shimizu et al., J. Mach. Learn. Res. 12, 1225 (2011); A. Hyvarinen, S. M. Smith, J. Mach. Learn. Res. 14, 111
    (2013); H. Attias, Neural Comput. 11, 803 (1999), for densities behind errors.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> recipe = FieldRecipe(shape=(40, 40), smoothing=1.0, tail="laplace")
    >>> chain = np.array([[0, 0.8, 0], [0, 0, 0.8], [0, 0, 0]])
    >>> found = DirectLingam().find(linear_fields(chain, recipe, rng=np.random.default_rng(0)))
    >>> found.identifiable, [str(edge) for edge in found.graph.edges()]
    (True, ['x0 -> x1 (P = 1.00)', 'x1 -> x2 (P = 1.00)'])
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)
    level: float = 0.01
    direction_level: float = 0.1
    gaussian_level: float = 0.05

    def __post_init__(self) -> None:
        for name in ("level", "direction_level", "gaussian_level"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(name, expected="a probability between 0 and 1", got=str(getattr(self, name)))

    def find(self, table: CausalTable, *, knowledge: Knowledge | None = None) -> LinearNonGaussianModel:
        """Return the model of a table.

        Parameters
        ----------
        table
            At least two variables that vary within the images, and none of which follows from others.
        knowledge
            What is known before.
        """
        sample = Sample.of(table, self.detrending)
        known = knowledge or Knowledge()
        allowed, required = known.possible(table.names), known.demanded(table.names)
        order = causal_order(sample.value, sample.error, allowed=allowed)
        n_pairs = table.n_variables * (table.n_variables - 1) // 2
        effects = direct_effects(sample, order, allowed=allowed, required=required, level=self.level / n_pairs)
        return self._judged(table, sample, order, effects, allowed)

    def graph_of(
        self, table: CausalTable, rng: np.random.Generator, *, knowledge: Knowledge | None = None  # noqa: ARG002
    ) -> CausalGraph:  # fmt: skip
        """Return the graph alone, without notes on this one search: what a bootstrap repeats.

        Parameters
        ----------
        table
            The variables.
        rng
            Not used: nothing is random here.
        knowledge
            What is known before.
        """
        return dataclasses.replace(self.find(table, knowledge=knowledge).graph, notes=(ASSUMPTION,))

    def _judged(
        self, table: CausalTable, sample: Sample, order: tuple[int, ...], effects: DirectEffects, allowed: np.ndarray
    ) -> LinearNonGaussianModel:
        """Return the model with what is decided."""
        n_variables = table.n_variables
        gaussian = np.array([gaussianity(one, layout=sample.layout, lags=sample.lags) for one in effects.disturbance])
        shaped = gaussian <= self.gaussian_level / (4 * n_variables)
        drawn = effects.coefficient != 0
        p_value = np.full(drawn.shape, np.nan)
        for cause, effect in np.argwhere(drawn):
            p_value[cause, effect] = _reverse_p_value(sample, effects, (int(cause), int(effect)))
        clear = (p_value <= self.direction_level) & (shaped[:, None] | shaped[None, :])
        unit = sample.scale[None, :] / sample.scale[:, None]
        reliable = np.sqrt(1 - np.diagonal(sample.error))
        standard = reliable[:, None] / reliable[None, :]
        notes = [ASSUMPTION]
        identifiable = int(shaped.sum()) >= n_variables - 1
        if not identifiable:
            unclear = ", ".join(name for name, one in zip(table.names, shaped, strict=True) if not one)
            notes.append(_NOT_IDENTIFIABLE.format(unclear))
        return LinearNonGaussianModel(
            names=table.names,
            order=tuple(table.names[k] for k in order),
            coefficient=effects.coefficient * unit,
            coefficient_error=effects.error * unit,
            effect=effects.coefficient * standard,
            effect_error=effects.error * standard,
            gaussian_p_value=gaussian,
            direction_p_value=p_value,
            decided=drawn & (clear | ~allowed.T),
            identifiable=identifiable,
            disturbance=(effects.disturbance * sample.scale[:, None]).T,
            notes=tuple(notes),
        )


def _reverse_p_value(sample: Sample, effects: DirectEffects, arrow: tuple[int, int]) -> float:
    """Return the p-value of the reverse of an arrow, from the disturbance of the cause and what it makes of the effect.

    All other causes of both are taken out, so that these two are a pair of which one causes the other.
    """
    cause, effect = arrow
    change = np.eye(len(sample.value)) - effects.coefficient.T
    pair = np.stack([change[cause], change[effect] + effects.coefficient[cause, effect] * change[cause]])
    return preference_p_value(pair @ sample.value, pair @ sample.error @ pair.T, block=sample.block)
