"""The goodness-of-fit value and the information criteria that are in use, computed as they are in use.

The p-value is *not* calibrated: clusters overlap and most classes are empty in dilute images. It is here to be shown
beside a calibrated one.
"""

import dataclasses

import numpy as np
from scipy.special import chdtrc

from tusi.errors import InputError


def naive_goodness_of_fit(squared_distance: float, n_clusters: float, *, degrees_of_freedom: int = 25) -> float:
    """Return the p-value `chi2.sf(4 N S^2, degrees of freedom)` that treats overlapping clusters as independent.

    Parameters
    ----------
    squared_distance
        Squared statistical distance between the observed and the model's histogram.
    n_clusters
        Clusters in the histogram.
    degrees_of_freedom
        Classes minus one, times the number of images.

    Examples
    --------
    >>> round(naive_goodness_of_fit(0.0325, 466), 4)
    0.0001
    """
    return float(chdtrc(degrees_of_freedom, 4.0 * n_clusters * squared_distance))


def distance_information_criterion(squared_distance: float, n_clusters: float, *, n_parameters: int) -> float:
    """Return `2 N S^2 + (k / 2) ln N`, the "BIC" of models fitted by statistical distance.

    Parameters
    ----------
    squared_distance
        Pooled squared statistical distance.
    n_clusters
        Clusters in all images together.
    n_parameters
        Couplings fitted.

    Examples
    --------
    >>> round(distance_information_criterion(0.0200, 1835, n_parameters=0), 1)
    73.4
    """
    if not n_clusters:
        return float("nan")
    penalty = 0.5 * n_parameters * np.log(n_clusters)
    return float(2.0 * n_clusters * squared_distance + penalty)


def composite_information_criterion(
    log_likelihood: float, *, score_covariance: np.ndarray, information: np.ndarray
) -> float:
    """Return the composite-likelihood information criterion `-2 cl + 2 tr(J H^-1)`; smaller is better.

    Parameters
    ----------
    log_likelihood
        Composite log-likelihood cl at its maximum.
    score_covariance
        J: covariance of the composite score under the model.
    information
        H: minus the expected Hessian.

    References
    ----------
    C. Varin and P. Vidoni, Biometrika 92, 519 (2005).

    Examples
    --------
    >>> composite_information_criterion(-100.0, score_covariance=2 * np.eye(1), information=np.eye(1))
    204.0
    """
    return float(-2.0 * log_likelihood + 2.0 * np.trace(score_covariance @ np.linalg.pinv(information, hermitian=True)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedTable:
    """The table of distances, naive p-values and criteria as it is published.

    Attributes
    ----------
    naive_p
        Per model and image.
    total_distance, total_naive_p, bic
        Per model, over all images.
    search_failed
        Pairs (smaller, larger) of nested models where the larger came out worse, so that its optimum was not found
        and no criterion can rank it.
    """

    naive_p: tuple[tuple[float, ...], ...]
    total_distance: tuple[float, ...]
    total_naive_p: tuple[float, ...]
    bic: tuple[float, ...]
    search_failed: tuple[tuple[int, int], ...]


def seed_table(
    squared_distances: np.ndarray,
    n_clusters: np.ndarray,
    *,
    n_parameters: tuple[int, ...],
    nested: tuple[tuple[int, int], ...] = (),
    n_classes: int = 26,
) -> SeedTable:
    """Return every entry of the published table from the distances, the cluster counts and the numbers of couplings.

    Parameters
    ----------
    squared_distances
        Squared statistical distance per model and image.
    n_clusters
        Clusters per image.
    n_parameters
        Couplings of each model.
    nested
        Pairs (smaller, larger) of models of which the larger contains the smaller.
    n_classes
        Symmetry classes of the clusters.

    Raises
    ------
    InputError
        The shapes disagree.

    Examples
    --------
    >>> table = seed_table(np.array([[0.0062, 0.0325]]), np.array([464, 466]), n_parameters=(0,))
    >>> [round(p, 4) for p in table.naive_p[0]]
    [0.9901, 0.0001]
    """
    squared_distances, n_clusters = np.asarray(squared_distances, float), np.asarray(n_clusters, float)
    if squared_distances.shape != (len(n_parameters), len(n_clusters)):
        raise InputError(
            "squared_distances",
            expected=f"{len(n_parameters)} models x {len(n_clusters)} images",
            got=f"shape {squared_distances.shape}",
        )
    free = n_classes - 1
    n_total = float(n_clusters.sum())
    totals = [float(total) for total in squared_distances @ n_clusters / n_total]
    return SeedTable(
        naive_p=tuple(
            tuple(
                naive_goodness_of_fit(float(s2), float(n), degrees_of_freedom=free)
                for s2, n in zip(row, n_clusters, strict=True)
            )
            for row in squared_distances
        ),
        total_distance=tuple(totals),
        total_naive_p=tuple(
            naive_goodness_of_fit(total, n_total, degrees_of_freedom=free * len(n_clusters)) for total in totals
        ),
        bic=tuple(
            distance_information_criterion(total, n_total, n_parameters=k)
            for total, k in zip(totals, n_parameters, strict=True)
        ),
        search_failed=tuple(pair for pair in nested if totals[pair[1]] > totals[pair[0]]),
    )
