"""A causal graph with an equation for every variable: what would be if a variable were set, and if it had been."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from tusi.causal.structural.mechanisms import FittedMechanism
from tusi.causal.structural.structure import Structure, number_of
from tusi.causal.table import CausalTable
from tusi.errors import InputError

NOISY = 0.05
"""Share of a cause's variance that may be error before splines are said to be flattened by it."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Values of all variables, row by row, under an intervention.

    Attributes
    ----------
    value
        One column for each variable.
    weight
        How often each row counts.
    names
        Of the variables.
    notes
        What the reader must know: values far from all that were seen.
    """

    value: Float[np.ndarray, "row variable"]
    weight: Float[np.ndarray, " row"]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def column(self, name: str) -> Float[np.ndarray, " row"]:
        """Return the values of a variable."""
        return self.value[:, number_of(self.names, name)]

    def mean(self, name: str) -> float:
        """Return the mean of a variable."""
        return float(np.average(self.column(name), weights=self.weight))

    def quantile(self, name: str, share: float) -> float:
        """Return the value that a share of the rows lies below.

        Parameters
        ----------
        name
            Of the variable.
        share
            Between 0 and 1.
        """
        return float(np.quantile(self.column(name), share))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StructuralModel:
    """Equations of all variables, and each row's noise in each of them.

    Attributes
    ----------
    structure
        The graph and the form of the equations.
    table
        The rows that were seen.
    mechanisms
        What the causes of each variable add up to; `None` for a variable without causes.
    intercept
        Constant of each equation in each image.
    noise
        What each equation leaves of each row; measurement errors count as noise.
    weight
        How often each row counted.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(400)
    >>> table = CausalTable.of({"x": x, "y": 2 * x + 1}, layout=Layout.grid((20, 20)))
    >>> model = StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y")))
    >>> print(model)
    x = noise (sd 0.995)
    y = 1 + 2 x + noise (sd 0)
    >>> round(model.do({"x": 3.0}).mean("y"), 6)
    7.0
    """

    structure: Structure
    table: CausalTable
    mechanisms: tuple[FittedMechanism | None, ...]
    intercept: Float[np.ndarray, "image variable"]
    noise: Float[np.ndarray, "row variable"]
    weight: Float[np.ndarray, " row"]

    @classmethod
    def fit(cls, table: CausalTable, structure: Structure) -> "StructuralModel":
        """Return the model whose equations fit a table best.

        Parameters
        ----------
        table
            The variables and where they lie.
        structure
            The graph and the form of the equations.

        Raises
        ------
        InputError
            A variable is missing, or a cause does not vary.
        """
        rows = structure.rows(table)
        mechanisms = tuple(
            structure.mechanism.fit(structure.family(rows, j)) if structure.arrow[:, j].any() else None
            for j in range(len(structure.names))
        )
        return cls.with_mechanisms(structure, table.select(structure.names), mechanisms)

    @classmethod
    def with_mechanisms(
        cls, structure: Structure, table: CausalTable, mechanisms: tuple[FittedMechanism | None, ...], *,
        weight: Float[np.ndarray, " row"] | None = None,
    ) -> "StructuralModel":  # fmt: skip
        """Return the model with these functions; constants and noise are what they leave of the rows.

        Parameters
        ----------
        structure, table, mechanisms, weight
            As in the class.
        """
        weight = np.ones(len(table)) if weight is None else weight
        intercept, noise = np.zeros((table.n_images, table.n_variables)), np.zeros_like(table.value)
        for j, mechanism in enumerate(mechanisms):
            left = table.value[:, j].copy()
            if mechanism is not None:
                left -= mechanism(table.value[:, structure.arrow[:, j]])
            family = structure.family(table, j, weight)
            intercept[:, j] = family.means(left)
            noise[:, j] = left - intercept[table.image, j]
        return cls(
            structure=structure, table=table, mechanisms=mechanisms, intercept=intercept, noise=noise, weight=weight
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know: what the graph leaves open, and errors that the equations do not allow for."""
        notes = list(self.structure.notes)
        if not self.structure.mechanism.linear:
            share = np.diagonal(self.table.error_covariance.mean(axis=0)) / self.table.value.var(axis=0)
            notes += [
                f"{share[k]:.0%} of the variance of {name} is error, which flattens smooth functions of it"
                for k, name in enumerate(self.structure.names)
                if share[k] > NOISY and self.structure.arrow[k].any()
            ]
        return tuple(notes)

    @property
    def equations(self) -> tuple[str, ...]:
        """One for each variable, causes first; constants are means over images."""
        out = []
        for j in self.structure.order:
            name, mechanism = self.structure.names[j], self.mechanisms[j]
            constant = float(self.intercept[:, j].mean())
            scale = float(self.table.value[:, j].std())
            terms = [] if abs(constant) < 0.05 * scale and mechanism is None else [f"{constant:.3g}"]
            if mechanism is not None:
                terms.append(mechanism.right_hand_side(self.structure.causes(name)))
            spread = float(self.noise[:, j].std())
            out.append(f"{name} = {' '.join(terms)}{' + ' if terms else ''}noise (sd {_tidy(spread, scale):.3g})")
        return tuple(out)

    def __str__(self) -> str:
        return "\n".join((*self.equations, *self.notes))

    def do(self, values: Mapping[str, float] | None = None, *, shift: Mapping[str, float] | None = None) -> Outcome:
        """Return what all rows would be if variables were set, or shifted, from outside.

        Every row keeps its noise, so the rows are the distribution under the intervention.

        Parameters
        ----------
        values
            Variables that are set, each in its unit.
        shift
            Variables to which a constant is added.
        """
        return self.counterfactual(np.arange(len(self.table)), values, shift=shift)

    def counterfactual(
        self, rows: Int[np.ndarray, " row"], values: Mapping[str, float] | None = None, *,
        shift: Mapping[str, float] | None = None,
    ) -> Outcome:  # fmt: skip
        """Return what these rows would have been if variables had been set, or shifted.

        Abduction: the noise of each row is what its equations leave of it. Action: the equations of variables that are
        set give way to their values. Prediction: the rest follows, with the same noise. Assumes that noise is additive
        and that no hidden cause acts on two of the variables.

        Parameters
        ----------
        rows
            Numbers of rows of the table.
        values
            Variables that are set, each in its unit.
        shift
            Variables to which a constant is added.

        Raises
        ------
        InputError
            Nothing is set, or one variable is set and shifted.

        References
        ----------
        J. Pearl, Causality (Cambridge, 2009), section 7.1.
        """
        values, shift = dict(values or {}), dict(shift or {})
        if not (values or shift) or set(values) & set(shift):
            raise InputError(
                "values", expected="variables to set or to shift, each in one way", got=f"{values} {shift}"
            )
        fixed = {number_of(self.structure.names, name): np.full(len(rows), float(v)) for name, v in values.items()}
        added = {number_of(self.structure.names, name): float(v) for name, v in shift.items()}
        return Outcome(
            value=self.propagate(rows, fixed, added), weight=self.weight[rows], names=self.structure.names,
            notes=self._far(values),
        )  # fmt: skip

    def propagate(
        self, rows: Int[np.ndarray, " row"], fixed: Mapping[int, Float[np.ndarray, " row"]],
        added: Mapping[int, float] | None = None,
    ) -> Float[np.ndarray, "row variable"]:  # fmt: skip
        """Return all variables of rows when some are fixed row by row, or have constants added.

        Parameters
        ----------
        rows
            Numbers of rows of the table.
        fixed
            Values of variables by their number.
        added
            Constants by number of the variable.
        """
        out = np.empty((len(rows), len(self.structure.names)))
        for j in self.structure.order:
            if j in fixed:
                out[:, j] = fixed[j]
                continue
            mechanism = self.mechanisms[j]
            out[:, j] = self.intercept[self.table.image[rows], j] + self.noise[rows, j]
            if mechanism is not None:
                out[:, j] += mechanism(out[:, self.structure.arrow[:, j]])
            out[:, j] += (added or {}).get(j, 0.0)
        return out

    def _far(self, values: Mapping[str, float]) -> tuple[str, ...]:
        notes = []
        for name, value in values.items():
            seen = self.table.column(name)
            if not seen.min() <= value <= seen.max():
                notes.append(f"{name} = {value:.3g} is beyond all that was seen, {seen.min():.3g} to {seen.max():.3g}")
        return tuple(notes)


def _tidy(spread: float, scale: float) -> float:
    return 0.0 if spread < 1e-9 * scale else spread
