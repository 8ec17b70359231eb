"""Do the equations hold? What they explain, and whether what they leave depends on the causes after all."""

import dataclasses

import numpy as np

from tusi.causal.independence import KernelIndependence
from tusi.causal.structural.model import StructuralModel

DOUBTFUL = 0.01
"""P-value below which the noise of an equation is said to depend on a cause."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """How well one equation does.

    Attributes
    ----------
    effect
        The variable that it is for.
    explained
        Share of the variance within images that its causes explain, R squared; of true and measured values alike.
    p_value
        That the noise has this much to do with any one of the causes, if it has nothing; corrected for their number.
        NaN where a cause has known errors, which noise depends on even if the equation holds.
    cause
        The cause on which the noise seems to depend most.
    """

    effect: str
    explained: float
    p_value: float
    cause: str

    def __str__(self) -> str:
        said = f"{self.effect}: {self.explained:.0%} explained"
        if self.p_value < DOUBTFUL:
            advice = "try `Spline()`, or look for a cause that is missing"
            return f"{said}; the noise depends on {self.cause} (p = {self.p_value:.2g}): {advice}"
        return said


def diagnose(
    model: StructuralModel, *, rng: np.random.Generator, test: KernelIndependence | None = None
) -> tuple[Diagnosis, ...]:
    """Return what each equation explains, and whether its noise is independent of its causes.

    Additive-noise models say so; a wrong form, a wrong direction or a hidden common cause mostly break it. The test
    counts neighbours in the image as what they are (torus shifts).

    Parameters
    ----------
    model
        The equations.
    rng
        Source of randomness, for the test's features and shifts.
    test
        Of independence.

    References
    ----------
    J. Peters, J. M. Mooij, D. Janzing, B. Scholkopf, J. Mach. Learn. Res. 15, 2009 (2014).

    Examples
    --------
    >>> from tusi.causal import CausalTable
    >>> from tusi.causal.structural import Structure
    >>> from tusi.inference.spatial import Layout
    >>> x, e = np.random.default_rng(0).standard_normal((2, 900))
    >>> table = CausalTable.of({"x": x, "y": x**2 + e}, layout=Layout.grid((30, 30)))
    >>> model = StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y")))
    >>> diagnose(model, rng=np.random.default_rng(1))[0].p_value < 0.01
    True
    """
    structure, table = model.structure, model.table
    out = []
    for j in structure.order:
        causes = np.flatnonzero(structure.arrow[:, j])
        if not len(causes):
            continue
        family = structure.family(table, j)
        effect = family.centred(family.effect)
        noise = model.noise[:, j]
        p_value, worst = float("nan"), structure.names[causes[0]]
        if noise.std() <= 1e-9 * effect.std():
            p_value = 1.0
        elif not family.error[:-1].any():
            residuals = table.select(tuple(structure.names[k] for k in causes)).with_columns({"noise of it": noise})
            prepared = (test or KernelIndependence()).prepare(residuals, rng=rng)
            answers = [prepared.ask(k, len(causes)).p_value for k in range(len(causes))]
            p_value = min(1.0, len(answers) * min(answers))
            worst = structure.names[causes[int(np.argmin(answers))]]
        explained = 1.0 - float(noise @ noise / (effect @ effect))
        out.append(Diagnosis(effect=structure.names[j], explained=explained, p_value=p_value, cause=worst))
    return tuple(out)
