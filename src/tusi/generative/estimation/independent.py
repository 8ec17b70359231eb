"""Chemical potentials of an image if nothing interacts: where every fit may start, and what a gain is counted from."""

import numpy as np
from jaxtyping import Float

from tusi.generative.estimation.latent import Image

FIELD_LIMIT = 12.0
"""Chemical potentials (kT) beyond this are not searched."""


def independent_fields(image: Image) -> Float[np.ndarray, " field"]:
    """Return the chemical potentials that make what was seen most likely if nothing interacts."""
    fields = np.zeros(image.n_fields)
    if not image.n_fields:
        return fields
    allowed = image.system.log_weight[image.inner]
    rows = np.unique(np.column_stack([allowed, _evidence_of(image)[image.inner]]), axis=0, return_counts=True)
    (allowed, evidence), count = np.split(rows[0], 2, axis=1), rows[1]
    for _ in range(200):
        prior, given = (_softmax(weight + np.append(0.0, fields)) for weight in (allowed, evidence))
        gradient = count @ (given - prior)[:, 1:]
        information = _spread(prior, count)[1:, 1:]
        step = np.linalg.solve(information + 0.01 * np.eye(len(fields)), gradient - 0.01 * fields)
        fields = np.clip(fields + step / max(1.0, float(np.abs(step).max())), -FIELD_LIMIT, FIELD_LIMIT)
        if np.abs(step).max() < 1e-6:
            break
    return fields


def _evidence_of(image: Image) -> np.ndarray:
    """Return the weights given what was seen; -inf but for the species of a certain site."""
    weight = (image.evidence or image.system).log_weight.copy()
    sure = image.informed & (image.probability.max(axis=1) >= 1.0)
    weight[sure] = np.where(np.arange(weight.shape[1]) == image.likely[sure, None], 0.0, -np.inf)
    return weight


def _softmax(weight: np.ndarray) -> np.ndarray:
    exponential = np.exp(weight - weight.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


def _spread(probability: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the covariance of the numbers of each species on independent sites."""
    return np.diag(count @ probability) - (probability * count[:, None]).T @ probability
