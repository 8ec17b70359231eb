"""What is asked of a table of places."""

import dataclasses

from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Centring, Detrending

FEWEST_RESAMPLES, MOST_RESAMPLES = 5, 10_000
"""Resamples from which shares say something, and up to which anybody would wait."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausesOptions:
    """Choices of `discover_causes`.

    Attributes
    ----------
    long_waves
        Whether waves longer than `scale` count. Thickness, tilt and contamination act on everything and are such
        waves; without them most of smooth fields can be used, too.
    scale
        Shortest wavelength that is taken out, in mean distances between rows.
    level
        P-value of a question above which FCI takes two variables for independent, and of the Simpson check.
    resamples
        How often FCI and DirectLiNGAM search again in images put together from blocks of themselves; 0 for not at all.
    maps
        Largest number of effects of which a map is made.
    """

    long_waves: bool = False
    scale: float = 32.0
    level: float = 0.01
    resamples: int = 0
    maps: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise InputError("level", expected="a p-value between 0 and 1", got=str(self.level))
        if self.resamples and not FEWEST_RESAMPLES <= self.resamples <= MOST_RESAMPLES:
            expected = f"0, or between {FEWEST_RESAMPLES} and {MOST_RESAMPLES}"
            raise InputError("resamples", expected=expected, got=str(self.resamples))
        if self.maps < 0:
            raise InputError("maps", expected="0 or more", got=str(self.maps))

    @property
    def detrending(self) -> Detrending:
        """What is taken out of all variables first."""
        return Centring() if self.long_waves else AdaptiveHighPass(scale=self.scale)
