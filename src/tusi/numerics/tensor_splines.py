"""Smooth fields on an image as products of cubic B-splines along its two axes, and least squares for them."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

NUGGET = 1e-3
"""Share of the prior variance of each coefficient that it does not share with its neighbours."""


def spline_matrix(
    point: Float[np.ndarray, " point"], *, size: int, n_intervals: int
) -> Float[np.ndarray, "point node"]:
    """Return the value of each cubic B-spline at these points of an axis with `size` pixels.

    The axis from its first to its last pixel is cut into equal intervals; there are three more splines than intervals,
    and their sum is one everywhere. No interval gives one constant function.

    Examples
    --------
    >>> spline_matrix(np.array([0.0, 4.0]), size=9, n_intervals=2).sum(axis=1).round(12).tolist()
    [1.0, 1.0]
    """
    if n_intervals == 0:
        return np.ones((len(point), 1))
    step = (size - 1) / n_intervals
    knots = step * np.arange(-3, n_intervals + 4)
    inside = np.clip(point, 0.0, (size - 1) * (1 - 1e-12))
    return BSpline.design_matrix(inside, knots, 3).toarray()


@dataclasses.dataclass(frozen=True, eq=False)
class TensorSplines:
    """The basis on the pixels of one image shape.

    Attributes
    ----------
    along_y, along_x
        Each spline at each row, and at each column.
    """

    along_y: Float[np.ndarray, "y node_y"]
    along_x: Float[np.ndarray, "x node_x"]

    @classmethod
    def over(cls, shape: tuple[int, int], n_intervals: tuple[int, int]) -> "TensorSplines":
        """Return the basis with so many equal intervals along y and x."""
        return cls(
            *(
                spline_matrix(np.arange(size, dtype=np.float64), size=size, n_intervals=n)
                for size, n in zip(shape, n_intervals, strict=True)
            )
        )

    @property
    def n_functions(self) -> int:
        """Number of products."""
        return self.along_y.shape[1] * self.along_x.shape[1]

    def field(self, coefficient: Float[np.ndarray, " function"]) -> Float[np.ndarray, "y x"]:
        """Return the field of these coefficients."""
        return self.along_y @ coefficient.reshape(self.along_y.shape[1], -1) @ self.along_x.T

    def projection(self, image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " function"]:
        """Return the sum over pixels of the image times each function."""
        return (self.along_y.T @ image @ self.along_x).ravel()

    def products(self, weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "function function_"]:
        """Return the weighted sum over pixels of each pair of functions."""
        n_y, n_x = self.along_y.shape[1], self.along_x.shape[1]
        pairs_y = (self.along_y[:, :, None] * self.along_y[:, None, :]).reshape(len(self.along_y), -1)
        pairs_x = (self.along_x[:, :, None] * self.along_x[:, None, :]).reshape(len(self.along_x), -1)
        table = (pairs_y.T @ (weight @ pairs_x)).reshape(n_y, n_y, n_x, n_x)
        return table.transpose(0, 2, 1, 3).reshape(n_y * n_x, n_y * n_x)

    def row_products(self, weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "function y"]:
        """Return the weighted sum over each row of each function."""
        along_rows = weight @ self.along_x
        return (self.along_y[:, :, None] * along_rows[:, None, :]).reshape(len(weight), -1).T

    def smoothness(self, length: float) -> Float[np.ndarray, "function function_"]:
        """Return the inverse covariance, for variance one, of coefficients that keep their value over `length` nodes.

        The covariance between nodes is exp(-r^2 / 2 length^2) with a small share of independent variance; the constant
        is free, so that the matrix has rank one less than its size.
        """
        n_y, n_x = self.along_y.shape[1], self.along_x.shape[1]
        node = np.stack(np.meshgrid(np.arange(n_y), np.arange(n_x), indexing="ij"), axis=-1).reshape(-1, 2)
        squared = ((node[:, None] - node[None]) ** 2).sum(axis=-1)
        covariance = (1 - NUGGET) * np.exp(-squared / (2 * length**2)) + NUGGET * np.eye(len(node))
        precision = np.linalg.inv(covariance)
        summed = precision.sum(axis=0)
        return precision - np.outer(summed, summed) / summed.sum()
