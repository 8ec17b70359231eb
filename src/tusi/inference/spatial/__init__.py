"""Statistics of samples that lie in an image: how many independent ones they are worth, and what chance would give."""

from tusi.lazy import load_on_use

_HOMES = {
    "AdaptiveHighPass": "detrending",
    "Centring": "detrending",
    "Detrended": "detrending",
    "Detrending": "detrending",
    "HighPass": "detrending",
    "Layout": "layout",
    "PairLags": "lags",
    "Polynomial": "detrending",
    "centred": "effective",
    "effective_sample_size": "effective",
    "phase_surrogates": "surrogates",
    "torus_shifts": "surrogates",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
