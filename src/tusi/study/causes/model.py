"""The equations that a likely graph stands for: attempts to refute its arrows, total effects, what they leave."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.causal import CausalTable
from tusi.causal.measurement import LEAST_RELIABILITY
from tusi.causal.structural import (
    Diagnosis,
    Effect,
    Refutation,
    StructuralModel,
    Structure,
    diagnose,
    linear_effects,
    refute,
)
from tusi.data import CausalGraph
from tusi.inference.spatial import Detrending
from tusi.study.causes.effect_maps import LIKELY


@dataclasses.dataclass(frozen=True, kw_only=True)
class TotalEffect:
    """What raising a variable by one standard deviation does to another in the end, in its standard deviations.

    Standard deviations are those of the values without error, within images.

    Attributes
    ----------
    cause, effect
        The variables.
    total
        By all ways together.
    direct, indirect
        The two parts; `None` where there is no way by other variables.
    mediators
        Variables by way of which it acts.
    """

    cause: str
    effect: str
    total: Effect
    direct: Effect | None = None
    indirect: Effect | None = None
    mediators: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOfCauses:
    """Linear equations on the arrows that are more likely than not, and how they stand up.

    Attributes
    ----------
    equations
        One for each variable, causes first, in the variables' own units.
    refutations
        What became of each arrow.
    effects
        Total effects of every variable on all that it reaches.
    diagnoses
        What the equations explain, and whether what they leave still depends on the causes.
    notes
        Pairs that are not in the equations, and why.
    """

    equations: tuple[str, ...]
    refutations: tuple[Refutation, ...]
    effects: tuple[TotalEffect, ...]
    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[str, ...]

    def refutation(self, cause: str, effect: str) -> Refutation | None:
        """Return what became of an arrow; `None` where the model has no such arrow.

        Parameters
        ----------
        cause, effect
            Its ends.
        """
        return next((one for one in self.refutations if (one.cause, one.effect) == (cause, effect)), None)


def model_of_causes(
    table: CausalTable, graph: CausalGraph, *, detrending: Detrending, rng: np.random.Generator
) -> ModelOfCauses | None:
    """Fit linear equations to the likely arrows of a graph, and try them.

    Parameters
    ----------
    table
        Variables that vary within images.
    graph
        Of these variables.
    detrending
        What is taken out of all variables first.
    rng
        Source of randomness.

    Returns
    -------
    ModelOfCauses or None
        Nothing where no arrow is likely.

    Raises
    ------
    InputError
        The likely arrows make a circle.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> from tusi.inference.spatial import Centring
    >>> chain = np.array([[0, 0.6, 0], [0, 0, 0.6], [0, 0, 0]])
    >>> world = linear_fields(chain, FieldRecipe(shape=(32, 32)), rng=np.random.default_rng(0), names=("x", "m", "y"))
    >>> graph = CausalGraph.of_arrows({("x", "m"): 0.9, ("m", "y"): 0.9}, names=("x", "m", "y"))
    >>> found = model_of_causes(world, graph, detrending=Centring(), rng=np.random.default_rng(1))
    >>> [one.survived for one in found.refutations], [(one.cause, one.effect) for one in found.effects]
    ([True, True], [('x', 'm'), ('x', 'y'), ('m', 'y')])
    """
    structure = Structure.of(graph, threshold=LIKELY, detrending=detrending)
    if not structure.arrow.any():
        return None
    table = table.select(structure.names)
    model = StructuralModel.fit(table, structure)
    return ModelOfCauses(
        equations=model.equations,
        refutations=refute(table, structure, rng=rng),
        effects=_total_effects(table, structure, rng),
        diagnoses=diagnose(model, rng=rng),
        notes=model.notes,
    )


def _total_effects(table: CausalTable, structure: Structure, rng: np.random.Generator) -> tuple[TotalEffect, ...]:
    """Return what each variable does to all that it reaches."""
    spread = dict(zip(structure.names, true_spread(structure.rows(table)).tolist(), strict=True))
    found = []
    for (cause, effect), parts in linear_effects(table, structure=structure, rng=rng).items():
        total, direct, indirect = (
            _scaled(part, spread[cause] / spread[effect]) for part in (parts.total, parts.direct, parts.indirect)
        )
        if parts.mediators:
            found.append(
                TotalEffect(
                    cause=cause, effect=effect, total=total, direct=direct, indirect=indirect, mediators=parts.mediators
                )
            )
        else:
            found.append(TotalEffect(cause=cause, effect=effect, total=total))
    return tuple(found)


def true_spread(rows: CausalTable) -> Float[np.ndarray, " variable"]:
    """Return the standard deviation of each variable without its errors.

    Parameters
    ----------
    rows
        The variables, detrended where that was chosen.
    """
    variance = rows.value.var(axis=0)
    error = np.diagonal(rows.error_covariance.mean(axis=0))
    return np.sqrt(np.maximum(variance - error, LEAST_RELIABILITY * variance))


def _scaled(effect: Effect, unit: float) -> Effect:
    """Return an effect times a unit."""
    low, high = effect.interval
    return dataclasses.replace(
        effect, estimate=effect.estimate * unit, standard_error=effect.standard_error * unit,
        interval=(low * unit, high * unit),
    )  # fmt: skip
