"""Several images, neighbours and movies of known truth: causes within images, between them, across sites, in time."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from tusi.causal import CausalTable
from tusi.datasets.causal_fields import FieldRecipe, random_field
from tusi.errors import InputError
from tusi.inference.spatial import Layout, centred

NEAREST = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4.0
"""Mean of the four nearest sites of a square lattice."""

BURN_IN = 40
"""Frames that are thrown away at the beginning of a movie."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSeries:
    """Images of different composition, in which a cause acts one way within an image and another way between images.

    x = composition + spread * field; y = local * (x - composition) + overall * composition + offset of the image +
    noise * field.

    Attributes
    ----------
    composition
        Mean of the cause in each image.
    local
        Slope within an image.
    overall
        Slope between images.
    offset
        Standard deviation of what else differs between images.
    spread
        Standard deviation of the cause within an image.
    noise
        Standard deviation of the effect's disturbance.
    window
        Whether the composition is that of a specimen, of which each image is a window with a mean of its own; else the
        image has exactly this mean.
    """

    composition: tuple[float, ...] = (0.05, 0.55, 0.78, 0.95)
    local: float = -0.25
    overall: float = 6.0
    offset: float = 0.2
    spread: float = 0.85
    noise: float = 0.3
    window: bool = False


def image_series(series: ImageSeries, recipe: FieldRecipe, *, rng: np.random.Generator) -> CausalTable:
    """Return a table with columns composition, x and y.

    Parameters
    ----------
    series
        What acts on what.
    recipe
        How each field is made.
    rng
        Source of randomness.

    Examples
    --------
    >>> table = image_series(ImageSeries(), FieldRecipe(), rng=np.random.default_rng(0))
    >>> table.names, table.between, bool(np.polyfit(table.column("x"), table.column("y"), 1)[0] > 0)
    (('composition', 'x', 'y'), ('composition',), True)
    """
    n_images = len(series.composition)
    layout = Layout.grid(recipe.shape, n_images=n_images)
    composition = np.array(series.composition)[layout.image]
    own, other = (np.concatenate([random_field(recipe, rng=rng).ravel() for _ in range(n_images)]) for _ in range(2))
    if not series.window:
        own = centred(own, layout=layout)
    offset = series.offset * rng.standard_normal(n_images)
    x = composition + series.spread * own
    y = series.local * (x - composition) + series.overall * composition + offset[layout.image] + series.noise * other
    return CausalTable.of({"composition": composition, "x": x, "y": y}, layout=layout)


def interfering_fields(
    own: float, neighbours: float, recipe: FieldRecipe, *, rng: np.random.Generator, error: float = 0.0
) -> CausalTable:
    """Return x and y on a square lattice: x acts on y at its own site, and on those around it through the mean of four.

    Parameters
    ----------
    own
        Effect of x at the site itself.
    neighbours
        Effect of the mean of x over the four nearest sites.
    recipe
        How x and the disturbance of y are made; the lattice ends at borders unless the recipe is periodic.
    rng
        Source of randomness.
    error
        Standard error with which x is measured, known to the table.

    Examples
    --------
    >>> table = interfering_fields(0.0, 2.0, FieldRecipe(), rng=np.random.default_rng(0))
    >>> bool(abs(np.corrcoef(table.value.T)[0, 1]) < 0.1)
    True
    """
    rows, columns = recipe.shape
    larger = dataclasses.replace(recipe, shape=(rows + 2, columns + 2))
    field = random_field(recipe if recipe.periodic else larger, rng=rng)
    mean = ndimage.convolve(field, NEAREST, mode="wrap")
    if not recipe.periodic:
        field, mean = field[1:-1, 1:-1], mean[1:-1, 1:-1]
    y = own * field + neighbours * mean + random_field(recipe, rng=rng)
    x = field + error * rng.standard_normal(field.shape)
    return CausalTable.of(
        {"x": x.ravel(), "y": y.ravel()}, layout=Layout.grid(recipe.shape), error={"x": error} if error else None
    )


def autoregressive_movie(
    coefficients: Float[np.ndarray, "lag cause effect"], recipe: FieldRecipe, *, n_frames: int, rng: np.random.Generator
) -> CausalTable:
    """Return fields that follow from those of earlier frames, site by site; the images of the table are the frames.

    x_j(t) = sum over lags k = 1, 2, ... and causes i of A_k[i, j] x_i(t - k), plus a random field new in each frame.

    Parameters
    ----------
    coefficients
        Effect of variable i on variable j after 1, 2, ... frames.
    recipe
        How each disturbance is made.
    n_frames
        Number of frames.
    rng
        Source of randomness.

    Examples
    --------
    >>> movie = autoregressive_movie(0.9 * np.eye(2)[None], FieldRecipe(shape=(8, 8)), n_frames=5,
    ...                              rng=np.random.default_rng(0))
    >>> movie.n_images, movie.names
    (5, ('x0', 'x1'))
    """
    n_lags, n_variables, _ = coefficients.shape
    companion = np.eye(n_lags * n_variables, k=n_variables)
    companion[:, :n_variables] = coefficients.reshape(-1, n_variables)
    if np.abs(np.linalg.eigvals(companion)).max() >= 1:
        raise InputError("coefficients", expected="effects that die out in time", got="an unstable system")
    frames: list[np.ndarray] = []
    for _ in range(BURN_IN + n_frames):
        frame = np.stack([random_field(recipe, rng=rng) for _ in range(n_variables)], axis=-1)
        for lag, matrix in enumerate(coefficients[: len(frames)], start=1):
            frame = frame + frames[-lag] @ matrix
        frames.append(frame)
    value = np.concatenate([frame.reshape(-1, n_variables) for frame in frames[BURN_IN:]])
    columns = {f"x{k}": column for k, column in enumerate(value.T)}
    return CausalTable.of(columns, layout=Layout.grid(recipe.shape, n_images=n_frames))
