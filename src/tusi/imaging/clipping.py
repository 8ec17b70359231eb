"""Displays cut off the brightest and darkest pixels; here the lost tops and bottoms are continued smoothly."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import irfft2, rfft2

_BAND = 0.2
_ITERATIONS = 20
_LEAST_FRACTION, _LARGEST_FRACTION = 1e-4, 0.05
_EXCESS = 3.0


def clipped_pixels(image: Float[np.ndarray, "y x"]) -> tuple[Bool[np.ndarray, "y x"], Bool[np.ndarray, "y x"]]:
    """Return the pixels cut off at the bottom and at the top: extreme values that are far too frequent.

    An extreme value counts as clipped when it holds between 1e-4 and 5 % of the pixels, and three times as many as
    each of the next three values does on average.
    """
    values, counts = np.unique(image, return_counts=True)
    masks = []
    for value, own, others in ((values[0], counts[0], counts[1:4]), (values[-1], counts[-1], counts[-4:-1])):
        frequent = _LEAST_FRACTION <= own / image.size <= _LARGEST_FRACTION
        excess = len(others) == 3 and own > _EXCESS * others.mean()
        masks.append((image == value) if frequent and excess else np.zeros(image.shape, bool))
    return masks[0], masks[1]


def continue_clipped(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Replace clipped pixels by the smooth continuation of what surrounds them.

    Alternates between a low-pass filter (below 0.2 cycles per pixel) and the known pixels, with the lost ones held
    beyond the limit at which they were cut [1]_. The sharp edges of clipped tops would otherwise fill all frequencies.

    Parameters
    ----------
    image
        Any image; without clipped pixels it is returned as it is.

    References
    ----------
    .. [1] A. Papoulis, "A new algorithm in spectral analysis and band-limited extrapolation", IEEE Trans. Circuits
       Syst. 22, 735 (1975).
    """
    low, high = clipped_pixels(image)
    if not (low.any() or high.any()):
        return image
    bottom, top = image.min(), image.max()
    y, x = np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])
    low_pass = np.exp(-(((y**2 + x**2) / _BAND**2) ** 4))
    filled = image.copy()
    for _ in range(_ITERATIONS):
        smooth = irfft2(rfft2(filled) * low_pass, image.shape)
        filled[low] = np.minimum(smooth[low], bottom)
        filled[high] = np.maximum(smooth[high], top)
    return filled
