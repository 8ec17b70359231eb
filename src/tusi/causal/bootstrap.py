"""How sure a search is: the same search on images that were put together anew from blocks of themselves."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.execution import Executor, Progress, SerialExecutor
from tusi.inference.spatial import PairLags, centred

Search = Callable[[CausalTable, np.random.Generator], CausalGraph]
"""From a table to a graph; a module-level function, or a `functools.partial` of one, where workers are to run it."""

LENGTHS = 8.0
"""Side of a block in correlation lengths of the smoothest variable: shorter ones cut too many relations in two."""

LEAST_CORRELATION = 0.2
"""Correlation below which a lag is not counted: mostly noise, which would make fields look smoother than they are."""

NEAR = 0.125
"""Lags that are looked at, in sides of the padded raster: a quarter of the image."""

LEAST_BLOCKS = 16
"""Blocks in all below which resampling cannot tell how sure a search is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockBootstrap:
    """Resampling of square blocks, which keeps the correlation of neighbours.

    Attributes
    ----------
    n_resamples
        How often.
    side
        Of a block, in raster cells; eight correlation lengths of the smoothest variable when not given.

    References
    ----------
    S. N. Lahiri, Resampling Methods for Dependent Data (Springer, 2003), chapter 12.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> table = CausalTable.of({"x": np.arange(64.0)}, layout=Layout.grid((8, 8)))
    >>> again = BlockBootstrap(side=2).resample(table, rng=np.random.default_rng(0))
    >>> len(again), bool(set(again.value[:, 0]) <= set(range(64)))
    (64, True)
    """

    n_resamples: int = 100
    side: int | None = None

    def __post_init__(self) -> None:
        if self.n_resamples < 2:
            raise InputError("n_resamples", expected="at least 2", got=str(self.n_resamples))
        if self.side is not None and self.side < 1:
            raise InputError("side", expected="at least one cell", got=str(self.side))

    def resample(self, table: CausalTable, *, rng: np.random.Generator) -> CausalTable:
        """Return a table of as many blocks, drawn with replacement within each image and laid side by side.

        Parameters
        ----------
        table
            The rows.
        rng
            Source of randomness.

        Raises
        ------
        InputError
            The images hold too few blocks of this size.
        """
        rows, cells = zip(*self._drawn(table, rng), strict=True)
        taken, cell = np.concatenate(rows), np.concatenate(cells)
        return dataclasses.replace(table[taken], cell=cell, position=cell * table.step)

    def counts(self, table: CausalTable, *, rng: np.random.Generator) -> Int[np.ndarray, " row"]:
        """Return how often each row is in a table of blocks, for estimators that take weights.

        Parameters
        ----------
        table
            The rows.
        rng
            Source of randomness.

        Raises
        ------
        InputError
            The images hold too few blocks of this size.
        """
        return np.bincount(np.concatenate([rows for rows, _ in self._drawn(table, rng)]), minlength=len(table))

    def with_side(self, table: CausalTable) -> "BlockBootstrap":
        """Return the same with the side that a table needs, where none is given.

        Parameters
        ----------
        table
            The rows.
        """
        return self if self.side else dataclasses.replace(self, side=block_side(table))

    def n_blocks(self, table: CausalTable) -> int:
        """Return how many blocks the images of a table hold.

        Parameters
        ----------
        table
            The rows.
        """
        side, layout = self.side or block_side(table), table.layout
        return int(sum(np.prod(np.array(layout.shape(image)) / side) for image in range(table.n_images)))

    def _drawn(self, table: CausalTable, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return rows of blocks for each image, and the cells where they are laid."""
        plan = self.with_side(table)
        assert plan.side is not None
        n_blocks = plan.n_blocks(table)
        if n_blocks < LEAST_BLOCKS:
            raise InputError(
                "side", expected=f"blocks so small that the images hold at least {LEAST_BLOCKS} blocks",
                got=f"{n_blocks} of {plan.side} cells",
                then="Take out long waves first (AdaptiveHighPass), give more images, or, for effects, use linear "
                     "equations, whose intervals need no blocks.",
            )  # fmt: skip
        out = []
        for image in range(table.n_images):
            own = table.layout.rows(image)
            drawn, laid = _blocks(table.cell[own], plan.side, rng)
            out.append((own[drawn], laid))
        return out


def bootstrap_graph(
    table: CausalTable,
    search: Search,
    *,
    rng: np.random.Generator,
    bootstrap: BlockBootstrap | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> CausalGraph:
    """Return a graph whose probabilities are the shares of resampled images in which a search finds each relation.

    Parameters
    ----------
    table
        The variables; trends are best taken out before.
    search
        What is run on each resample.
    rng
        Source of randomness.
    bootstrap
        How images are resampled.
    executor
        Where searches run; the result does not depend on it.
    progress
        Told of every search that is done.

    Returns
    -------
    CausalGraph
        Effects are means over the resamples in which the arrow was found, errors their standard deviation.

    Raises
    ------
    InputError
        The images hold too few blocks.

    References
    ----------
    N. Friedman, M. Goldszmidt and A. Wyner, Uncertainty in Artificial Intelligence 15, 196 (1999).

    Examples
    --------
    >>> from tusi.causal.posterior import ExactPosterior
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> table = linear_fields(np.array([[0, 0.7], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> search = lambda table, rng: ExactPosterior().find(table).graph
    >>> plan = BlockBootstrap(n_resamples=4)
    >>> float(bootstrap_graph(table, search, rng=np.random.default_rng(1), bootstrap=plan).connected[0, 1].round(3))
    1.0
    """
    plan = (bootstrap or BlockBootstrap()).with_side(table)
    once = partial(_search_once, table, search, plan)
    graphs = (executor or SerialExecutor()).map(once, range(plan.n_resamples), rng=rng, progress=progress)
    first = graphs[0]
    shares = {
        name: np.mean([getattr(graph, name) for graph in graphs], axis=0)
        for name in ("arrow", "feedback", "confounded", "undecided")
    }
    effects = np.ma.masked_invalid([np.where(graph.acts > 0, graph.effect, np.nan) for graph in graphs])
    return CausalGraph.of(
        names=first.names,
        method=f"{first.method}; {plan.n_resamples} images from blocks of {plan.side} cells",
        notes=first.notes,
        effect=effects.mean(axis=0).filled(np.nan),
        effect_error=effects.std(axis=0).filled(np.nan),
        **shares,
    )


def block_side(table: CausalTable) -> int:
    """Return eight correlation lengths of a table's smoothest variable, in raster cells.

    The correlation length is that of the Gaussian smoothing of white noise that leaves as many independent samples.

    Parameters
    ----------
    table
        The variables.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> recipes = [FieldRecipe(smoothing=width) for width in (0.0, 2.0)]
    >>> [block_side(linear_fields(np.zeros((1, 1)), one, rng=np.random.default_rng(0))) for one in recipes]
    [4, 17]
    """
    lags = PairLags(table.layout)
    widths = [correlation_length(centred(column, layout=table.layout), lags=lags) for column in table.value.T]
    return max(int(np.ceil(LENGTHS * max(widths, default=0.0))), 4)


def correlation_length(value: Float[np.ndarray, " row"], *, lags: PairLags) -> float:
    """Return the width of the Gaussian smoothing of white noise that leaves as many independent samples, in cells.

    Parameters
    ----------
    value
        A field about its mean.
    lags
        Pairs of its rows.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, random_field
    >>> from tusi.inference.spatial import Layout
    >>> field = random_field(FieldRecipe(shape=(96, 96), smoothing=3.0), rng=np.random.default_rng(0))
    >>> round(correlation_length(field.ravel(), lags=PairLags(Layout.grid((96, 96)))))
    3
    """
    sums = lags.sums(value)
    variance = sum(one[0, 0] for one in sums) / len(lags.layout)
    if not variance > 0:
        return 0.0
    areas = []
    for own, share in zip(sums, lags.share, strict=True):
        near = np.ix_(*[np.abs(np.fft.fftfreq(n)) < NEAR for n in own.shape])
        correlation = (own * share)[near] / variance
        areas.append((correlation[correlation > LEAST_CORRELATION] ** 2).sum())
    return float(np.sqrt(max(np.mean(areas) - 1.0, 0.0) / (2 * np.pi)))


def _blocks(
    cell: Int[np.ndarray, "row 2"], side: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " drawn"], Int[np.ndarray, "drawn 2"]]:
    """Return rows of blocks drawn anywhere in an image, and the cells where they are laid."""
    shape = cell.max(axis=0) + 1
    reach = np.maximum(shape - side, 0)
    rows, cells = [], []
    for place in np.ndindex(*(-(-shape // side))):
        offset = np.array(place) * side - rng.integers(0, reach + 1)
        laid = cell + offset
        low = np.array(place) * side
        kept = ((laid >= low) & (laid < np.minimum(low + side, shape))).all(axis=1)
        rows.append(np.flatnonzero(kept))
        cells.append(laid[kept])
    return np.concatenate(rows), np.concatenate(cells)


def _search_once(
    table: CausalTable, search: Search, plan: BlockBootstrap, _: int, rng: np.random.Generator
) -> CausalGraph:
    return search(plan.resample(table, rng=rng), rng)
