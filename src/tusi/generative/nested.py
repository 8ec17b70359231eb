"""Does a larger model explain more than a smaller one? Score tests with replicas of the smaller model."""

import numpy as np
from jaxtyping import Float

from tusi.generative.lattice.model import LatticeModel
from tusi.generative.models import embedding
from tusi.generative.permutation import score_statistic


def nested_score(
    observed: Float[np.ndarray, "draw parameter"],
    replicas: Float[np.ndarray, "replica parameter"],
    *,
    smaller: LatticeModel,
    larger: LatticeModel,
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " replica"]]:
    """Return the efficient score statistic of what the larger model adds, for the data and for the replicas.

    T of the larger model is freed of its part along the smaller one, which takes up the refit of the smaller model to
    each replica (to first order); what is left is measured in units of its covariance. It is twice the log-likelihood
    gain, to leading order.

    Parameters
    ----------
    observed
        T of the larger model, summed over images, for each draw of the labels.
    replicas
        The same for replicas of the fitted smaller model.
    smaller, larger
        The two models.

    References
    ----------
    J. Neyman, in *Probability and Statistics: The Harald Cramer Volume* (1959), p. 213.
    """
    matrix = embedding(smaller, larger)
    if matrix is not None and matrix.size:
        covariance = np.atleast_2d(np.cov(replicas, rowvar=False))
        taken_up = matrix @ np.linalg.pinv(matrix.T @ covariance @ matrix) @ matrix.T
        projection = np.eye(len(covariance)) - covariance @ taken_up
        replicas, observed = replicas @ projection.T, observed @ projection.T
    both = np.concatenate([replicas, observed])
    return score_statistic(observed, both), score_statistic(replicas, both)
