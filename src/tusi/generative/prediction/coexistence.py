"""Where two phases coexist: simulations at free composition, in the field at which both phases are alike."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.generative.lattice.model import LatticeModel
from tusi.generative.prediction.conditions import FittedModel
from tusi.generative.prediction.measurement import Measurement
from tusi.generative.prediction.node_pool import Simulator

COEXISTING = ("coexisting order", "coexisting Binder cumulant")
"""Observables of the free composition that a phase diagram of a separating model has too."""


def is_symmetric(model: LatticeModel, measurement: Measurement) -> bool:
    """Return whether swapping the two species changes no energy but that of the fields."""
    system = measurement.system
    species = system.random_arrangement(8, rng=np.random.default_rng(0))
    change = system.statistics(1 - species) - system.statistics(species)
    return bool(np.allclose(change[:, ~_fields(model)], 0.0))


def free_composition(simulator: Simulator) -> Simulator:
    """Return the same simulations at free composition without a field: both phases of a symmetric model coexist.

    The mean length of the magnetisation m is then that of either phase, and the coexistence curve is at the
    compositions (1 - m) / 2 and (1 + m) / 2, as for a lattice gas.

    References
    ----------
    T. D. Lee and C. N. Yang, Phys. Rev. 87, 410 (1952).
    """
    posterior, conditions = simulator.posterior, dataclasses.replace(simulator.conditions, compositions=())
    kept = (~_fields(posterior.model)).astype(np.float64)
    free = FittedModel(
        model=posterior.model, value=posterior.value * kept, covariance=posterior.covariance * np.outer(kept, kept)
    )
    return dataclasses.replace(simulator, posterior=free, conditions=conditions)


def without_fields(
    model: LatticeModel, draws: Float[np.ndarray, "draw parameter"]
) -> Float[np.ndarray, "draw parameter"]:
    """Return couplings with the fields at zero."""
    return np.where(_fields(model), 0.0, draws)


def _fields(model: LatticeModel) -> np.ndarray:
    """Return which couplings act on single sites."""
    alone = [{term.motif.n_corners for term in model.terms if term.coupling == name} for name in model.parameters]
    return np.array([corners == {1} for corners in alone])
