"""Gaussian spots seen by a scan that does not stand where it should: evaluated at the true place of every pixel."""

import numpy as np
from jaxtyping import Float
from numba import njit

TRUNCATION = 6.5
"""Radius, in widths, beyond which a spot is taken as zero."""

SLACK = 1.1
"""How much larger than a spot its window is, because the scan may be compressed."""


@njit(cache=True, nogil=True, error_model="numpy")
def add_scanned_spots(
    image: Float[np.ndarray, "row column"],
    place: Float[np.ndarray, "2 row column"],
    spots: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    margin: float,
) -> None:
    """Add `amplitude exp(-r^2 / 2 width^2)`, where r is the distance from each pixel's true place to the spot.

    Parameters
    ----------
    image
        Changed in place.
    place
        (y, x) on the specimen at which each pixel was recorded.
    spots
        (y, x) on the specimen, amplitude, width, and the (row, column) near which each spot appears.
    margin
        By how many pixels the spot may appear away from there.
    """
    position, amplitude, width, seen = spots
    n_rows, n_columns = image.shape
    for spot in range(len(position)):
        reach = SLACK * TRUNCATION * width[spot] + margin
        scale = 0.5 / width[spot] ** 2
        for row in range(max(0, int(seen[spot, 0] - reach)), min(n_rows, int(seen[spot, 0] + reach) + 2)):
            for column in range(max(0, int(seen[spot, 1] - reach)), min(n_columns, int(seen[spot, 1] + reach) + 2)):
                d_y, d_x = place[0, row, column] - position[spot, 0], place[1, row, column] - position[spot, 1]
                image[row, column] += amplitude[spot] * np.exp(-scale * (d_y * d_y + d_x * d_x))
