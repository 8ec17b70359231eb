"""Colours: perceptually even, readable on white and on black, the same meaning in every figure."""

import numpy as np
from jaxtyping import Float
from matplotlib.colors import ListedColormap

INK = "#1b1b1e"
"""Axes and text."""

SOFT = "#73757d"
"""Secondary text, ticks, and what a null hypothesis draws."""

RULE = "#cfd1d7"
"""Grid lines and bands."""

PAPER = "#fffffe"
"""What lies under the figure."""

MODELS = {"random": "#8a8d96", "P1": "#3f7fd6", "P2": "#c98a1b", "M": "#b0559f"}
"""Colour of each model."""

CLASSES = ("#2f7cc4", "#e0633a", "#4a9a5b", "#9a6fc0", "#b8902a")
"""Colours of species one after the other; the first two are the ends of the species map."""

SURE = 0.95
"""Probability from which a species is drawn as certain."""


def model_colour(name: str) -> str:
    """Return the colour of a model; unknown ones share one."""
    return MODELS.get(name, "#3a9a8f")


def species_map(n_colours: int = 256) -> ListedColormap:
    """Return the diverging map of a probability: one species, pale where undecided, the other species.

    It runs straight from either end to a light middle in the OKLab space, where equal steps look equal; the middle
    stands out against a grey image.

    Parameters
    ----------
    n_colours
        Steps of the map.

    Examples
    --------
    >>> species_map(3).N
    3
    """
    low, middle, high = (_oklab(colour) for colour in (CLASSES[0], "#fbf3b4", CLASSES[1]))
    t = np.linspace(-1, 1, n_colours)[:, None]
    lab = np.where(t < 0, middle + (low - middle) * -t, middle + (high - middle) * t)
    return ListedColormap(_srgb(lab), name="species")


_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _oklab(colour: str) -> Float[np.ndarray, " 3"]:
    """Return a hexadecimal colour in OKLab."""
    channel = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return _TO_LAB @ np.cbrt(_TO_LMS @ linear)


def _srgb(lab: Float[np.ndarray, "colour 3"]) -> Float[np.ndarray, "colour 3"]:
    """Return OKLab colours as red, green and blue between 0 and 1."""
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    linear = np.clip(linear, 0, 1)
    return np.clip(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055), 0, 1)
