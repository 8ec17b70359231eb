"""Movies and tracks as tables in which the past of every site stands beside its present."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.causal.knowledge import Knowledge
from tusi.causal.table import CausalTable
from tusi.errors import InputError

MOST_LAGS = 20
"""Lags that make sense; more would be a mistake of units."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LaggedTable:
    """Present and past of the same sites, with what time forbids.

    Attributes
    ----------
    table
        Columns "NAME(t)", "NAME(t-1)", ...; the images are the frames t. Positions are those at t.
    variables
        Names without times.
    n_lags
        Largest lag.
    knowledge
        Nothing acts on anything earlier.
    """

    table: CausalTable
    variables: tuple[str, ...]
    n_lags: int
    knowledge: Knowledge

    def name(self, variable: str, lag: int = 0) -> str:
        """Return the name of a column.

        Parameters
        ----------
        variable
            Without time.
        lag
            In frames before t.
        """
        if variable not in self.variables or not 0 <= lag <= self.n_lags:
            expected = f"one of {', '.join(self.variables)}, and a lag up to {self.n_lags}"
            raise InputError("variable", expected=expected, got=f"{variable}, {lag}")
        return lagged_name(variable, lag)


def lagged_name(variable: str, lag: int) -> str:
    """Return the name of a variable at a lag.

    Parameters
    ----------
    variable
        Without time.
    lag
        In frames before t.

    Examples
    --------
    >>> lagged_name("strain", 0), lagged_name("strain", 2)
    ('strain(t)', 'strain(t-2)')
    """
    return f"{variable}(t-{lag})" if lag else f"{variable}(t)"


def lagged_table(
    movie: CausalTable, *, n_lags: int = 1, track: Int[np.ndarray, " row"] | None = None,
    site_effects: bool = False, contemporaneous: bool = True,
) -> LaggedTable:  # fmt: skip
    """Return the table of every site's present and past.

    Frames are taken as equally far apart in time. A row is a site in a frame in which, and in the `n_lags` frames
    before it, all its values are known; tracks may begin, end and pause.

    Parameters
    ----------
    movie
        The images are the frames, in order.
    n_lags
        Frames to look back.
    track
        Number of the site or atom of each row; rows in the same cell are the same site when not given.
    site_effects
        Whether each site keeps a level of its own, whose mean over all frames is taken off. What is constant in time
        (composition, a defect) then acts on nothing; use it with many frames only, since the mean of few frames knows
        the future.
    contemporaneous
        Whether variables may act on each other within a frame.

    Raises
    ------
    InputError
        A track has two rows in a frame, or no site is seen in enough frames.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> movie = CausalTable.of({"x": np.arange(12.0)}, layout=Layout.grid((2, 2), n_images=3))
    >>> lagged = lagged_table(movie)
    >>> lagged.table.names, lagged.table.value[:2].tolist(), lagged.table.n_images
    (('x(t)', 'x(t-1)'), [[4.0, 0.0], [5.0, 1.0]], 2)
    >>> lagged.knowledge.tiers
    (('x(t-1)',), ('x(t)',))
    """
    if not 1 <= n_lags <= MOST_LAGS:
        raise InputError("n_lags", expected=f"1 to {MOST_LAGS} frames", got=str(n_lags))
    cell = common_cells(movie)
    site = _sites(movie, cell, track)
    if site_effects:
        movie = movie.replace_values(_without_site_means(movie.value, site))
    rows = _rows_at_lags(site, movie.image, n_lags)
    if not rows.shape[1]:
        raise InputError("movie", expected=f"sites that are seen in {n_lags + 1} frames in a row", got="none")
    table = _joined(movie, rows, cell)
    names = [[lagged_name(name, lag) for name in movie.names] for lag in range(n_lags + 1)]
    forbidden = () if contemporaneous else tuple((one, other) for one in names[0] for other in names[0] if one != other)
    return LaggedTable(
        table=table,
        variables=movie.names,
        n_lags=n_lags,
        knowledge=Knowledge(tiers=tuple(tuple(tier) for tier in reversed(names)), forbidden=forbidden),
    )


def common_cells(movie: CausalTable) -> Int[np.ndarray, "row 2"]:
    """Return raster cells that are the same places in all frames.

    Parameters
    ----------
    movie
        The images are the frames.
    """
    return np.floor((movie.position - movie.position.min(axis=0)) / movie.step + 0.5).astype(np.int64)


def _sites(movie: CausalTable, cell: np.ndarray, track: np.ndarray | None) -> Int[np.ndarray, " row"]:
    if track is None:
        site = np.unique(cell @ [cell[:, 1].max() + 1, 1], return_inverse=True)[1].reshape(-1)
    elif len(track) == len(movie):
        site = np.unique(track, return_inverse=True)[1].reshape(-1)
    else:
        raise InputError("track", expected=f"one number for each of {len(movie)} rows", got=str(len(track)))
    if len(np.unique(site * movie.n_images + movie.image)) < len(movie):
        raise InputError(
            "track", expected="one row of a site in a frame", got="several", then="Give a track for each row."
        )
    return site


def _without_site_means(value: Float[np.ndarray, "row variable"], site: np.ndarray) -> np.ndarray:
    sums = np.stack([np.bincount(site, weights=column) for column in value.T], axis=1)
    return value - (sums / np.bincount(site)[:, None])[site]


def _rows_at_lags(site: np.ndarray, frame: np.ndarray, n_lags: int) -> Int[np.ndarray, "lag row"]:
    """Return the rows of the same site now, one frame ago, ..., where all of them are there."""
    place = np.full((frame.max() + 1, site.max() + 1), -1, dtype=np.int64)
    place[frame, site] = np.arange(len(site))
    n_frames = len(place) - n_lags
    if n_frames < 1:
        return np.empty((n_lags + 1, 0), dtype=np.int64)
    rows = np.stack([place[n_lags - lag : n_lags - lag + n_frames].ravel() for lag in range(n_lags + 1)])
    return rows[:, (rows >= 0).all(axis=0)]


def _joined(movie: CausalTable, rows: np.ndarray, cell: np.ndarray) -> CausalTable:
    """Return the table of values at several lags; errors of different frames are independent."""
    n_lags, n_rows = rows.shape
    n_variables = movie.n_variables
    covariance = np.zeros((n_rows, n_lags, n_variables, n_lags, n_variables))
    for lag in range(n_lags):
        covariance[:, lag, :, lag, :] = movie.error_covariance[rows[lag]]
    now = rows[0]
    present, image = np.unique(movie.image[now], return_inverse=True)
    return CausalTable(
        value=np.concatenate([movie.value[rows[lag]] for lag in range(n_lags)], axis=1),
        error_covariance=covariance.reshape(n_rows, n_lags * n_variables, -1),
        position=movie.position[now],
        cell=cell[now],
        image=image.reshape(-1),
        step=movie.step,
        names=tuple(lagged_name(name, lag) for lag in range(n_lags) for name in movie.names),
        units=movie.units * n_lags,
        image_names=tuple(movie.image_names[k] for k in present),
        n_dropped=movie.n_dropped + len(movie) - n_rows,
    )
