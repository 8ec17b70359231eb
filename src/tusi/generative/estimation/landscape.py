"""The statistical distance over a plane of couplings: the picture that the field fits by, and what it is worth."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import chdtri

from tusi.errors import InputError
from tusi.generative.estimation.distance import MinimumDistance
from tusi.generative.estimation.distance_surface import distance_surface, targets_of
from tusi.generative.estimation.estimate import Composition
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import COUPLING_LIMIT
from tusi.generative.montecarlo.plan import SamplingPlan

MOST_NODES = 60
"""Places of the plane at which the model is simulated, at most."""

LEAST_SIZE = 20.0
"""Independent samples below which no distance is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandscapeAxes:
    """The plane or line on which a distance is shown.

    Attributes
    ----------
    names
        One or two couplings; the model's first two where there are none.
    reach
        How far to go on either side of the minimum, in standard errors.
    n_points
        Points along each axis.
    """

    names: tuple[str, ...] = ()
    reach: float = 4.0
    n_points: int = 41

    def __post_init__(self) -> None:
        if len(self.names) > 2 or len(set(self.names)) != len(self.names):
            raise InputError("names", expected="one or two different couplings", got=str(self.names))
        if not 0.5 <= self.reach <= 12:
            raise InputError("reach", expected="0.5 to 12 standard errors", got=str(self.reach))
        if not 5 <= self.n_points <= 401:
            raise InputError("n_points", expected="5 to 401", got=str(self.n_points))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceLandscape:
    """Pooled squared statistical distance over one or two couplings, the others at their minimum.

    Attributes
    ----------
    model
        Name of the model.
    parameters
        Couplings along the axes.
    grid
        Their values, in kT.
    squared
        S^2 at each point; NaN where too few samples tell.
    minimum
        Couplings of least S^2, in kT.
    least
        S^2 there.
    value, covariance
        The estimate, and its true sampling covariance.
    n_clusters
        Clusters of all images: N in `exp(-2 N S^2)`.
    """

    model: str
    parameters: tuple[str, ...]
    grid: tuple[Float[np.ndarray, " point"], ...]
    squared: Float[np.ndarray, "*point"]
    minimum: Float[np.ndarray, " axis"]
    least: float
    value: Float[np.ndarray, " axis"]
    covariance: Float[np.ndarray, "axis axis"]
    n_clusters: float

    def naive_level(self, confidence: float = 0.95) -> float:
        """Return the S^2 that bounds a region of this confidence if `exp(-2 N S^2)` were a likelihood; it is not."""
        return self.least + float(chdtri(len(self.parameters), 1.0 - confidence)) / (4.0 * self.n_clusters)

    def region(self, confidence: float = 0.95, *, n_points: int = 181) -> Float[np.ndarray, "point axis"]:
        """Return the border of the region of this confidence by the true covariance: an ellipse, or two ends.

        Parameters
        ----------
        confidence
            Probability that such a region holds the couplings.
        n_points
            Points of the ellipse.
        """
        size, direction = np.linalg.eigh(self.covariance)
        root = direction * np.sqrt(np.maximum(size, 0.0) * float(chdtri(len(self.parameters), 1.0 - confidence)))
        if len(self.parameters) == 1:
            return self.value + np.array([[-1.0], [1.0]]) * abs(root[0, 0])
        turn = np.linspace(0.0, 2.0 * np.pi, n_points)
        return self.value + np.column_stack([np.cos(turn), np.sin(turn)]) @ root.T


