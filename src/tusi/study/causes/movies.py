"""What acts on what from frame to frame: links in time that the past of both does not explain."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from tusi.causal import CausalTable
from tusi.causal.lagged import LaggedLink, LaggedPlan, lagged_posterior, lagged_search
from tusi.causal.lint import Finding, lint_table
from tusi.causal.panel import SpaceTime, lagged_table
from tusi.causal.panel.lagged import lagged_name
from tusi.causal.posterior.evidence import MOST_VARIABLES
from tusi.causal.structural import Structure
from tusi.causal.structural.effects import drawn_slopes
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Centring
from tusi.study.capture import captured
from tusi.study.causes.model import true_spread
from tusi.study.causes.words import number, plain, visible_correlation

FEWEST_FRAMES = 4
"""Frames below which nothing is said about what follows what."""

LEAST_P = 1e-4
"""P-value below which none is named."""

LASTING = 0.1
"""Share of a variable that must be left a frame later for it to be said to last."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovieOptions:
    """Choices of `discover_in_time`.

    Attributes
    ----------
    n_lags
        Largest number of frames between cause and effect.
    level
        P-value up to which a link is drawn.
    long_waves
        Whether waves longer than `scale` count in each frame.
    scale
        Shortest wavelength that is taken out, in mean distances between rows.
    site_effects
        Whether each site keeps a level of its own, which takes out what is constant in time; for many frames only.
    """

    n_lags: int = 1
    level: float = 0.01
    long_waves: bool = True
    scale: float = 32.0
    site_effects: bool = False

    @property
    def plan(self) -> LaggedPlan:
        """How links are looked for."""
        detrending = Centring() if self.long_waves else AdaptiveHighPass(scale=self.scale)
        return LaggedPlan(
            n_lags=self.n_lags, level=self.level, site_effects=self.site_effects, detrending=detrending
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MovieCauses:
    """Everything that is said about causes in one movie.

    Attributes
    ----------
    table
        The variables; its images are the frames.
    options
        What was chosen.
    findings
        Faults of the table.
    links
        Everything that was asked, whether or not a link was found.
    graph
        Over variables at t, t - 1, ...: the links that were found, with their effects.
    likely
        Probabilities over all graphs of the same columns; `None` where they are too many.
    notes
        What could not be had, and why.
    made
        How it was made, where a command made it.
    """

    format_name: ClassVar[str] = "movie-causes"

    table: CausalTable
    options: MovieOptions
    findings: tuple[Finding, ...]
    links: tuple[LaggedLink, ...]
    graph: CausalGraph
    likely: CausalGraph | None
    notes: tuple[str, ...]
    made: tuple[tuple[str, str], ...] = ()

    @property
    def found(self) -> tuple[LaggedLink, ...]:
        """Links whose p-value is at most the level, surest first."""
        kept = [link for link in self.links if link.answer.p_value <= self.options.level]
        return tuple(sorted(kept, key=lambda link: link.answer.p_value))

    def strength(self, link: LaggedLink) -> tuple[float, float]:
        """Return the direct effect of a link, in standard deviations, and its standard error.

        Parameters
        ----------
        link
            One of `links`; NaN where none was found or time gives no order.
        """
        names = self.graph.names
        places = names.index(lagged_name(link.cause, link.lag)), names.index(lagged_name(link.effect, 0))
        return float(self.graph.effect[places]), float(self.graph.effect_error[places])

    def probability(self, link: LaggedLink) -> float:
        """Return the probability of a link over all graphs; NaN where they are too many.

        Parameters
        ----------
        link
            One of `links`.
        """
        if self.likely is None:
            return float("nan")
        cause, effect = lagged_name(link.cause, link.lag), lagged_name(link.effect, 0)
        return float(self.likely.connected[self.likely.names.index(cause), self.likely.names.index(effect)])

    @property
    def verdict(self) -> tuple[str, ...]:
        """What can be told and what cannot, in sentences, most important first."""
        return (*_actions(self), *_lasting(self), *_together(self), _limits(self))


def discover_in_time(
    movie: CausalTable,
    *,
    rng: np.random.Generator,
    track: Int[np.ndarray, " row"] | None = None,
    options: MovieOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> MovieCauses:
    """Say which variables act on which at the same site in later frames, and what time does not tell.

    Each link is tested given the past of both its ends, with as many samples as the fields are worth in space and time
    (`lagged_search`); beside it stand the probabilities of links over all graphs (`lagged_posterior`). Nothing acts on
    anything earlier. Assumes that relations are linear and the same in all frames, and that frames are equally far
    apart.

    Parameters
    ----------
    movie
        The images are the frames, in order.
    rng
        Source of randomness of the errors of effects; the links have none.
    track
        Number of the site or atom of each row; rows at the same place are the same site when not given.
    options
        What is asked.
    progress
        Told of every step.

    Raises
    ------
    InputError
        There are too few frames, fewer than two variables that vary within them, or no site is seen in enough frames
        in a row.

    References
    ----------
    J. Runge, P. Nowack, M. Kretschmer, S. Flaxman, D. Sejdinovic, Sci. Adv. 5, eaau4996 (2019).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import autoregressive_movie
    >>> acting = np.array([[[0.8, 0.3], [0.0, 0.8]]])
    >>> movie = autoregressive_movie(acting, FieldRecipe(shape=(12, 12)), n_frames=12, rng=np.random.default_rng(0))
    >>> found = discover_in_time(movie, rng=np.random.default_rng(1))
    >>> print(found.verdict[0].partition(" (")[0])
    X0 acts on x1 one frame later
    """
    options, told = options or MovieOptions(), progress or (lambda _what, _done, _all: None)
    told("Looking for causes in time", 0, 3)
    needed = max(FEWEST_FRAMES, 2 * options.n_lags + 2)
    if movie.n_images < needed:
        raise InputError("movie", expected=f"at least {needed} frames", got=str(movie.n_images))
    findings = lint_table(movie)
    still = [name for name in movie.names if name in movie.between]
    notes = [f"{name} is the same everywhere in each frame and was left out." for name in still]
    moving = movie.select([name for name in movie.names if name not in still])
    if moving.n_variables < 2:
        got = ", ".join(moving.names) or "none"
        raise InputError("movie", expected="at least two variables that vary within the frames", got=got)
    told("Looking for causes in time", 1, 3)
    search = lagged_search(moving, plan=options.plan, track=track)
    told("Looking for causes in time", 2, 3)
    likely = None
    if moving.n_variables * (options.n_lags + 1) <= MOST_VARIABLES:
        posterior = captured(
            lambda: lagged_posterior(
                moving, n_lags=options.n_lags, track=track, site_effects=options.site_effects,
                detrending=options.plan.detrending,
            ).graph
        )  # fmt: skip
        likely = posterior.value
        notes += [f"No probabilities: {posterior.error}"] if posterior.error else []
    else:
        notes.append(f"No probabilities: more than {MOST_VARIABLES} columns.")
    told("Looking for causes in time", 3, 3)
    return MovieCauses(
        table=movie, options=options, findings=findings, links=search.links,
        graph=_with_sizes(search.graph, moving, track, options, rng), likely=likely,
        notes=tuple(notes),
    )  # fmt: skip


def _with_sizes(
    graph: CausalGraph, movie: CausalTable, track: np.ndarray | None, options: MovieOptions, rng: np.random.Generator
) -> CausalGraph:
    """Return the graph with its effects in standard deviations of the values without error, and their errors."""
    lagged = lagged_table(movie, n_lags=options.n_lags, track=track, site_effects=options.site_effects)
    structure = Structure.of(graph, detrending=SpaceTime(detrending=options.plan.detrending))
    slope, drawn = drawn_slopes(lagged.table, structure, rng=rng)
    spread = true_spread(structure.rows(lagged.table))
    unit = spread[:, None] / spread[None, :]
    effect, error = (np.where(structure.arrow, value * unit, np.nan) for value in (slope[0], drawn.std(axis=0)))
    return dataclasses.replace(graph, effect=effect, effect_error=error)


def _actions(found: MovieCauses) -> list[str]:
    """Say what acts on something else later."""
    actions = [link for link in found.found if link.lag and link.cause != link.effect]
    if not actions:
        asked = [link for link in found.links if link.lag and link.cause != link.effect]
        worth = min((link.answer.n_effective for link in asked), default=float("nan"))
        seen = visible_correlation(worth)
        return [
            f"Nothing is seen to act on anything else up to {_frames(found.options.n_lags)} later: {len(found.table)} "
            f"rows worth {worth:.0f} independent ones, in which a partial correlation of {seen:.2f} would be seen four "
            "times in five."
        ]
    said = []
    for link in actions:
        probability = found.probability(link)
        sure = f", P = {probability:.2f}" if np.isfinite(probability) else ""
        strength, error = found.strength(link)
        size = f"{strength:+.2f} ± {error:.2f}".replace("-", "\N{MINUS SIGN}")
        said.append(
            f"{plain(link.cause)} acts on {plain(link.effect)} {_frames(link.lag)} later ({size} standard deviations "
            f"for one, {_p_value(link.answer.p_value)}{sure})"
        )
    return [f"{one[0].upper()}{one[1:]}." for one in said]


def _lasting(found: MovieCauses) -> list[str]:
    """Say what lasts from frame to frame."""
    own = {link.cause: found.strength(link)[0] for link in found.found if link.lag == 1 and link.cause == link.effect}
    lasting = [f"{plain(name)} ({left:.2f})" for name, left in own.items() if left > LASTING]
    return [f"Of what is there, this much is left one frame later: {', '.join(lasting)}."] if lasting else []


def _together(found: MovieCauses) -> list[str]:
    """Say what changes together within a frame."""
    pairs = [f"{plain(link.cause)} and {plain(link.effect)}" for link in found.found if not link.lag]
    if not pairs:
        return []
    return [
        f"Within one frame {'; '.join(pairs)} change together: faster frames would tell which comes first, or whether "
        "something else moves both."
    ]


def _limits(found: MovieCauses) -> str:
    return (
        f"{found.table.n_images} frames tell before from after. A hidden cause that acts on one variable sooner "
        "than on another looks like an action of the one on the other."
    )


def _p_value(value: float) -> str:
    return f"p = {value:.2g}" if value >= LEAST_P else f"p < {LEAST_P:g}"


def _frames(count: int) -> str:
    return f"{number(count)} frame{'s' * (count > 1)}"
