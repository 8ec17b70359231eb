"""What differs between images only: judged by the images' means, with as many samples as there are images."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float
from scipy import special

from tusi.causal import CausalTable, Knowledge
from tusi.causal.panel import Slope
from tusi.causal.panel.between import image_means, line_through
from tusi.data import CausalGraph
from tusi.study.causes.effect_maps import LIKELY

FARTHEST, N_STEPS = 9.0, 1801
"""Inverse hyperbolic tangents over which correlations are summed."""

LARGEST = 1 - 1e-9
"""Correlation that is taken at most."""

SAME = 1e-10
"""Share of the square of a variable below which nothing is left of it."""

FEWEST_IMAGES = 3
"""Images below which nothing can be told about what differs between them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetweenImages:
    """What a variable that is the same everywhere in an image does to one that is not, beyond what acts at the sites.

    Attributes
    ----------
    slope
        Between the images' means, after the effects of other variables within images were taken off.
    probability
        That there is any, with even odds beforehand and as many samples as images.
    n_needed
        Images of this kind with which so strong a relation would be seen four times in five; NaN where there is none.
    given
        Other variables that differ between images only, held fixed.
    entangled
        Those that could not be held fixed: there are too few images to tell the variable from them.
    """

    slope: Slope
    probability: float
    n_needed: float
    given: tuple[str, ...] = ()
    entangled: tuple[str, ...] = ()


def related_probability(correlation: float, n_samples: float) -> float:
    """Return the probability that two normal variables are related at all, with even odds before.

    If they are, every correlation from -1 to 1 is equally probable beforehand (Jeffreys).

    Parameters
    ----------
    correlation
        Of the samples.
    n_samples
        How many independent ones; need not be whole, more than two.

    References
    ----------
    H. Jeffreys, Theory of Probability, 3rd ed. (Oxford, 1961), section 5.9; H. Hotelling, J. R. Stat. Soc. B 15, 193
    (1953), for the distribution.

    Examples
    --------
    >>> [round(related_probability(r, 100.0), 2) for r in (0.0, 0.3, 0.5)]
    [0.11, 0.92, 1.0]
    """
    reach = np.linspace(-FARTHEST, FARTHEST, N_STEPS)
    rho = np.tanh(reach)
    r = float(np.clip(correlation, -LARGEST, LARGEST))
    order = n_samples - 0.5
    shape = special.hyp2f1(0.5, 0.5, order, (1 + rho * r) / 2) / special.hyp2f1(0.5, 0.5, order, 0.5)
    ratio = np.log(shape) + 0.5 * (n_samples - 1) * np.log1p(-(rho**2)) - (n_samples - 1.5) * np.log1p(-rho * r)
    odds = special.logsumexp(ratio + np.log1p(-(rho**2)) + np.log(0.5 * (reach[1] - reach[0])))
    return float(special.expit(odds))


def with_image_variables(
    table: CausalTable, graph: CausalGraph, knowledge: Knowledge
) -> tuple[tuple[BetweenImages, ...], CausalGraph]:
    """Judge what differs between images only, and return the graph of all variables.

    The slope of the images' means is that beyond the sites' own effects: those of likely causes within images are taken
    off first (a contextual effect). Other differences between images are taken to have nothing to do with the cause.

    Parameters
    ----------
    table
        All variables.
    graph
        Of those that vary within images.
    knowledge
        What may act on what.

    Returns
    -------
    tuple
        What was judged, and the graph of all variables of the table.

    References
    ----------
    Y. Mundlak, Econometrica 46, 69 (1978).
    """
    names, outer = table.names, table.between
    wide = _widened(graph, names)
    if not outer:
        return (), wide
    allowed, demanded = knowledge.allowed(names), knowledge.demanded(names)
    spread = table.value.std(axis=0)
    arrow, undecided, effect, error = (
        getattr(wide, name).copy() for name in ("arrow", "undecided", "effect", "effect_error")
    )
    found = []
    for cause, name in itertools.product(outer, graph.names):
        i, j = names.index(cause), names.index(name)
        if demanded[i, j]:
            arrow[i, j] = 1.0
            continue
        if not allowed[i, j] or table.n_images < FEWEST_IMAGES:
            continue
        others = tuple(other for other in outer if other != cause and allowed[names.index(other), j])
        one = _between_images(table, graph, (cause, name), others)
        found.append(one)
        if allowed[j, i]:
            undecided[i, j] = undecided[j, i] = one.probability
        else:
            arrow[i, j] = one.probability
        unit = spread[i] / spread[j]
        effect[i, j], error[i, j] = one.slope.estimate * unit, one.slope.standard_error * unit
    return tuple(found), dataclasses.replace(wide, arrow=arrow, undecided=undecided, effect=effect, effect_error=error)