def distance_landscape(
    observations: Observation | Sequence[Observation],
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    axes: LandscapeAxes | None = None,
    method: MinimumDistance | None = None,
    composition: Composition = "own",
) -> DistanceLandscape:
    """Return the statistical distance between images and a model over one or two of its couplings.

    The minimum and its sampling covariance come first. The model is then simulated at places that cover the plane and
    all samples are reweighted to every point, so that the landscape is smooth and not a cloud of noisy values.

    Parameters
    ----------
    observations
        One image or several.
    model
        The Hamiltonian.
    rng
        The only source of randomness.
    axes
        Which couplings, and how far.
    method
        The statistic that is compared, and the samples behind it.
    composition
        As in `estimate_couplings`.

    Returns
    -------
    DistanceLandscape
        S^2 on a grid, its minimum, and confidence regions by the true covariance and by `exp(-2 N S^2)`.

    Raises
    ------
    InputError
        The model lacks a coupling, or no image holds a complete cluster.

    References
    ----------
    L. Vlcek, A. Maksov, M. Pan, R. K. Vasudevan, S. V. Kalinin, ACS Nano 11, 10313 (2017).

    Examples
    --------
    >>> from tusi.generative.estimation.observation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (12, 12)), rng.integers(0, 2, 144))
    >>> method, axes = MinimumDistance(n_model_samples=400), LandscapeAxes(n_points=9)
    >>> landscape = distance_landscape(image, ising(field=False), rng=rng, axes=axes, method=method)
    >>> landscape.parameters, bool(landscape.squared.argmin() in (3, 4, 5))
    (('K',), True)
    """
    axes, method = axes or LandscapeAxes(), method or MinimumDistance()
    images = (observations,) if isinstance(observations, Observation) else tuple(observations)
    images = tuple(image.widened(model.n_species) for image in images)
    names = axes.names or model.parameters[:2]
    if not names or not set(names) <= set(model.parameters):
        raise InputError("axes", expected=f"couplings among {model.parameters}", got=str(names))
    targets, _ = targets_of(images, model, statistic=method.statistic, composition=composition)
    fit = method.minimise(targets, rng=rng, progress=lambda _: None)
    chosen = [model.parameters.index(name) for name in names]
    covariance = fit.covariance[np.ix_(chosen, chosen)]
    width = axes.reach * np.sqrt(np.diag(covariance))
    grid = tuple(
        np.linspace(max(fit.minimum[k] - w, -COUPLING_LIMIT), min(fit.minimum[k] + w, COUPLING_LIMIT), axes.n_points)
        for k, w in zip(chosen, width, strict=True)
    )
    points = np.tile(fit.minimum, (axes.n_points ** len(names), 1))
    points[:, chosen] = np.stack([axis.ravel() for axis in np.meshgrid(*grid, indexing="ij")], axis=1)
    nodes = _cover(points, fit.minimum, chosen, covariance)
    plan = SamplingPlan(
        n_samples=max(method.n_model_samples // 20, 40), n_chains=2, burn_in=method.burn_in, spacing=method.spacing
    )
    surface = distance_surface(targets, nodes, plan=plan, rng=rng)
    squared, size = surface.evaluate(points)
    return DistanceLandscape(
        model=model.name,
        parameters=tuple(names),
        grid=grid,
        squared=np.where(size >= LEAST_SIZE, squared, np.nan).reshape([axes.n_points] * len(names)),
        minimum=fit.minimum[chosen],
        least=surface.squared(fit.minimum),
        value=fit.value[chosen],
        covariance=covariance,
        n_clusters=surface.n_clusters,
    )


def _cover(points: np.ndarray, centre: np.ndarray, chosen: list[int], covariance: np.ndarray) -> np.ndarray:
    """Return the centre and points no closer to each other than samples reach, few enough to simulate all."""
    size, direction = np.linalg.eigh(covariance)
    away = (points - centre)[:, chosen] @ (direction / np.sqrt(np.maximum(size, 1e-300)))
    order = np.argsort(np.sum(away**2, axis=1), kind="stable")
    spacing = 1.5
    while True:
        taken, places = [], [np.zeros(len(chosen))]
        for k in order:
            if np.sum((np.array(places) - away[k]) ** 2, axis=1).min() > spacing**2:
                taken.append(k)
                places.append(away[k])
        if len(taken) < MOST_NODES:
            return np.vstack([centre, points[taken]])
        spacing *= 1.2
