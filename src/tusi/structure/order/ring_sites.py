"""How many off-centre sites displaced columns share: a mixture of normal clouds, evenly spaced on a ring."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

N_SITES = (1, 2, 3, 4, 6)
"""Numbers of sites that are compared; 1 is a normal cloud about the centre."""

_STARTS = 6


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OffCentreSites:
    """Off-centre sites, evenly spaced on a ring around the centre.

    Attributes
    ----------
    n_sites
        Numbers of sites that were compared; 1 is a normal cloud.
    probability
        Of each number, equal beforehand, by the Bayesian information criterion. A cloud may be round or of any shape.
    radius
        Distance of the sites from the centre for each number, in the length unit; 0 for one site.
    angle
        Direction of the first site for each number, from x toward y, in rad.
    width
        Root mean square scatter about a site along each axis, beyond the errors, in the length unit.
    """

    n_sites: tuple[int, ...]
    probability: Float[np.ndarray, " model"]
    radius: Float[np.ndarray, " model"]
    angle: Float[np.ndarray, " model"]
    width: Float[np.ndarray, " model"]

    @property
    def likeliest(self) -> int:
        """The number of sites with the highest probability."""
        return self.n_sites[int(np.argmax(self.probability))]


def fit_off_centre_sites(
    displacement: Float[np.ndarray, "row 2"], covariance: Float[np.ndarray, "row 2 2"]
) -> OffCentreSites:
    """Fit rings of 2, 3, 4 and 6 equally filled sites, and one normal cloud, and compare them.

    Parameters
    ----------
    displacement
        (y, x) from the mean, in the length unit.
    covariance
        Of their errors.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> angle = np.pi / 2 * rng.integers(0, 4, size=400)
    >>> displacement = np.stack([np.sin(angle), np.cos(angle)], axis=1) + 0.3 * rng.standard_normal((400, 2))
    >>> found = fit_off_centre_sites(displacement, np.tile(0.09 * np.eye(2), (400, 1, 1)))
    >>> found.likeliest, round(float(found.radius[3]), 1)
    (4, 1.0)
    """
    fits = [_fit_cloud(displacement, covariance)]
    fits += [_fit_ring(displacement, covariance, n_sites) for n_sites in N_SITES[1:]]
    criterion, radius, angle, width = np.array(fits).T
    weight = -0.5 * criterion
    return OffCentreSites(
        n_sites=N_SITES,
        probability=np.exp(weight - np.logaddexp.reduce(weight)),
        radius=radius,
        angle=angle,
        width=width,
    )


def _fit_cloud(
    displacement: Float[np.ndarray, "row 2"], covariance: Float[np.ndarray, "row 2 2"]
) -> tuple[float, float, float, float]:
    """Return the criterion of a normal cloud, round or of any shape, and its width."""
    scale = float(displacement.std()) or 1.0

    def round_loss(root: np.ndarray) -> float:
        return -float(_log_density(displacement, covariance + (scale * root[0]) ** 2 * np.eye(2)).sum())

    def loss(root: np.ndarray) -> float:
        factor = np.array([[root[0], 0.0], [root[1], root[2]]]) * scale
        return -float(_log_density(displacement, covariance + factor @ factor.T).sum())

    fits = []
    for function, start in ((round_loss, [0.5]), (loss, [0.5, 0.0, 0.5])):
        best = minimize(function, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
        size = np.sqrt((best.x**2).sum() / min(len(start), 2)) * scale
        fits.append((2 * float(best.fun) + len(start) * np.log(len(displacement)), 0.0, 0.0, float(size)))
    return min(fits)


def _fit_ring(
    displacement: Float[np.ndarray, "row 2"], covariance: Float[np.ndarray, "row 2 2"], n_sites: int
) -> tuple[float, float, float, float]:
    """Return the criterion of a ring of sites, its radius, angle and width."""
    scale = float(displacement.std()) or 1.0
    turn = 2 * np.pi * np.arange(n_sites) / n_sites

    def loss(ring: np.ndarray) -> float:
        radius, angle, width = ring
        centres = scale * radius * np.stack([np.sin(angle + turn), np.cos(angle + turn)], axis=1)
        away = displacement[:, None] - centres
        wide = covariance + (scale * width) ** 2 * np.eye(2)
        return -float((np.logaddexp.reduce(_log_density(away, wide[:, None]), axis=1) - np.log(n_sites)).sum())

    starts = [(1.2, 2 * np.pi / n_sites * k / _STARTS, 0.2) for k in range(_STARTS)]
    start = min(starts, key=lambda one: loss(np.array(one)))
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
    radius, angle, width = best.x
    turned = (angle + (np.pi if radius < 0 else 0.0)) % (2 * np.pi / n_sites)
    criterion = 2 * float(best.fun) + 3 * np.log(len(displacement))
    return criterion, abs(float(radius)) * scale, float(turned), abs(float(width)) * scale


def _log_density(
    away: Float[np.ndarray, "*rows 2"], covariance: Float[np.ndarray, "*#rows 2 2"]
) -> Float[np.ndarray, "*rows"]:
    """Return the logarithm of the normal density at these distances from its mean."""
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = a * c - b * b
    y, x = away[..., 0], away[..., 1]
    return -0.5 * ((c * y * y - 2 * b * x * y + a * x * x) / determinant + np.log(determinant)) - np.log(2 * np.pi)
