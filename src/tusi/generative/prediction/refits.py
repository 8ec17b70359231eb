"""Simulated images over the posterior: weighted to any couplings, and refitted as the observed image was."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.generative.prediction.conditions import FittedModel

REFIT_STEPS = 4
"""Newton steps of the refit of a simulated image; the first is the linear answer."""

LEAST_IMAGES = 30
"""Independent images that must carry the weight at couplings for their information to be estimated."""

BLOCK = 256
"""Simulated images that are refitted at once."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedImages:
    """Simulated images of one window at couplings over the posterior.

    Attributes
    ----------
    nodes, statistics, counts, log_mixture
        Couplings that were simulated; sufficient statistics, histogram and density of each image.
    """

    nodes: Float[np.ndarray, "node parameter"]
    statistics: Float[np.ndarray, "row parameter"]
    counts: Float[np.ndarray, "row bin"]
    log_mixture: Float[np.ndarray, " row"]

    def weights(self, couplings: np.ndarray) -> np.ndarray:
        """Return the weight of each image at each couplings."""
        exponent = -couplings @ self.statistics.T - self.log_mixture
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def predictive(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each image's weight and the mean histogram, over the posterior."""
        weight = self.weights(draws).mean(axis=0)
        return weight, weight @ self.counts

    def refitted(
        self, fitted: FittedModel, ratio: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each image's weight, the mean histogram, and what each image's own fit would expect.

        A refit maximises the likelihood of the image itself beside what the other images say, which is normal about the
        fitted couplings; expectations at couplings on the way are weighted means over all simulated images.
        """
        weight = self.weights(fitted.value[None] * ratio)[0]
        expected = weight @ self.counts
        centred = self.statistics - weight @ self.statistics
        covariance = fitted.covariance
        unity = np.eye(len(covariance))
        own = covariance @ (ratio**2 * (centred * weight[:, None]).T @ centred)
        rest = covariance - own @ covariance
        size, direction = np.linalg.eigh((rest + rest.T) / 2)
        noise = rng.standard_normal(centred.shape) * np.sqrt(np.maximum(size, 0.0)) @ direction.T
        each = np.empty_like(self.counts)
        for start in range(0, len(each), BLOCK):
            rows = slice(start, start + BLOCK)
            moved = np.zeros_like(noise[rows])
            for _ in range(REFIT_STEPS):
                found, change = self._moments((fitted.value + moved) * ratio, ratio, weight)
                short = noise[rows] - moved @ (unity - own).T - ratio * (self.statistics[rows] - found) @ covariance
                moved = moved + np.linalg.solve(unity + covariance @ change, short[..., None])[..., 0]
            each[rows] = self.weights((fitted.value + moved) * ratio) @ self.counts
        return weight, expected, np.maximum(each, 1e-9)

    def _moments(self, couplings: np.ndarray, ratio: float, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return expected statistics at each couplings, and by how much the information there exceeds that at the fit.

        Where too few images carry the weight to tell, the information is taken to be the same.
        """
        n_parameters = self.statistics.shape[1]
        products = (self.statistics[:, :, None] * self.statistics[:, None, :]).reshape(-1, n_parameters**2)

        def information(at: np.ndarray) -> np.ndarray:
            mean, shape = at @ self.statistics, (-1, n_parameters, n_parameters)
            return ratio**2 * ((at @ products).reshape(shape) - mean[:, :, None] * mean[:, None, :])

        there = self.weights(couplings)
        told = 1.0 / (there**2).sum(axis=1) >= LEAST_IMAGES
        change = np.where(told[:, None, None], information(there) - information(weight[None]), 0.0)
        return there @ self.statistics, change
