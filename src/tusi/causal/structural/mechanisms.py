"""How a variable follows from its direct causes: one additive term for each, fitted to rows that carry weights."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from jaxtyping import Float

from tusi.causal.measurement import believable_error
from tusi.errors import InputError
from tusi.inference.spatial import Layout

Intercepts = Literal["image", "common"]
"""Whether each image has its own constant in each equation (fixed effects), or all share one."""

DETERMINED = 1e-10
"""Share of the largest below which an eigenvalue of the causes' correlations says that they determine each other."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """A variable and its direct causes, row by row.

    Attributes
    ----------
    cause, effect
        Values.
    error
        Mean covariance of the measurement errors of the causes and, last, of the effect.
    layout
        Where the rows lie.
    weight
        How often each row counts.
    intercepts
        Whether images have constants of their own.
    names
        Of the causes and, last, of the effect.
    """

    cause: Float[np.ndarray, "row cause"]
    effect: Float[np.ndarray, " row"]
    error: Float[np.ndarray, "variable variable_"]
    layout: Layout
    weight: Float[np.ndarray, " row"]
    intercepts: Intercepts
    names: tuple[str, ...]

    def means(self, columns: Float[np.ndarray, "row *more"]) -> Float[np.ndarray, "image *more"]:
        """Return the weighted mean of columns in each image, or that of all rows for every image."""
        n_images = self.layout.n_images
        group = self.layout.image if self.intercepts == "image" else np.zeros(len(self.effect), dtype=np.int64)
        total = np.bincount(group, weights=self.weight, minlength=n_images)
        flat = columns.reshape(len(columns), -1)
        sums = np.stack([np.bincount(group, self.weight * one, minlength=n_images) for one in flat.T], axis=1)
        out = sums / np.maximum(total, 1e-300)[:, None]
        if self.intercepts == "common":
            out = np.tile(out[:1], (n_images, 1))
        return out.reshape(n_images, *columns.shape[1:])

    def centred(self, columns: Float[np.ndarray, "row *more"]) -> Float[np.ndarray, "row *more"]:
        """Return columns less these means."""
        return columns - self.means(columns)[self.layout.image]

    def spread(self) -> Float[np.ndarray, " cause"]:
        """Return the standard deviation of each cause about these means.

        Raises
        ------
        InputError
            A cause does not vary.
        """
        spread = np.sqrt(self.weight @ self.centred(self.cause) ** 2 / self.weight.sum())
        still = [
            name
            for name, left, size in zip(self.names, spread, np.abs(self.cause).max(axis=0), strict=False)
            if left <= 1e-9 * size or left == 0
        ]
        if still:
            raise InputError(
                "table", expected="causes that vary within the images", got=f"constant {', '.join(still)}",
                then='Compare images with `intercepts="common"`, or leave these causes out.',
            )  # fmt: skip
        return spread


class FittedMechanism(ABC):
    """The function that a fit has found, up to its constant."""

    @abstractmethod
    def __call__(self, cause: Float[np.ndarray, "row cause"]) -> Float[np.ndarray, " row"]:
        """Return the sum of the causes' terms.

        Parameters
        ----------
        cause
            Values of the causes.
        """

    @abstractmethod
    def refit(self, family: Family) -> "FittedMechanism":
        """Return the same choice, its smoothness too, fitted to rows with other weights.

        Parameters
        ----------
        family
            The rows.
        """

    @abstractmethod
    def right_hand_side(self, names: tuple[str, ...]) -> str:
        """Return the sum of terms in writing.

        Parameters
        ----------
        names
            Of the causes.
        """


class Mechanism(ABC):
    """A choice of functions."""

    linear = False
    """Whether linear maps of all variables leave the equations as they are, so that rows may be detrended first."""

    @abstractmethod
    def fit(self, family: Family) -> FittedMechanism:
        """Return the function that fits best.

        Parameters
        ----------
        family
            The rows.
        """

    @abstractmethod
    def basis(self, cause: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row term"]:
        """Return the few functions of one cause by which dependence is looked for, whatever the data.

        Parameters
        ----------
        cause
            Its values.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(Mechanism):
    """Each cause adds a multiple of itself; known errors of the causes are allowed for.

    Least squares after the errors' covariance is taken off that of the values (errors in variables by moments), so that
    a slope is that of the true values and not the attenuated one.

    References
    ----------
    W. A. Fuller, Measurement Error Models (Wiley, 1987), section 2.2.

    Examples
    --------
    >>> Linear()
    Linear()
    """

    linear = True

    def fit(self, family: Family) -> "FittedLinear":
        """Return the slopes."""
        cause, effect = family.centred(family.cause), family.centred(family.effect)
        total = family.weight.sum()
        spread = family.spread()
        cause = cause / spread
        moments = cause.T @ (cause * family.weight[:, None]) / total
        product = cause.T @ (effect * family.weight) / total
        error = family.error[:-1, :-1] / np.outer(spread, spread)
        if family.error.any():
            error = believable_error(error, moments)
            product = product - family.error[:-1, -1] / spread
        slope = np.linalg.pinv(moments - error, rcond=DETERMINED, hermitian=True) @ product
        return FittedLinear(slope=slope / spread)

    def basis(self, cause: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row term"]:
        """Return the cause itself."""
        return cause[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FittedLinear(FittedMechanism):
    """Slopes of the causes.

    Attributes
    ----------
    slope
        In units of the effect by those of each cause.
    """

    slope: Float[np.ndarray, " cause"]

    def __call__(self, cause: Float[np.ndarray, "row cause"]) -> Float[np.ndarray, " row"]:
        """Return the sum of the causes' terms."""
        return cause @ self.slope

    def refit(self, family: Family) -> "FittedLinear":
        """Return the slopes of other rows."""
        return Linear().fit(family)

    def right_hand_side(self, names: tuple[str, ...]) -> str:
        """Return slopes times causes."""
        return " ".join(
            f"{'-' if slope < 0 else '+'} {abs(slope):.3g} {name}"
            for slope, name in zip(self.slope, names, strict=True)
        )
