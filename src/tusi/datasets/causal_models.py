"""Worlds of known nonlinear equations: what every row would have been under any intervention is known exactly."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from tusi.causal import CausalTable
from tusi.datasets.causal_fields import FieldRecipe, random_field
from tusi.inference.spatial import Layout

Equation = Callable[[Mapping[str, np.ndarray]], np.ndarray | float]
"""What the variables before it make of a variable, without its noise."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdditiveWorld:
    """Variables that follow from each other, causes first, and noise fields that are known.

    Attributes
    ----------
    equations
        One for each variable.
    disturbance
        Noise of each row in each variable.
    layout
        Where the rows lie.
    """

    equations: Mapping[str, Equation]
    disturbance: Float[np.ndarray, "row variable"]
    layout: Layout

    @property
    def table(self) -> CausalTable:
        """What is seen."""
        return CausalTable.of(self.under({}), layout=self.layout)

    def under(self, do: Mapping[str, float]) -> dict[str, Float[np.ndarray, " row"]]:
        """Return all rows as they would have been, with the same noise, had variables been set.

        Parameters
        ----------
        do
            Values that are set.
        """
        value: dict[str, np.ndarray] = {}
        for (name, equation), noise in zip(self.equations.items(), self.disturbance.T, strict=True):
            value[name] = np.full(len(noise), do[name]) if name in do else equation(value) + noise
        return value


def tanh_world(recipe: FieldRecipe, *, rng: np.random.Generator, n_images: int = 1) -> AdditiveWorld:
    """Return a cause that acts on an outcome directly and by way of a mediator, both times through a tanh.

    mediator = tanh(1.5 cause) + noise (sd .6); outcome = .25 tanh(mediator) + .1 tanh(cause) + noise (sd .06). Where
    the cause is set to 1, the outcome has a standard deviation of about .1.

    Parameters
    ----------
    recipe
        How each noise field is made.
    rng
        Source of randomness.
    n_images
        How many independent images.

    Examples
    --------
    >>> world = tanh_world(FieldRecipe(), rng=np.random.default_rng(0))
    >>> world.table.names, bool(0.1 < world.under({"cause": 1.0})["outcome"].std() < 0.11)
    (('cause', 'mediator', 'outcome'), True)
    """
    equations: dict[str, Equation] = {
        "cause": lambda value: 0.0,  # noqa: ARG005
        "mediator": lambda value: np.tanh(1.5 * value["cause"]),
        "outcome": lambda value: 0.25 * np.tanh(value["mediator"]) + 0.1 * np.tanh(value["cause"]),
    }
    noise = [
        np.concatenate([size * random_field(recipe, rng=rng).ravel() for _ in range(n_images)])
        for size in (1.0, 0.6, 0.06)
    ]
    layout = Layout.grid(recipe.shape, n_images=n_images)
    return AdditiveWorld(equations=equations, disturbance=np.stack(noise, axis=1), layout=layout)
