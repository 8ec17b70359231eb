"""How large a window must be before a symmetry can be told from its neighbours."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.symmetry.evidence import measured
from tusi.structure.symmetry.mean_cells import N_STRAINS, MeanCell, repeated_cell
from tusi.structure.symmetry.posterior import Hypotheses, find_strata, log_parents
from tusi.structure.symmetry.prior import SymmetryPrior
from tusi.structure.symmetry.realised import realised_symmetry

INVARIANT = 1e-6
"""Strain, or fraction of the cell, below which a structure has a symmetry."""

DECISIVE = math.log(20.0)
"""Log odds that count as a decision."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WindowSizes(Record):
    """Expected log odds of a structure's own symmetry against each other one, by size of the window.

    Attributes
    ----------
    n_cells
        Cells in the window.
    log_odds
        Expected log odds of the true group against each of `rivals`, prior included.
    group
        The true group.
    rivals
        Groups that a structure near this one can have.
    """

    format_name: ClassVar[str] = "window_sizes"
    row: ClassVar[str] = "window"

    n_cells: Int[np.ndarray, " window"] = array("window", dtype=np.int64)
    log_odds: Float[np.ndarray, "window rival"] = array("window", "rival")
    group: str
    rivals: tuple[str, ...]

    def needed(self, rival: str) -> float:
        """Return the smallest number of cells from which the expected odds stay above 20 to 1; infinity if none."""
        if rival not in self.rivals:
            raise InputError("rival", expected=f"one of {', '.join(self.rivals)}", got=repr(rival))
        decided = self.log_odds[:, self.rivals.index(rival)] >= DECISIVE
        last = np.flatnonzero(~decided).max(initial=-1) + 1
        return float(self.n_cells[last]) if last < len(decided) else math.inf


def expected_window(
    cell: MeanCell,
    *,
    position_error: float,
    group: str | None = None,
    sides: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20),
    prior: SymmetryPrior | None = None,
) -> WindowSizes:
    """Return the expected evidence for a structure's own symmetry in square windows of growing size.

    The cell given is taken to be the true structure, or the nearest one that a stated group leaves invariant, and every
    atom of a window to be measured with the same error.
    The mean of the log evidence over such measurements is exact: for a symmetry that the structure lacks the misfit
    grows with the number of cells, for one that it exceeds only the penalty of needless freedom grows, with its
    logarithm. Broken parents are left out: each symmetry is taken as it stands.

    Parameters
    ----------
    cell
        The true structure, or one near it.
    position_error
        Standard deviation of an atom's position per axis, in the unit of the cell.
    group
        Plane group of the true structure; by default the exact group of the cell as it is given.
    sides
        Cells along each side of the windows, growing.
    prior
        What is taken to be likely beforehand.

    Examples
    --------
    >>> cell = MeanCell(fraction=np.zeros((1, 2)), species_log_likelihood=np.zeros((1, 0)),
    ...     vectors=np.diag([1.0, 1.05]), covariance=1e-6 * np.eye(5), n_cells=36, length_unit="pixel")
    >>> sizes = expected_window(cell, position_error=0.05)
    >>> sizes.group, sizes.needed("p4m")
    ('pmm', 25.0)
    """
    if not (0 < position_error < math.inf and sides and min(sides) > 1 and list(sides) == sorted(set(sides))):
        raise InputError(
            "sides", expected="a positive error and growing sides from 2", got=f"{position_error}, {sides}"
        )
    prior = prior or SymmetryPrior()
    if group is not None:
        cell = _symmetrised(cell, group, prior)
    hypotheses = find_strata(repeated_cell(cell, position_error=position_error, side=sides[0]), prior)
    names = _names(cell, hypotheses)
    exact = np.array([np.abs(stratum.point).max() < INVARIANT for stratum in hypotheses.strata])
    own = str(names[np.where(exact, hypotheses.members.sum(axis=1), 0).argmax()])
    rivals = tuple(dict.fromkeys(str(name) for name in names if name != own))
    odds = np.empty((len(sides), len(rivals)))
    for row, side in enumerate(sides):
        scatter = measured(repeated_cell(cell, position_error=position_error, side=side))
        total = log_parents(hypotheses, prior) + [scatter.expected_log_evidence(one) for one in hypotheses.strata]
        best = {name: total[names == name].max() for name in (own, *rivals)}
        odds[row] = [best[own] - best[rival] for rival in rivals]
    possible = np.array([bool(np.isfinite(column).all()) for column in odds.T], bool)
    return WindowSizes(
        n_cells=np.array(sides) ** 2,
        log_odds=odds[:, possible],
        group=own,
        rivals=tuple(rival for rival, kept in zip(rivals, possible, strict=True) if kept),
    )


def _names(cell: MeanCell, hypotheses: Hypotheses) -> np.ndarray:
    """Return the exact group of the structures of each hypothesis."""
    pairs = zip(hypotheses.strata, hypotheses.species, strict=True)
    return np.array([realised_symmetry(stratum, cell, species).group for stratum, species in pairs])


def _symmetrised(cell: MeanCell, group: str, prior: SymmetryPrior) -> MeanCell:
    """Return the nearest cell of which the exact group is this one."""
    hypotheses = find_strata(cell, prior)
    scatter, names = measured(cell), _names(cell, hypotheses)
    misfit = np.array([scatter.misfit(stratum) for stratum in hypotheses.strata])
    if group not in names:
        raise InputError("group", expected=f"one of {', '.join(sorted(set(names)))}, near this cell", got=repr(group))
    stratum = hypotheses.strata[np.where(names == group, misfit, np.inf).argmin()]
    gram = np.swapaxes(stratum.rotation, 1, 2) @ (cell.vectors @ cell.vectors.T) @ stratum.rotation
    inverse = np.linalg.inv(cell.vectors)
    values, axes = np.linalg.eigh(inverse @ gram.mean(axis=0) @ inverse.T)
    return dataclasses.replace(
        cell,
        vectors=cell.vectors @ (axes * np.sqrt(values)) @ axes.T,
        fraction=cell.fraction + stratum.point[N_STRAINS:].reshape(-1, 2),
    )