def _between_images(
    table: CausalTable, graph: CausalGraph, pair: tuple[str, str], others: tuple[str, ...]
) -> BetweenImages:
    """Judge the effect of one variable that differs between images only, others held fixed where that can be."""
    cause, name = pair
    effect = table.column(name).copy()
    place = graph.names.index(name)
    inside = [graph.names[k] for k in np.flatnonzero(graph.acts[:, place] >= LIKELY)]
    for one, slope in zip(inside, _slopes_within(table, inside, name), strict=True):
        effect -= slope * table.column(one)
    means = image_means(table.select((cause, *others)).with_columns({name: effect}))
    unknown = Slope.unknown(cause, name, "between images", n_samples=float(table.n_images))
    even = np.ones(table.n_images)
    slope, given = line_through((means[:, 0], means[:, -1]), even, unknown), ()
    freedom = table.n_images - 2 - len(others)
    if others and freedom >= 1:
        left = _left_by(means[:, 1:-1], means[:, [0, -1]])
        partial = line_through((left[:, 0], left[:, 1]), even, unknown, n_given=len(others))
        slope, given = (partial, others) if partial.known else (slope, ())
    ratio = slope.estimate / slope.standard_error if slope.known and slope.standard_error > 0 else 0.0
    correlation = float(ratio / np.sqrt(slope.freedom + ratio**2)) if ratio else 0.0
    needed = len(given) + 3 + ((1.96 + 0.84) / np.arctanh(abs(correlation))) ** 2 if correlation else float("nan")
    return BetweenImages(
        slope=slope, probability=related_probability(correlation, float(table.n_images - len(given))),
        n_needed=float(np.ceil(needed)), given=given, entangled=() if given else others,
    )  # fmt: skip


def _left_by(given: Float[np.ndarray, "image other"], means: Float[np.ndarray, "image 2"]) -> np.ndarray:
    """Return what other variables leave of cause and effect, zero where they leave nothing of the cause."""
    design = np.column_stack([np.ones(len(given)), given])
    left = means - design @ np.linalg.lstsq(design, means, rcond=None)[0]
    size = means - means.mean(axis=0)
    return left * ((left**2).sum(axis=0) > SAME * (size**2).sum(axis=0))


def _slopes_within(table: CausalTable, causes: list[str], effect: str) -> Float[np.ndarray, " cause"]:
    """Return the effects of several variables together within images, by least squares with a level for each image."""
    own = table.select([*causes, effect])
    value = own.value - image_means(own)[own.image]
    return np.linalg.lstsq(value[:, :-1], value[:, -1], rcond=None)[0]


def _widened(graph: CausalGraph, names: tuple[str, ...]) -> CausalGraph:
    """Return the graph over more variables, the others unconnected."""
    places = np.ix_(*[[names.index(name) for name in graph.names]] * 2)
    matrices = {}
    for field in ("arrow", "feedback", "confounded", "undecided", "effect", "effect_error"):
        matrices[field] = np.full((len(names), len(names)), np.nan if field.startswith("effect") else 0.0)
        matrices[field][places] = getattr(graph, field)
    return CausalGraph.of(names=names, method=graph.method, notes=graph.notes, **matrices)
