"""How often single searches find the same again in images put together anew from blocks of themselves."""

import dataclasses
from functools import partial

import numpy as np

from tusi.causal import CausalTable, Knowledge
from tusi.causal.bootstrap import BlockBootstrap, Search, bootstrap_graph
from tusi.causal.constraint import FCI
from tusi.causal.functional import DirectLingam
from tusi.causal.independence import PartialCorrelation
from tusi.causal.structural import Structure
from tusi.data import CausalGraph
from tusi.execution import Progress
from tusi.study.causes.options import CausesOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stability:
    """Shares of resampled images in which searches that give no probabilities find each relation.

    Attributes
    ----------
    hidden
        FCI.
    shapes
        DirectLiNGAM.
    n_resamples
        How many images were put together.
    """

    hidden: CausalGraph
    shapes: CausalGraph
    n_resamples: int


def stability(
    table: CausalTable,
    *,
    rng: np.random.Generator,
    knowledge: Knowledge,
    options: CausesOptions,
    progress: Progress | None = None,
) -> Stability:
    """Search again in resampled images.

    Long waves are taken out once, before blocks are drawn.

    Parameters
    ----------
    table
        Variables that vary within images.
    rng
        Source of randomness.
    knowledge
        What is known of them.
    options
        Detrending, level and number of resamples.
    progress
        Told of every search that is done.

    Raises
    ------
    InputError
        The images hold too few blocks, or a resampled variable does not vary.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> world = linear_fields(np.array([[0, 0.7], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> found = stability(world, rng=np.random.default_rng(1), knowledge=Knowledge(),
    ...                   options=CausesOptions(long_waves=True, resamples=5))
    >>> found.hidden.connected[0, 1].round(3), found.n_resamples
    (np.float64(1.0), 5)
    """
    rows = Structure.of([], names=table.names, detrending=options.detrending).rows(table)
    blocks = BlockBootstrap(n_resamples=options.resamples)
    searches: tuple[Search, Search] = (
        partial(_fci, knowledge=knowledge, level=options.level),
        partial(DirectLingam().graph_of, knowledge=knowledge),
    )
    hidden, shapes = (
        bootstrap_graph(rows, search, rng=rng, bootstrap=blocks, progress=_told(progress, k, options.resamples))
        for k, search in enumerate(searches)
    )
    return Stability(hidden=hidden, shapes=shapes, n_resamples=options.resamples)


def _fci(table: CausalTable, _: np.random.Generator, *, knowledge: Knowledge, level: float) -> CausalGraph:
    return FCI(test=PartialCorrelation(), level=level).find(table, knowledge=knowledge).graph


def _told(progress: Progress | None, search: int, n_resamples: int) -> Progress | None:
    """Return what counts the first and the second search together."""
    if progress is None:
        return None
    return lambda done, _: progress(search * n_resamples + done, 2 * n_resamples)
