"""What acts on what in a table of places in images: faults first, then every graph, then what could refute it."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import numpy as np

from tusi.causal import CausalTable, Knowledge
from tusi.causal.constraint import FCI
from tusi.causal.functional import DirectLingam
from tusi.causal.independence import PartialCorrelation
from tusi.causal.lint import Finding, lint_table
from tusi.causal.panel import SimpsonCheck, simpson_checks
from tusi.causal.posterior import ExactPosterior, GaussianEvidence, GraphPosterior, effects_given
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.study.capture import captured
from tusi.study.causes.analysis import CausalAnalysis
from tusi.study.causes.between_images import related_probability, with_image_variables
from tusi.study.causes.effect_maps import LIKELY, effect_maps
from tusi.study.causes.model import model_of_causes
from tusi.study.causes.neighbours import actions_of_neighbours
from tusi.study.causes.options import CausesOptions
from tusi.study.causes.outlook import doubtful_arrows, outlook
from tusi.study.causes.stability import Stability, stability

MOST_VARIABLES = 12
"""Variables that vary within images over whose graphs all can be summed in seconds."""

FEWEST_ROWS = 12
"""Rows below which nothing is said."""

N_STEPS = 5
"""Steps that progress is told of."""

CausesProgress = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all)."""


def discover_causes(
    table: CausalTable,
    *,
    rng: np.random.Generator,
    knowledge: Knowledge | None = None,
    options: CausesOptions | None = None,
    meaning: Mapping[str, str] | None = None,
    progress: CausesProgress | None = None,
) -> CausalAnalysis:
    """Say what acts on what in a table, how probably, what could refute it, and what the data cannot decide.

    Faults of the table are looked for first. Then every acyclic graph of the variables that vary within images is
    weighed by its evidence, raised to the power of the effective over the nominal number of samples, after long waves
    were taken out. Beside it stand: FCI, which allows for hidden common causes; DirectLiNGAM, which tells directions
    from the shape of distributions; linear equations on the likely arrows, each of which must beat shifted images,
    random common causes and the other half of the images; and what to set or measure next. With several images, slopes
    within and between them are compared, and variables that only differ between images are judged by as many samples as
    there are images. The probabilities assume that relations are linear, fields stationary, and that nothing acts back.

    Parameters
    ----------
    table
        Two to twelve variables that vary within images, and any that differ between them.
    rng
        Source of randomness of surrogates and simulated experiments; the graph has none.
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
    >>> known = Knowledge(tiers=(("x",), ("y",)))
    >>> found = discover_causes(world, knowledge=known, rng=np.random.default_rng(1))
    >>> [str(edge) for edge in found.graph.edges()], found.model.refutation("x", "y").survived
    (['x -> y (P = 1.00)'], True)
    """
    options, told = options or CausesOptions(), _steps(progress)
    told()
    question = _Question.of(table, knowledge or Knowledge())
    within, known, detrending = question.within, question.known, options.detrending
    evidence = GaussianEvidence(detrending=detrending)
    posterior = ExactPosterior(evidence=evidence).find(within, knowledge=known)
    graph = _with_sizes(_joined_sources(posterior, known), posterior)
    told()
    search = FCI(test=PartialCorrelation(detrending=detrending), level=options.level)
    hidden = captured(lambda: search.find(within, knowledge=known))
    shapes = captured(lambda: DirectLingam(detrending=detrending).find(within, knowledge=known).graph)
    again = captured(lambda: _stability(question, options, rng, progress))
    told()
    model = captured(lambda: model_of_causes(within, graph, detrending=detrending, rng=rng))
    around = actions_of_neighbours(within, graph, detrending=detrending, level=options.level)
    told()
    drawn = hidden.value.graph if hidden.value else CausalGraph.of(names=within.names, method="FCI could not be run")
    doubtful = doubtful_arrows(graph, drawn)
    ahead = outlook(within, posterior, knowledge=known, evidence=evidence, hidden=doubtful, rng=rng)
    told()
    between, wide = with_image_variables(table.select(question.kept), graph, question.of_kept)
    maps = effect_maps(within, wide, most=options.maps)
    levels = _levels(question)
    told()
    steps = {"FCI": hidden, "DirectLiNGAM": shapes, "No resampling": again, "No equations": model}
    return CausalAnalysis(
        table=table, knowledge=knowledge or Knowledge(), options=options, meaning=dict(meaning or {}),
        findings=question.findings, graph=wide, n_effective=posterior.n_effective,
        hidden=drawn, marks=hidden.value.edges() if hidden.value else (), shapes=shapes.value, stability=again.value,
        model=model.value, neighbours=around, outlook=ahead, between=between, levels=levels, maps=maps,
        notes=(*question.notes, *(f"{what}: {step.error}" for what, step in steps.items() if step.error)),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Question:
    """What is asked about: variables that vary and follow from no others, with what is known of them.

    `within` vary within images, `kept` are these and those that differ between images only.
    """

    within: CausalTable
    known: Knowledge
    kept: tuple[str, ...]
    of_kept: Knowledge
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, table: CausalTable, knowledge: Knowledge) -> "_Question":
        knowledge.allowed(table.names)
        _check(table, table.select([name for name in table.names if name not in table.between]))
        findings = lint_table(table)
        kept, notes = _varying(table, findings)
        within = table.select([name for name in kept if name not in table.between])
        _check(table, within)
        return cls(
            within=within, known=_among(knowledge, within.names), kept=kept, of_kept=_among(knowledge, kept),
            findings=findings, notes=notes,
        )  # fmt: skip


def _steps(progress: CausesProgress | None) -> Callable[[], None]:
    """Return what tells of the next step each time it is called."""
    done = itertools.count()
    return lambda: progress("Looking for causes", next(done), N_STEPS) if progress else None


def _stability(
    question: _Question, options: CausesOptions, rng: np.random.Generator, progress: CausesProgress | None
) -> Stability | None:
    """Return how often single searches find the same again, where that was asked."""
    if not options.resamples:
        return None
    told = (lambda done, total: progress("Looking again in resampled images", done, total)) if progress else None
    return stability(question.within, rng=rng, knowledge=question.known, options=options, progress=told)


def _varying(table: CausalTable, findings: tuple[Finding, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variables that are no constants and follow exactly from no others, and what was left out."""
    still = {name for one in findings if one.fault == "constant" for name in one.names}
    notes = [f"{name} is constant and was left out." for name in table.names if name in still]
    dropped: set[str] = set()
    for one in findings:
        if one.fault == "functional dependence" and not dropped & set(one.names):
            dropped.add(one.names[-1])
            notes.append(f"{one.names[-1]} follows exactly from {' and '.join(one.names[:-1])} and was left out.")
    return tuple(name for name in table.names if name not in still | dropped), tuple(notes)


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


def _levels(question: _Question) -> tuple[SimpsonCheck, ...]:
    """Compare slopes within and between several images, of variables that have a scale which images share."""
    within = question.within
    if within.n_images < 2:
        return ()
    allowed, outer = question.of_kept.allowed(question.kept), [name not in within.names for name in question.kept]
    compared = [
        name for name in within.names if not any(outer) or allowed[outer, question.kept.index(name)].any()
    ]  # fmt: skip
    return simpson_checks(within.select(compared), knowledge=_among(question.known, tuple(compared)))


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
    likely = graph.arrow >= LIKELY
    slopes = effects_given(posterior.correlation, posterior.n_effective, arrow=likely)
    effect, error = (
        np.where(likely, new, old) for new, old in zip(slopes, (graph.effect, graph.effect_error), strict=True)
    )
    return dataclasses.replace(graph, effect=effect, effect_error=error)
