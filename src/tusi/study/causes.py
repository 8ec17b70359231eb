"""What acts on what in a table of places in images: faults first, then every graph, then what levels and maps add."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from tusi.causal import CausalTable, Knowledge
from tusi.causal.constraint import FCI
from tusi.causal.independence import PartialCorrelation
from tusi.causal.lint import Finding, lint_table
from tusi.causal.panel import SimpsonCheck, simpson_checks
from tusi.causal.posterior import ExactPosterior, GaussianEvidence, GraphPosterior, slopes_given
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Centring, Detrending
from tusi.study.between_images import BetweenImages, related_probability, with_image_variables
from tusi.study.capture import captured
from tusi.study.causal_words import verdict_of
from tusi.study.effect_maps import LIKELY, EffectMap, effect_maps

MOST_VARIABLES = 12
"""Variables that vary within images over whose graphs all can be summed in seconds."""

FEWEST_ROWS = 12
"""Rows below which nothing is said."""

CausesProgress = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausesOptions:
    """Choices of `discover_causes`.

    Attributes
    ----------
    long_waves
        Whether waves longer than `scale` count. Thickness, tilt and contamination act on everything and are such
        waves; without them most of smooth fields can be used, too.
    scale
        Shortest wavelength that is taken out, in mean distances between rows.
    level
        P-value of a question above which FCI takes two variables for independent, and of the Simpson check.
    maps
        Largest number of effects of which a map is made.
    """

    long_waves: bool = False
    scale: float = 32.0
    level: float = 0.01
    maps: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise InputError("level", expected="a p-value between 0 and 1", got=str(self.level))
        if self.maps < 0:
            raise InputError("maps", expected="0 or more", got=str(self.maps))

    @property
    def detrending(self) -> Detrending:
        """What is taken out of all variables first."""
        return Centring() if self.long_waves else AdaptiveHighPass(scale=self.scale)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CausalAnalysis:
    """Everything that is said about causes in one table.

    Attributes
    ----------
    table
        The variables.
    knowledge
        What was known before.
    options
        What was chosen.
    meaning
        What each variable is, in words.
    findings
        Faults of the table.
    graph
        Probabilities of what holds between every two variables. Within images they are those of the exact posterior
        over acyclic graphs; arrows from a variable that is the same everywhere in an image come from the images' means
        alone; two variables that neither act on each other nor have a cause in the table are joined by a hidden
        common cause with the probability that they are related at all.
    n_effective
        Independent samples that the rows within images are worth.
    hidden
        What FCI finds, which allows for hidden common causes; stands beside `graph` and is not mixed into it.
    marks
        Its edges as it draws them.
    between
        Effects of variables that are the same everywhere in an image.
    levels
        Slopes within images against those between them.
    maps
        Where in the images effects are strong or weak.
    notes
        What could not be had, and why.
    made
        How it was made, where a command made it: names of facts with what belongs to them.
    """

    format_name: ClassVar[str] = "causal-analysis"

    table: CausalTable
    knowledge: Knowledge
    options: CausesOptions
    meaning: Mapping[str, str]
    findings: tuple[Finding, ...]
    graph: CausalGraph
    n_effective: float
    hidden: CausalGraph
    marks: tuple[str, ...]
    between: tuple[BetweenImages, ...]
    levels: tuple[SimpsonCheck, ...]
    maps: tuple[EffectMap, ...]
    notes: tuple[str, ...]
    made: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> tuple[str, ...]:
        """What can be told and what cannot, in sentences, most important first."""
        return verdict_of(self)


def discover_causes(
    table: CausalTable,
    *,
    knowledge: Knowledge | None = None,
    options: CausesOptions | None = None,
    meaning: Mapping[str, str] | None = None,
    progress: CausesProgress | None = None,
) -> CausalAnalysis:
    """Say what acts on what in a table, how probably, and what the data cannot decide.

    Faults of the table are looked for first. Then every acyclic graph of the variables that vary within images is
    weighed by its evidence, raised to the power of the effective over the nominal number of samples, after long waves
    were taken out. FCI is asked what would hold if common causes were hidden. With several images, slopes within and
    between them are compared, and variables that only differ between images are judged by as many samples as there are
    images. Nothing here is random. Assumes that relations are linear, fields stationary, and that nothing acts back.

    Parameters
    ----------
    table
        Two to twelve variables that vary within images, and any that differ between them.
    knowledge
        What is known before.
    options
        What is asked.
    meaning
        What each variable is, in words.
    progress
        Told of every step.

    Raises
    ------
    InputError
        There are too few rows, fewer than two or more than twelve variables that vary within images, or knowledge
        that contradicts itself.

    References
    ----------
    J. Pearl, Causality (Cambridge, 2009). P. Spirtes, C. Glymour, R. Scheines, Causation, Prediction, and Search
    (MIT Press, 2000).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> effects = np.array([[0, 0.6], [0, 0]])
    >>> world = linear_fields(effects, FieldRecipe(smoothing=1.0), rng=np.random.default_rng(0), names=("x", "y"))
    >>> found = discover_causes(world, knowledge=Knowledge(tiers=(("x",), ("y",))))
    >>> [str(edge) for edge in found.graph.edges()]
    ['x -> y (P = 1.00)']
    """
    options, given = options or CausesOptions(), knowledge or Knowledge()
    given.allowed(table.names)
    told = progress or (lambda _what, _done, _all: None)
    told("Looking for causes", 0, 5)
    _check(table, table.select([name for name in table.names if name not in table.between]))
    findings = lint_table(table)
    kept, notes = _varying(table, findings)
    within = table.select([name for name in kept if name not in table.between])
    _check(table, within)
    known = _among(given, within.names)
    told("Looking for causes", 1, 5)
    evidence = GaussianEvidence(detrending=options.detrending)
    posterior = ExactPosterior(evidence=evidence).find(within, knowledge=known)
    told("Looking for causes", 2, 5)
    test = PartialCorrelation(detrending=options.detrending)
    search = captured(lambda: FCI(test=test, level=options.level).find(within, knowledge=known))
    notes += [f"FCI: {search.error}"] if search.error else []
    told("Looking for causes", 3, 5)
    graph = _with_sizes(_joined_sources(posterior, known), posterior)
    between, graph = with_image_variables(table.select(kept), graph, _among(given, kept))
    several = table.n_images > 1
    compared = within.select(_compared(table, given, within.names))
    levels = simpson_checks(compared, knowledge=_among(known, compared.names)) if several else ()
    told("Looking for causes", 4, 5)
    maps = effect_maps(within, graph, most=options.maps)
    told("Looking for causes", 5, 5)
    return CausalAnalysis(
        table=table,
        knowledge=given,
        options=options,
        meaning=dict(meaning or {}),
        findings=findings,
        graph=graph,
        n_effective=posterior.n_effective,
        hidden=search.value.graph if search.value is not None else CausalGraph.of(
            names=within.names, method="FCI could not be run"
        ),
        marks=search.value.edges() if search.value is not None else (),
        between=between,
        levels=levels,
        maps=maps,
        notes=tuple(notes),
    )  # fmt: skip


def _varying(table: CausalTable, findings: tuple[Finding, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Return the variables that are no constants and follow exactly from no others, and what was left out."""
    still = {name for one in findings if one.fault == "constant" for name in one.names}
    notes = [f"{name} is constant and was left out." for name in table.names if name in still]
    dropped: set[str] = set()
    for one in findings:
        if one.fault == "functional dependence" and not dropped & set(one.names):
            dropped.add(one.names[-1])
            notes.append(f"{one.names[-1]} follows exactly from {' and '.join(one.names[:-1])} and was left out.")
    return tuple(name for name in table.names if name not in still | dropped), notes


