"""Whether likely causes act at their own site or of neighbouring ones, where images can tell."""

from tusi.causal import CausalTable
from tusi.causal.panel import Interference, WithinRadius, interference, with_neighbour_means
from tusi.data import CausalGraph
from tusi.inference.spatial import Detrending
from tusi.inference.spatial.layout import spacing_of
from tusi.study.capture import captured
from tusi.study.causes.effect_maps import likely_arrows

REACH = 1.4
"""How far neighbours lie at most, in median distances to the nearest one; short of the diagonal of a square."""


def actions_of_neighbours(
    table: CausalTable, graph: CausalGraph, *, detrending: Detrending, level: float
) -> tuple[Interference, ...]:
    """Ask of every likely arrow whether it starts at the site itself or around it.

    Parameters
    ----------
    table
        Variables that vary within images, with positions.
    graph
        What acts on what among them.
    detrending
        What is taken out first.
    level
        P-value up to which something is said to act.

    Returns
    -------
    tuple[Interference, ...]
        None for rows without places, or where too few have all their neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import interfering_fields
    >>> from tusi.inference.spatial import Centring
    >>> world = interfering_fields(0.0, 0.7, FieldRecipe(shape=(32, 32), smoothing=0.5), rng=np.random.default_rng(0))
    >>> graph = CausalGraph.of_arrows({("x", "y"): 1.0}, names=("x", "y"))
    >>> [one.origin for one in actions_of_neighbours(world, graph, detrending=Centring(), level=0.01)]
    ['neighbours']
    """
    arrows = likely_arrows(graph, table.names)
    if not arrows or not has_places(table):
        return ()
    causes = tuple(dict.fromkeys(cause for cause, _ in arrows))
    neighbourhood = WithinRadius(radius=REACH * spacing_of(table.position, table.image))
    around = captured(lambda: with_neighbour_means(table, causes, neighbourhood=neighbourhood))
    if around.value is None:
        return ()
    return tuple(
        interference(around.value, cause=cause, effect=effect, level=level, detrending=detrending)
        for cause, effect in arrows
    )


def has_places(table: CausalTable) -> bool:
    """Return whether rows lie in a plane, not one behind the other.

    Parameters
    ----------
    table
        The rows.
    """
    return bool(table.cell.any(axis=0).all())
