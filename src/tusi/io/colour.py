"""From a colour display to intensity: what was done is always said, because a display is not a measurement."""

import numpy as np
from jaxtyping import Float, Num

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in luminance (ITU-R BT.709)."""

GREY_TOLERANCE = 0.02
"""Channels that differ by less than this share of full scale (in 99.9 % of pixels) are one grey level."""

MAX_TABLE_CELLS = 128
"""A colour table is a curve in colour space: of 16 x 16 x 16 cells, 99 % of the pixels lie in at most this many."""

GREY_NOTE = "The colour channels are equal: their mean is taken as the intensity."
NEARLY_NOTE = "The colour channels are nearly equal (a compressed grey display): their mean is taken as the intensity."
TABLE_NOTE = (
    "The display uses a colour table; luminance is taken as the intensity, "
    "which need not be proportional to the signal."
)
PHOTOGRAPH_NOTE = (
    "This looks like a colour photograph, not a display of grey levels; luminance is taken as the intensity, "
    "but nothing measured on it should be trusted."
)
OPACITY_NOTE = "The opacity channel was dropped."


def intensity_of(channels: Num[np.ndarray, "*pixel channel"]) -> tuple[Float[np.ndarray, "*pixel"], tuple[str, ...]]:
    """Return the intensity of a picture with colour channels, and what was done to get it.

    The mean of the channels where they agree; luminance where they do not. A second (of two) or fourth channel is
    opacity and is dropped. Rows are converted one block at a time, so that the memory needed is that of the result.

    Parameters
    ----------
    channels
        Two (grey, opacity), three or four (red, green, blue, opacity) channels in the last axis, integer grey levels.

    Returns
    -------
    intensity
        In grey levels.
    notes
        Sentences for the user.

    Examples
    --------
    >>> grey, notes = intensity_of(np.full((2, 2, 3), 7, np.uint8))
    >>> grey.tolist(), notes
    ([[7.0, 7.0], [7.0, 7.0]], ('The colour channels are equal: their mean is taken as the intensity.',))
    """
    n_channels = channels.shape[-1]
    notes = (OPACITY_NOTE,) if n_channels in (2, 4) else ()
    if n_channels < 3:
        return channels[..., 0].astype(np.float64), notes
    weights, note = _weights(channels)
    intensity = np.empty(channels.shape[:-1])
    flat_in, flat_out = channels.reshape(-1, n_channels), intensity.reshape(-1)
    for start in range(0, len(flat_in), 2**18):
        block = flat_in[start : start + 2**18, :3]
        flat_out[start : start + 2**18] = block[:, 0] if weights is None else block @ weights
    return intensity, (note, *notes)


def _weights(channels: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Decide from a sample of pixels and from all differences how the channels are combined."""
    flat = channels.reshape(-1, channels.shape[-1])
    sample = flat[:: max(1, len(flat) // 50_000), :3]
    if _all_equal(flat):
        return None, GREY_NOTE
    full_scale = (
        np.iinfo(channels.dtype).max if channels.dtype.kind in "ui" else float(np.nanmax(np.abs(sample))) or 1.0
    )
    spread = sample.max(axis=1).astype(float) - sample.min(axis=1)
    if np.quantile(spread, 0.999) <= GREY_TOLERANCE * full_scale:
        return np.full(3, 1 / 3), NEARLY_NOTE
    cell = np.minimum(sample.astype(float) * (16 / (full_scale + 1)), 15).astype(int) @ (256, 16, 1)
    counts = np.sort(np.bincount(cell, minlength=4096))[::-1]
    n_cells = int(np.searchsorted(np.cumsum(counts), 0.99 * len(sample))) + 1
    return np.array(LUMINANCE), TABLE_NOTE if n_cells <= MAX_TABLE_CELLS else PHOTOGRAPH_NOTE


def _all_equal(flat: np.ndarray) -> bool:
    """Tell whether red, green and blue are the same everywhere, one block at a time."""
    return all(
        bool((block[:, 0] == block[:, 1]).all() and (block[:, 0] == block[:, 2]).all())
        for block in (flat[start : start + 2**18] for start in range(0, len(flat), 2**18))
    )