def _check(table: CausalTable, within: CausalTable) -> None:
    """Refuse what no method could use."""
    if len(table) < FEWEST_ROWS:
        raise InputError("table", expected=f"at least {FEWEST_ROWS} complete rows", got=str(len(table)))
    if within.n_variables < 2:
        got = ", ".join(within.names) or "none"
        raise InputError("table", expected="at least two variables that vary within the images", got=got)
    if within.n_variables > MOST_VARIABLES:
        raise InputError(
            "table", expected=f"at most {MOST_VARIABLES} variables that vary within the images",
            got=str(within.n_variables), then="Choose those that could act on each other.",
        )  # fmt: skip


def _among(knowledge: Knowledge, names: tuple[str, ...]) -> Knowledge:
    """Return what is known about these variables."""

    def pairs(given: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in given if set(pair) <= set(names))

    tiers = tuple(tuple(name for name in tier if name in names) for tier in knowledge.tiers)
    return Knowledge(
        tiers=tuple(tier for tier in tiers if tier),
        forbidden=pairs(knowledge.forbidden),
        required=pairs(knowledge.required),
        exogenous=tuple(name for name in knowledge.exogenous if name in names),
    )


def _compared(table: CausalTable, knowledge: Knowledge, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables on which what differs between images may act: others have no scale that images share."""
    allowed = knowledge.allowed(table.names)
    outer = [table.number(name) for name in table.between]
    return tuple(name for name in names if not outer or allowed[outer, table.number(name)].any())


def _joined_sources(posterior: GraphPosterior, knowledge: Knowledge) -> CausalGraph:
    """Return the graph in which variables without a cause in the table are joined as likely as they are related."""
    graph = posterior.graph
    sources = np.flatnonzero(~knowledge.allowed(posterior.names).any(axis=0))
    if len(sources) < 2:
        return graph
    confounded = graph.confounded.copy()
    for i, j in itertools.combinations(sources, 2):
        probability = related_probability(float(posterior.correlation[i, j]), posterior.n_effective + 1)
        confounded[i, j] = confounded[j, i] = probability
    return dataclasses.replace(graph, confounded=confounded)


def _with_sizes(graph: CausalGraph, posterior: GraphPosterior) -> CausalGraph:
    """Return the graph with effects that were not averaged over all graphs estimated given the likely causes."""
    if np.isfinite(graph.effect[graph.arrow >= LIKELY]).all():
        return graph
    effect, error = graph.effect.copy(), graph.effect_error.copy()
    for j in range(len(posterior.names)):
        causes = np.flatnonzero(graph.arrow[:, j] >= LIKELY)
        slope, variance = slopes_given(posterior.correlation, posterior.n_effective, causes=causes, effect=j)
        effect[causes, j], error[causes, j] = slope, np.sqrt(variance)
    return dataclasses.replace(graph, effect=effect, effect_error=error)
