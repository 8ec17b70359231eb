"""Sums of Gaussian spots on a pixel grid: the one kernel behind every simulated image."""

import numpy as np
from jaxtyping import Float
from numba import njit

TRUNCATION = 6.5
"""Radius, in widths, beyond which a spot is taken as zero: there it has fallen to 7e-10 of its peak."""


@njit(cache=True, nogil=True)
def add_spots(
    image: Float[np.ndarray, "y x"],
    position: Float[np.ndarray, "spot 2"],
    amplitude: Float[np.ndarray, " spot"],
    width: Float[np.ndarray, " spot"],
    row_shift: Float[np.ndarray, " y"],
) -> None:
    """Add `amplitude exp(-r^2 / 2 width^2)` at pixel centres; row y is evaluated at x + row_shift[y]."""
    n_rows, n_columns = image.shape
    for spot in range(len(position)):
        y, x = position[spot]
        reach = TRUNCATION * width[spot]
        scale = 0.5 / width[spot] ** 2
        first = max(0, int(np.ceil(y - reach)))
        last = min(n_rows - 1, int(np.floor(y + reach)))
        profile = np.empty(int(2 * reach) + 2)
        left, right, shift = 0, -1, np.nan
        for row in range(first, last + 1):
            if row_shift[row] != shift:
                shift = row_shift[row]
                left = max(0, int(np.ceil(x - shift - reach)))
                right = min(n_columns - 1, int(np.floor(x - shift + reach)))
                for column in range(left, right + 1):
                    profile[column - left] = np.exp(-scale * (column + shift - x) ** 2)
            height = amplitude[spot] * np.exp(-scale * (row - y) ** 2)
            for column in range(left, right + 1):
                image[row, column] += height * profile[column - left]
