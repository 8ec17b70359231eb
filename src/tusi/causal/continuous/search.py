"""The continuous search: weights by descent on standardised variables, arrows as far as their class fixes them."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.constraint.colliders import Triples
from tusi.causal.constraint.orientation import orient
from tusi.causal.continuous.climbing import SAME, Arrows, Families, Limits, best_addition, climbed, without_cycles
from tusi.causal.continuous.descent import Score, acyclic_weights
from tusi.causal.functional.sample import Sample
from tusi.causal.knowledge import Knowledge
from tusi.causal.posterior.evidence import GaussianEvidence, effects_given
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending

SCORES: tuple[Score, ...] = ("squares", "likelihood")
"""Descents whose ends are starts of the walk."""

LEAST_WEIGHT = 0.02
"""Weight, in standard deviations, below which an arrow is a rest of the descent's shrinking."""

DIGITS = 10
"""Of correlations, half as many of sample numbers: equally good graphs are not to be chosen among by rounding."""

FEWEST = 2.0
"""Samples, at least."""

PATIENCE = 10
"""Changes without a new best after which the search for the best graph ends, for each variable."""

SHORTER = 3
"""The same for the best graph without or against one arrow, which starts near its end."""

TRUST = 0.5
"""Share of a score's difference that counts between an arrow and its reverse: such graphs differ in several weak
connections, each of which may be wrong. Chosen for probabilities that hold for random graphs."""

SCALE = (
    "Scale dependent: searches of this family read variances, and in raw units mostly repeat the order of variances. "
    "All variables were standardised, so units decide nothing; but then no variances are left to tell directions by "
    "(equal ones of the disturbances are not assumed)."
)

DIRECTIONS = (
    "Directions rest on the independences alone: an arrow is drawn where all graphs with the same independences, and "
    "what is known before, agree on it, and is as probable as the root of its odds against the best graph that has it "
    "turned round; else it is undecided."
)

