"""How a feature's variance depends on its mean, on the window and on mixing."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError

_LEAK = 0.1
"""Power of the strongest spot that reaches others where a border spreads it, relative to the spot's own uncertainty."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FeatureNoise:
    """Variance of each feature up to a factor that the data give: `scale**2 constant + scale slope mean`.

    A window over an interface does not mix its phases exactly by area: waves from the two sides interfere, and a
    border spreads spots. The variance for that is `2 mixing**2` times the sum over phases of `(a (1 - a))**1.5 (m**2 +
    (M / 10)**2)`, with the abundance `a`, the phase's feature `m` and its largest feature `M`; none inside one phase.
    In simulated interfaces the error grows with that power from a share of 1e-5 on, because the windows are faded out
    where a small share lies.

    Attributes
    ----------
    constant, slope
        For each feature.
    scale
        Noise of each window relative to the others.
    mixing
        Relative error of linear mixing.

    Examples
    --------
    >>> noise = FeatureNoise.uniform((3, 2))
    >>> noise.variance(np.zeros((3, 2))).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """

    constant: Float[np.ndarray, " feature"]
    slope: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " window"]
    mixing: float = 0.0

    def __post_init__(self) -> None:
        if not ((self.constant > 0).all() and (self.slope >= 0).all() and (self.scale > 0).all() and self.mixing >= 0):
            raise InputError("noise", expected="constants and scales above zero, slopes and mixing of at least zero",
                             got="others")  # fmt: skip

    @classmethod
    def uniform(cls, shape: tuple[int, int]) -> "FeatureNoise":
        """Return noise that is the same for all features and windows, for data of this shape."""
        return cls(constant=np.ones(shape[1]), slope=np.zeros(shape[1]), scale=np.ones(shape[0]))

    def variance(self, mean: Float[np.ndarray, "*window feature"]) -> Float[np.ndarray, "window feature"]:
        """Return the variance in each window, where the features have this mean."""
        scale = self.scale[:, None]
        return scale**2 * self.constant + scale * self.slope * np.maximum(mean, 0.0)

    def mixing_variance(
        self, abundance: Float[np.ndarray, "window end_member"], end_member: Float[np.ndarray, "end_member feature"]
    ) -> Float[np.ndarray, "window feature"]:
        """Return the variance from mixing.

        Parameters
        ----------
        abundance
            Of each window.
        end_member
            Features of the end members.
        """
        reached = end_member**2 + (_LEAK * np.abs(end_member).max(axis=1, keepdims=True)) ** 2
        return 2.0 * self.mixing**2 * ((abundance * (1.0 - abundance)) ** 1.5 @ reached)
