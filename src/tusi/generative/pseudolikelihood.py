"""Pseudolikelihood of the couplings: fast, no Monte Carlo, good enough to start from."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, log_expit

from tusi.generative.lattice.model import LatticeModel
from tusi.generative.window import Window

PRIOR_WIDTH = 3.0
"""Standard deviation (kT) of the weak normal prior that keeps couplings and fields finite in dilute images."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PseudolikelihoodFit:
    """Couplings that maximise the product of the sites' conditional probabilities.

    Attributes
    ----------
    value
        Couplings, in kT.
    fields
        Field of each image that fixes its composition, in kT: a nuisance.
    log_pseudolikelihood
        At the maximum.
    information
        Minus the Hessian with respect to (couplings, fields).
    """

    value: Float[np.ndarray, " parameter"]
    fields: Float[np.ndarray, " image"]
    log_pseudolikelihood: float
    information: Float[np.ndarray, "all all"]


def maximise_pseudolikelihood(
    windows: Sequence[Window], model: LatticeModel, species: Sequence[Int[np.ndarray, " site"]]
) -> PseudolikelihoodFit:
    """Fit the couplings by logistic regression of each free site on its surroundings.

    `P(s_i = 1 | rest) = 1 / (1 + exp(-h + sum_k w_k D_ik))` with D the change of the statistics when site i takes
    species 1, one field h per image. Newton iterations with a very weak prior.

    Parameters
    ----------
    windows
        One per image.
    model
        The model to fit.
    species
        Species (0 or 1) of each site of each image.

    References
    ----------
    J. Besag, J. R. Stat. Soc. B 36, 192 (1974).
    """
    design, target = _regression(windows, model, species)
    precision = np.full(design.shape[1], PRIOR_WIDTH**-2)
    precision[len(model.terms) :] /= 10.0
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        probability = expit(design @ solution)
        gradient = design.T @ (target - probability) - precision * solution
        information = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(information + np.diag(precision), gradient)
        solution = solution + step / max(1.0, np.abs(step).max() / 2.0)
        if np.abs(step).max() < 1e-8:
            break
    margin = (2 * target - 1) * (design @ solution)
    probability = expit(design @ solution)
    return PseudolikelihoodFit(
        value=solution[: len(model.terms)],
        fields=solution[len(model.terms) :],
        log_pseudolikelihood=float(log_expit(margin).sum()),
        information=(design * (probability * (1 - probability))[:, None]).T @ design,
    )


def pseudolikelihood_scores(
    fit: PseudolikelihoodFit,
    windows: Sequence[Window],
    model: LatticeModel,
    species: Sequence[Int[np.ndarray, "replica site"]],
) -> Float[np.ndarray, "replica all"]:
    """Return the gradient of the log-pseudolikelihood at the fit for each replica, for (couplings, fields)."""
    n_terms = len(model.terms)
    scores = np.zeros((len(species[0]), n_terms + len(windows)))
    for image, (window, replicas) in enumerate(zip(windows, species, strict=True)):
        design = -window.flips(model, replicas)
        residual = replicas[:, window.free] - expit(design @ fit.value + fit.fields[image])
        scores[:, :n_terms] += np.einsum("rsk,rs->rk", design, residual)
        scores[:, n_terms + image] = residual.sum(axis=1)
    return scores


def _regression(
    windows: Sequence[Window], model: LatticeModel, species: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Stack the regressors (minus the flips, and one column per image) and the species of all free sites."""
    rows, targets = [], []
    for image, (window, arrangement) in enumerate(zip(windows, species, strict=True)):
        flips = window.flips(model, arrangement)
        fields = np.zeros((len(flips), len(windows)))
        fields[:, image] = 1.0
        rows.append(np.concatenate([-flips, fields], axis=1))
        targets.append(arrangement[window.free])
    return np.concatenate(rows), np.concatenate(targets).astype(float)