ASSUMPTION = "Linear effects without cycles or hidden common causes; probabilities are odds of best graphs, not sums."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ContinuousModel:
    """The best linear model without cycles, and how much better it is than without or against each of its arrows.

    Attributes
    ----------
    names
        The variables.
    chosen
        Entry (i, j): whether i acts on j in the best graph; one of several equally good ones where `fixed` is false.
    fixed
        Entry (i, j): whether all graphs with the same independences have this arrow.
    arrow, undecided
        Probabilities, as in `CausalGraph`.
    effect, effect_error
        Entry (i, j): direct effect in the best graph, in standard deviations, and its standard error; NaN elsewhere.
    score
        Log-likelihood of the best graph in that of no arrows, less the price of its arrows.
    n_effective
        Independent samples that all this rests on.
    """

    names: tuple[str, ...]
    chosen: Bool[np.ndarray, "cause effect"]
    fixed: Bool[np.ndarray, "cause effect"]
    arrow: Float[np.ndarray, "cause effect"]
    undecided: Float[np.ndarray, "cause effect"]
    effect: Float[np.ndarray, "cause effect"]
    effect_error: Float[np.ndarray, "cause effect"]
    score: float
    n_effective: float

    @property
    def graph(self) -> CausalGraph:
        """The result as every method gives it."""
        return CausalGraph.of(
            names=self.names,
            method=(
                "continuous search (NOTEARS family, scale dependent) on standardised variables, "
                f"{self.n_effective:.0f} effective samples"
            ),
            notes=(SCALE, DIRECTIONS, ASSUMPTION),
            arrow=self.arrow,
            undecided=self.undecided,
            effect=self.effect,
            effect_error=self.effect_error,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousSearch:
    """Move weights continuously until no cycle is left, then keep what pays at the effective number of samples.

    Searches of this family (NOTEARS, DAGMA, GOLEM) minimise a fit and the size of the weights under a smooth measure
    of cycles. What they find depends on the variables' scales, so all variables are standardised first, and what the
    descent finds is only where a discrete walk starts. Its score is the Gaussian likelihood with a variance of its own
    for each disturbance, which has no scale and no preference among graphs with the same independences, at
    n_eff rather than n samples; every arrow costs log(n_eff)/2 + log(number of variables), as in the extended
    Bayesian information criterion. A weight's price in the descent is the correlation at which one arrow pays.

    Known errors of the values are taken off the correlations, and the samples count as much less as errors make partial
    correlations less certain.

    Attributes
    ----------
    detrending
        What is taken out of all variables first; the mean of each image at least.

    References
    ----------
    X. Zheng, B. Aragam, P. Ravikumar, E. P. Xing, Adv. Neural Inf. Process. Syst. 31, 9472 (2018); A. G. Reisach,
    C. Seiler, S. Weichwald, ibid. 34, 27772 (2021), for what scales do; R. Foygel, M. Drton, ibid. 23, 604 (2010), for
    the price.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> collider = np.array([[0, 0, 0.6, 0], [0, 0, 0.6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    >>> recipe, rng = FieldRecipe(smoothing=1.0), np.random.default_rng(0)
    >>> found = ContinuousSearch().find(linear_fields(collider, recipe, rng=rng, names=("x", "y", "z", "alone")))
    >>> [str(edge) for edge in found.graph.edges()]
    ['x -> z (P = 0.87)', 'y -> z (P = 0.87)']
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)

    def find(self, table: CausalTable, *, knowledge: Knowledge | None = None) -> ContinuousModel:
        """Return the model of a table.

        Parameters
        ----------
        table
            At least two variables that vary within the images.
        knowledge
            What is known before.
        """
        correlation, n_samples = _moments(table, self.detrending)
        return self.of_correlation(correlation, n_samples=n_samples, names=table.names, knowledge=knowledge)

    def of_correlation(
        self,
        correlation: Float[np.ndarray, "variable variable_"],
        *,
        n_samples: float,
        names: tuple[str, ...],
        knowledge: Knowledge | None = None,
    ) -> ContinuousModel:
        """Return the model of variables of which the correlations are known.

        Parameters
        ----------
        correlation
            Of the variables.
        n_samples
            Independent samples that it rests on.
        names
            Of the variables.
        knowledge
            What is known before.

        Raises
        ------
        InputError
            These are no correlations of so many variables, or one follows from the others, or there are no samples.
        """
        _check(correlation, n_samples, names)
        known, n_samples = knowledge or Knowledge(), round(n_samples, DIGITS // 2)
        limits = Limits(allowed=known.possible(names), required=known.demanded(names))
        price = 0.5 * np.log(n_samples) + np.log(len(names))
        families = Families(correlation=np.round(correlation, DIGITS), n_samples=n_samples, price=price)
        walks = [
            climbed(families, start, limits, patience=PATIENCE * len(names)) for start in _starts(families, limits)
        ]
        best = _Judged.of(families, max(walks, key=families.of_graph), limits)
        arrow, undecided = best.probabilities(families, limits)
        effect, error = effects_given(correlation, n_samples, arrow=best.arrow)
        return ContinuousModel(
            names=names, chosen=best.arrow, fixed=best.fixed, arrow=arrow, undecided=undecided, effect=effect,
            effect_error=error, score=families.of_graph(best.arrow), n_effective=n_samples,
        )  # fmt: skip

    def graph_of(
        self, table: CausalTable, rng: np.random.Generator, *, knowledge: Knowledge | None = None  # noqa: ARG002
    ) -> CausalGraph:  # fmt: skip
        """Return the graph alone: what a bootstrap repeats.

        Parameters
        ----------
        table
            The variables.
        rng
            Not used: nothing is random here.
        knowledge
            What is known before.
        """
        return self.find(table, knowledge=knowledge).graph


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """The best graph, which of its arrows its class fixes, and what the best graph without or against each loses."""

    arrow: Arrows
    fixed: Arrows
    without: Float[np.ndarray, "cause effect"]
    against: Float[np.ndarray, "cause effect"]

    @classmethod
    def of(cls, families: Families, arrow: Arrows, limits: Limits) -> "_Judged":
        """Return the judgement of a graph, or of the better one that is met on the way."""
        fixed, most = _fixed(arrow, limits), families.of_graph(arrow)
        losses = np.full((2, *arrow.shape), np.inf)
        losses[1][arrow & ~fixed] = 0.0
        for (cause, effect), place, other in _others(arrow, fixed, limits):
            start = without_cycles(arrow.astype(float), other)
            walked = climbed(families, start, other, patience=SHORTER * len(arrow))
            losses[place, cause, effect] = most - families.of_graph(walked)
            if losses[place, cause, effect] < -SAME:
                return cls.of(families, walked, limits)
        return cls(arrow=arrow, fixed=fixed, without=losses[0], against=losses[1])

    def probabilities(self, families: Families, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities of arrows, and of connections without direction."""
        turned = np.where(self.arrow, np.exp(-TRUST * self.against), 0.0)
        total = 1.0 + turned + np.exp(-self.without)
        arrow = np.where(self.fixed, 1.0, 0.0) / total
        arrow += np.where(self.fixed, turned / total, 0.0).T
        undecided = np.where(self.arrow & ~self.fixed, 2.0 / total, 0.0)
        gain = best_addition(families, self.arrow, limits)
        gain = np.minimum(np.maximum(gain, gain.T), 0.0)
        undecided += undecided.T
        return arrow, np.where(self.arrow | self.arrow.T, undecided, np.exp(gain) / (1 + np.exp(gain)))


def _check(correlation: np.ndarray, n_samples: float, names: tuple[str, ...]) -> None:
    if correlation.shape != (len(names),) * 2 or not np.allclose(np.diagonal(correlation), 1.0):
        raise InputError(
            "correlation", expected=f"correlations of {len(names)} variables", got=f"shape {correlation.shape}"
        )
    if not np.isfinite(correlation).all() or np.linalg.eigvalsh(correlation)[0] < 10.0**-DIGITS:
        raise InputError("correlation", expected="variables of which none follows from the others", got="one that does")
    if not n_samples >= FEWEST:
        raise InputError("n_samples", expected=f"at least {FEWEST:g}", got=str(n_samples))


def _moments(table: CausalTable, detrending: Detrending) -> tuple[np.ndarray, float]:
    """Return correlations without errors, and the samples that relations between what is left of variables rest on.

    Errors make a partial correlation less certain by the share that they have in what all other variables leave of the
    two; the pair for which this is worst sets the number.
    """
    sample = Sample.of(table, detrending)
    exact = dataclasses.replace(table, error_covariance=np.zeros_like(table.error_covariance))
    _, n_effective = GaussianEvidence(detrending=detrending).samples(exact)
    real = sample.covariance - sample.error
    inverse = np.linalg.inv(real)
    left = 1 / np.diagonal(inverse)
    change = inverse * left[:, None]
    reliable = np.sort(left / (left + np.einsum("ij,jk,ik->i", change, sample.error, change)))
    scale = np.sqrt(np.diagonal(real))
    return real / np.outer(scale, scale), max(n_effective * float(reliable[0] * reliable[1]), FEWEST)


def _starts(families: Families, limits: Limits) -> Iterator[Arrows]:
    """Yield graphs to walk from: what is required alone, and what each descent ends in."""
    yield limits.required
    shrinkage = float(np.sqrt(2 * families.price / families.n_samples))
    for score in SCORES:
        weight = acyclic_weights(families.correlation, allowed=limits.allowed, score=score, shrinkage=shrinkage)
        yield without_cycles(np.where(np.abs(weight) > LEAST_WEIGHT, weight, 0.0), limits)


def _others(arrow: Arrows, fixed: Arrows, limits: Limits) -> Iterator[tuple[tuple[int, int], int, Limits]]:
    """Yield, for each arrow that may go (0) and each fixed one that may be turned (1), the limits of graphs that do."""
    for cause, effect in np.argwhere(arrow & ~limits.required).tolist():
        yield (cause, effect), 0, limits.without(cause, effect)
        if fixed[cause, effect] and limits.allowed[effect, cause]:
            yield (cause, effect), 1, limits.turned(effect, cause)


def _fixed(arrow: Arrows, limits: Limits) -> Arrows:
    """Return the arrows that all graphs have that imply the same independences and are possible."""
    adjacent = arrow | arrow.T
    apart = ~adjacent & ~np.eye(len(arrow), dtype=bool)
    triple = adjacent[:, :, None] & adjacent[None, :, :] & apart[:, None, :]
    collider = triple & arrow[:, :, None] & arrow.T[None, :, :]
    triples = Triples(collider=collider, chain=triple & ~collider, unclear=np.zeros_like(triple))
    return orient(adjacent, triples, allowed=limits.allowed).directed
