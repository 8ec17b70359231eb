"""Fields with known causes: smooth or rough, periodic or cut out, normal or heavy-tailed, and what acts on what."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import fft, special

from tusi.causal import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Layout

Tail = Literal["normal", "laplace", "student", "uniform"]
"""Distribution of a field's values: normal, Laplace, Student's t with three degrees of freedom, or uniform."""

MARGIN = 6
"""Widths of the smoothing by which a cut-out field is made larger than needed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldRecipe:
    """How a random field is made: white noise, smoothed, then given its distribution point by point.

    Attributes
    ----------
    shape
        Rows and columns of sites.
    smoothing
        Standard deviation of the Gaussian that white noise is smoothed with, in sites.
    periodic
        Whether the field closes on itself, or is a window of a larger one.
    tail
        Distribution of its values.
    """

    shape: tuple[int, int] = (64, 64)
    smoothing: float = 0.0
    periodic: bool = True
    tail: Tail = "normal"

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.smoothing < 0:
            raise InputError("shape", expected="at least one site and smoothing >= 0", got=repr(self))


def random_field(recipe: FieldRecipe, *, rng: np.random.Generator) -> Float[np.ndarray, "y x"]:
    """Return one field with mean zero and variance one over the ensemble.

    Parameters
    ----------
    recipe
        How it is made.
    rng
        Source of randomness.

    Examples
    --------
    >>> field = random_field(FieldRecipe(shape=(32, 48), smoothing=2.0), rng=np.random.default_rng(0))
    >>> field.shape, bool(np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1] > 0.8)
    ((32, 48), True)
    """
    rows, columns = recipe.shape
    margin = 0 if recipe.periodic else int(np.ceil(MARGIN * recipe.smoothing))
    noise = rng.standard_normal((rows + margin, columns + margin))
    if recipe.smoothing:
        noise = _smoothed(noise, recipe.smoothing)
    field = noise[:rows, :columns]
    if recipe.tail == "normal":
        return field
    share = special.ndtr(field)
    if recipe.tail == "laplace":
        return np.where(share < 0.5, np.log(2 * share), -np.log(2 * special.ndtr(-field))) * 2**-0.5
    if recipe.tail == "student":
        return special.stdtrit(3, share) * 3**-0.5
    return 3**0.5 * (2 * share - 1)


def linear_fields(
    coefficients: Float[np.ndarray, "cause effect"],
    recipe: FieldRecipe,
    *,
    rng: np.random.Generator,
    names: tuple[str, ...] = (),
    n_images: int = 1,
) -> CausalTable:
    """Return fields that act on each other linearly, site by site: x = A^T x + e, each disturbance e a random field.

    Parameters
    ----------
    coefficients
        Entry (i, j): direct effect of variable i on variable j, with all eigenvalues inside the unit circle.
    recipe
        How each disturbance is made.
    rng
        Source of randomness.
    names
        Of the variables; x0, x1, ... when not given.
    n_images
        How many independent images.

    Examples
    --------
    >>> table = linear_fields(np.array([[0, 0.5], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> bool(abs(np.polyfit(*table.value.T, 1)[0] - 0.5) < 0.05)
    True
    """
    n_variables = len(coefficients)
    if np.abs(np.linalg.eigvals(coefficients)).max(initial=0.0) >= 1:
        raise InputError("coefficients", expected="eigenvalues inside the unit circle", got="an unstable system")
    disturbance = np.stack(
        [np.concatenate([random_field(recipe, rng=rng).ravel() for _ in range(n_images)]) for _ in range(n_variables)],
        axis=1,
    )
    value = disturbance @ np.linalg.inv(np.eye(n_variables) - coefficients)
    named = names or tuple(f"x{k}" for k in range(n_variables))
    layout = Layout.grid(recipe.shape, n_images=n_images)
    return CausalTable.of(dict(zip(named, value.T, strict=True)), layout=layout)


def _smoothed(noise: np.ndarray, width: float) -> np.ndarray:
    """Return noise smoothed by a periodic Gaussian, its variance kept."""
    y, x = (fft.fftfreq(n)[:, None] if axis == 0 else fft.rfftfreq(n)[None, :] for axis, n in enumerate(noise.shape))
    transfer = np.exp(-2 * (np.pi * width) ** 2 * (y**2 + x**2))
    full = np.exp(-2 * (np.pi * width) ** 2 * (y**2 + fft.fftfreq(noise.shape[1])[None, :] ** 2))
    return fft.irfft2(fft.rfft2(noise) * transfer, noise.shape) / np.sqrt((full**2).mean())
