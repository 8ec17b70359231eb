"""Causes in movies and tracks: what happened at a site before, given its own past, in samples of space and time."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

from tusi.causal.constraint import PC
from tusi.causal.independence import Independence, PreparedTest
from tusi.causal.independence.linear import PartialCorrelation
from tusi.causal.knowledge import Knowledge
from tusi.causal.panel import LaggedTable, SpaceTime, lagged_table
from tusi.causal.panel.lagged import lagged_name
from tusi.causal.posterior import ExactPosterior, InnovationEvidence
from tusi.causal.posterior.exact import GraphPosterior
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending

_NOTES = (
    "One search: 1 says that the search draws it, not that it is certain.",
    "Takes it that no hidden variable acts on two others at different times. Variables that go together within a frame "
    "given their past stay undecided, and an effect within a frame of something that lasts is seen as one of the past.",
)


_PAST = "The past is taken as given: links within it are not asked about."

REMEMBERS = 0.01
"""P-value up to which a frame before those in the table is said to matter."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaggedPlan:
    """How causes are looked for in time.

    Attributes
    ----------
    n_lags
        Largest number of frames between cause and effect.
    level
        P-value up to which a link is drawn; of each link, not of the graph.
    screening
        P-value up to which a variable is held fixed as a possible cause of the effect, or of the cause.
    site_effects
        Whether each site keeps a level of its own (`lagged_table`).
    detrending
        What is taken out of each frame first.
    """

    n_lags: int = 1
    level: float = 0.01
    screening: float = 0.2
    site_effects: bool = False
    detrending: Detrending = dataclasses.field(default_factory=Centring)

    def __post_init__(self) -> None:
        for name in ("level", "screening"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(name, expected="a p-value between 0 and 1", got=str(getattr(self, name)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaggedLink:
    """What was asked about one cause and one effect.

    Attributes
    ----------
    cause, effect
        Variables.
    lag
        Frames from cause to effect; zero within a frame, where the two have no order.
    given
        Columns that were held fixed.
    answer
        Of the test.
    """

    cause: str
    effect: str
    lag: int
    given: tuple[str, ...]
    answer: Independence

    def __str__(self) -> str:
        arrow = "->" if self.lag else "--"
        return f"{lagged_name(self.cause, self.lag)} {arrow} {self.effect}(t): p = {self.answer.p_value:.3g}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LaggedDiscovery:
    """Links in time.

    Attributes
    ----------
    links
        Everything that was asked, whether or not a link was found.
    variables
        Without times.
    plan
        How it was found.
    effect
        Direct effects of the columns of the graph on each other, in standard deviations; NaN where there is no link.
    """

    links: tuple[LaggedLink, ...]
    variables: tuple[str, ...]
    plan: LaggedPlan
    effect: Float[np.ndarray, "cause effect"]

    @property
    def found(self) -> tuple[LaggedLink, ...]:
        """Links whose p-value is at most the level, surest first."""
        kept = [link for link in self.links if link.answer.p_value <= self.plan.level]
        return tuple(sorted(kept, key=lambda link: link.answer.p_value))

    def link(self, cause: str, effect: str, *, lag: int = 1) -> LaggedLink:
        """Return what was asked about one cause and one effect.

        Parameters
        ----------
        cause, effect
            Variables.
        lag
            Frames from cause to effect; with zero the order does not matter.
        """
        pair = (cause, effect)
        for link in self.links:
            if link.lag == lag and (
                (link.cause, link.effect) == pair or (not lag and {*pair} == {link.cause, link.effect})
            ):
                return link
        raise InputError("cause", expected="a pair and lag that was asked about", got=f"{cause}, {effect}, {lag}")

    @property
    def graph(self) -> CausalGraph:
        """Graph over variables at t, t - 1, ...: arrows into the present, and undecided links within it."""
        names = _columns(self.variables, self.plan.n_lags)
        undecided = _drawn(tuple(link for link in self.found if not link.lag), names)
        return CausalGraph.of(
            names=names,
            method=self._method,
            notes=_NOTES,
            arrow=_drawn(tuple(link for link in self.found if link.lag), names),
            undecided=undecided + undecided.T,
            effect=self.effect,
        )

    @property
    def summary(self) -> CausalGraph:
        """Graph over variables: an arrow where any lag has one, feedback where there is one each way."""
        n = len(self.variables)
        acts, together = np.zeros((2, n, n), dtype=bool)
        for link in self.found:
            i, j = self.variables.index(link.cause), self.variables.index(link.effect)
            if i != j and link.lag:
                acts[i, j] = True
            elif i != j:
                together[i, j] = together[j, i] = True
        return CausalGraph.of(
            names=self.variables,
            method=self._method,
            notes=_NOTES,
            arrow=(acts & ~acts.T).astype(float),
            feedback=(acts & acts.T).astype(float),
            undecided=(together & ~acts & ~acts.T).astype(float),
        )

    @property
    def _method(self) -> str:
        return f"links up to {self.plan.n_lags} frames at level {self.plan.level:g}, given the past of both"


def lagged_search(
    movie: CausalTable, *, plan: LaggedPlan | None = None, track: Int[np.ndarray, " row"] | None = None
) -> LaggedDiscovery:
    """Find which variables act on which at the same site in later frames.

    First PC, with arrows from the past to the present only, finds for each variable what may be its causes. Then each
    link is tested with those of the effect and those of the cause held fixed, and the own past of both in any case
    (momentary conditional independence): what lasts long cannot make a link. The test is a partial correlation whose
    effective sample size counts pairs of rows at all lags in space and in time. Effects of neighbours are found when
    their means stand in the movie as variables of their own (`with_neighbour_means`).

    Parameters
    ----------
    movie
        The images are the frames, in order and equally far apart.
    plan
        How causes are looked for.
    track
        Number of the site or atom of each row; rows in the same cell are the same site when not given.

    Raises
    ------
    InputError
        No site is seen in enough frames: twice the number of lags, and one more.

    References
    ----------
    J. Runge, P. Nowack, M. Kretschmer, S. Flaxman, D. Sejdinovic, Sci. Adv. 5, eaau4996 (2019).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import autoregressive_movie
    >>> acting = np.array([[[0.8, 0.3], [0.0, 0.8]]])
    >>> movie = autoregressive_movie(acting, FieldRecipe(shape=(12, 12)), n_frames=12, rng=np.random.default_rng(0))
    >>> found = lagged_search(movie)
    >>> [str(edge) for edge in found.summary.edges()]
    ['x0 -> x1 (P = 1.00)']
    """
    plan = plan or LaggedPlan()
    lagged = lagged_table(movie, n_lags=2 * plan.n_lags, track=track, site_effects=plan.site_effects)
    test = PartialCorrelation(detrending=SpaceTime(detrending=plan.detrending)).prepare(lagged.table)
    causes = _possible_causes(lagged, test, plan)
    links = []
    for lag in range(1, plan.n_lags + 1):
        links += [
            _asked(test, causes, (cause, effect, lag)) for cause, effect in itertools.product(movie.names, repeat=2)
        ]
    links += [_asked(test, causes, (one, other, 0)) for one, other in itertools.combinations(movie.names, 2)]
    return LaggedDiscovery(
        links=tuple(links), variables=movie.names, plan=plan, effect=_effects(lagged, tuple(links), plan)
    )


def lagged_posterior(
    movie: CausalTable,
    *,
    n_lags: int = 1,
    track: Int[np.ndarray, " row"] | None = None,
    site_effects: bool = False,
    contemporaneous: bool = True,
    detrending: Detrending | None = None,
) -> GraphPosterior:
    """Return the posterior over all graphs in which past and present act on the present.

    The past cannot be caused by the future, and what acted on the past is not in the table: it is taken as given.
    Samples are counted by what is new in each frame (`InnovationEvidence`), so that variables may last long. Where the
    frame before the earliest one still matters, a note says so: the probabilities then rest on too many samples, and a
    larger `n_lags` is needed.

    Parameters
    ----------
    movie
        The images are the frames, in order and equally far apart; times lags and one, at most fourteen variables.
    n_lags
        Largest number of frames between cause and effect.
    track
        Number of the site or atom of each row; rows in the same cell are the same site when not given.
    site_effects
        Whether each site keeps a level of its own.
    contemporaneous
        Whether variables may act on each other within a frame.
    detrending
        What is taken out of each frame first; its mean, unless something else is given.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import autoregressive_movie
    >>> acting = np.array([[[0.9, 0.3], [0.0, 0.9]]])
    >>> movie = autoregressive_movie(acting, FieldRecipe(shape=(12, 12)), n_frames=12, rng=np.random.default_rng(0))
    >>> found = lagged_posterior(movie).graph
    >>> found.probability("x0(t-1)", "x1(t)") > 0.95, found.probability("x1(t)", "x1(t-1)")
    (True, 0.0)
    """
    lagged = lagged_table(movie, n_lags=n_lags, track=track, site_effects=site_effects, contemporaneous=contemporaneous)
    names, detrending = lagged.table.names, detrending or Centring()
    past = names[len(lagged.variables) :]
    given = tuple((one, other) for one in names for other in past if one != other)
    evidence = InnovationEvidence(detrending=detrending, n_present=len(lagged.variables))
    posterior = ExactPosterior(evidence=evidence).find(
        lagged.table, knowledge=dataclasses.replace(lagged.knowledge, forbidden=lagged.knowledge.forbidden + given)
    )
    further = _lasting(movie, n_lags, track, site_effects, detrending)
    return dataclasses.replace(posterior, notes=(_PAST, *further))


def _lasting(
    movie: CausalTable, n_lags: int, track: np.ndarray | None, site_effects: bool, detrending: Detrending
) -> tuple[str, ...]:
    """Say which variables remember more than their past in the table, as far as longer windows are there to tell."""
    try:
        lagged = lagged_table(movie, n_lags=n_lags + 1, track=track, site_effects=site_effects)
    except InputError:
        return ()
    test = PartialCorrelation(detrending=SpaceTime(detrending=detrending)).prepare(lagged.table)
    n_variables = len(lagged.variables)
    past = tuple(range(n_variables, n_variables * (n_lags + 1)))
    level = REMEMBERS / n_variables
    lasting = [
        name
        for k, name in enumerate(lagged.variables)
        if test.ask(k, k + n_variables * (n_lags + 1), past).p_value <= level
    ]
    if not lasting:
        return ()
    matter = "matters" if len(lasting) == 1 else "matter"
    return (
        f"{', '.join(lasting)} at t - {n_lags + 1} still {matter} given what came after: these probabilities are too "
        "sure. Take more lags.",
    )


Column = tuple[str, int]
"""A variable and its lag."""


def _possible_causes(lagged: LaggedTable, test: PreparedTest, plan: LaggedPlan) -> dict[str, tuple[Column, ...]]:
    """Return what PC leaves as causes of each variable at t, and its own past."""
    names = lagged.table.names
    column = {lagged_name(name, lag): (name, lag) for lag in range(lagged.n_lags + 1) for name in lagged.variables}
    asked = {
        (one, other) for one in names for other in names if not column[other][1] and 1 <= column[one][1] <= plan.n_lags
    }
    forbidden = tuple((one, other) for one in names for other in names if one != other and (one, other) not in asked)
    found = PC(level=plan.screening).search(test, knowledge=Knowledge(forbidden=forbidden))
    causes = {}
    for name in lagged.variables:
        own = [(name, lag) for lag in range(1, plan.n_lags + 1)]
        seen = [column[names[k]] for k in np.flatnonzero(found.directed[:, names.index(lagged_name(name, 0))])]
        causes[name] = tuple(dict.fromkeys(own + seen))
    return causes


def _asked(test: PreparedTest, causes: dict[str, tuple[Column, ...]], link: tuple[str, str, int]) -> LaggedLink:
    """Return what the test says of a link, given the past of both ends."""
    cause, effect, lag = link
    earlier = [(name, before + lag) for name, before in causes[cause]]
    held = dict.fromkeys([*causes[effect], *earlier])
    given = tuple(lagged_name(*one) for one in held if one != (cause, lag))
    place = {name: k for k, name in enumerate(test.names)}
    answer = test.ask(
        place[lagged_name(cause, lag)], place[lagged_name(effect, 0)], tuple(sorted(place[name] for name in given))
    )
    return LaggedLink(cause=cause, effect=effect, lag=lag, given=given, answer=answer)


def _effects(lagged: LaggedTable, links: tuple[LaggedLink, ...], plan: LaggedPlan) -> Float[np.ndarray, "cause effect"]:
    """Return the regression of each variable at t on all that acts on it."""
    names = _columns(lagged.variables, plan.n_lags)
    detrended = SpaceTime(detrending=plan.detrending)(lagged.table.value, lagged.table.layout)
    value = detrended.value[:, : len(names)]
    value = value / np.where(value.any(axis=0), value.std(axis=0), 1.0)
    arrow = _drawn(tuple(link for link in links if link.lag and link.answer.p_value <= plan.level), names)
    effect = np.full(arrow.shape, np.nan)
    for j in np.flatnonzero(arrow.any(axis=0)):
        causes = np.flatnonzero(arrow[:, j])
        effect[causes, j] = np.linalg.lstsq(value[:, causes], value[:, j], rcond=None)[0]
    return effect


def _columns(variables: tuple[str, ...], n_lags: int) -> tuple[str, ...]:
    """Return the names of variables at t, t - 1, ..."""
    return tuple(lagged_name(name, lag) for lag in range(n_lags + 1) for name in variables)


def _drawn(links: tuple[LaggedLink, ...], names: tuple[str, ...]) -> Float[np.ndarray, "cause effect"]:
    """Return a matrix with one where there is a link."""
    matrix = np.zeros((len(names), len(names)))
    for link in links:
        matrix[names.index(lagged_name(link.cause, link.lag)), names.index(lagged_name(link.effect, 0))] = 1.0
    return matrix
