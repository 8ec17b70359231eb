"""Atoms at lattice steps from each other, sums of their positions, and how the positions' errors pass into them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.structure.neighbourhoods.steps import Step, by_steps


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SteppedSites:
    """The filled sites of one kind, and the atoms found a few lattice steps from each.

    Attributes
    ----------
    site
        Rows of the sites in the lattice.
    centre
        Rows of their atoms.
    atom
        Row of the atom at each step from each site; -1 where there is none.
    """

    site: Int[np.ndarray, " row"]
    centre: Int[np.ndarray, " row"]
    atom: Int[np.ndarray, "row step"]


def atoms_at_steps(lattice: Lattice, steps: Sequence[Step], *, basis_site: int) -> SteppedSites:
    """Return the atoms at these steps from every filled site of one kind."""
    site, reached = by_steps(lattice, steps, basis_site=basis_site)
    filled = lattice.atom[site] >= 0
    site, reached = site[filled], reached[filled]
    return SteppedSites(site=site, centre=lattice.atom[site], atom=np.where(reached >= 0, lattice.atom[reached], -1))


def check_registered(atoms: Atoms, lattice: Lattice) -> None:
    """Raise unless the lattice holds sites, in the unit of the atoms and of atoms that exist."""
    if not len(lattice):
        raise InputError("lattice", expected="sites", got="an empty lattice", then="See why `register_lattice` failed.")
    if lattice.atom.max() >= len(atoms):
        raise InputError(
            "lattice", expected=f"rows of atoms below {len(atoms)}", got=str(lattice.atom.max()), then="Register again."
        )
    if lattice.length_unit != atoms.length_unit:
        raise InputError("lattice", expected=f"lengths in {atoms.length_unit}", got=lattice.length_unit)


def gathered(values: Float[np.ndarray, "atom *rest"], atom: Int[np.ndarray, "row slot"]) -> np.ndarray:
    """Return the values of these atoms, NaN where an atom is missing."""
    taken = values[atom]
    taken[atom < 0] = np.nan
    return taken


def propagated(
    jacobian: Float[np.ndarray, "#row descriptor slot 2"], covariance: Float[np.ndarray, "row slot 2 2"]
) -> Float[np.ndarray, "row descriptor descriptor"]:
    """Return the covariance of functions of positions to first order, the atoms of a row erring independently.

    Parameters
    ----------
    jacobian
        Derivative of each function by the position of each of the row's atoms; one for all rows, or one each.
    covariance
        Covariance of the positions of the row's atoms.
    """
    total = np.zeros((len(covariance), jacobian.shape[1], jacobian.shape[1]))
    for slot in range(covariance.shape[1]):
        by_position = jacobian[:, :, slot]
        total += by_position @ covariance[:, slot] @ np.swapaxes(by_position, 1, 2)
    return total


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stencil:
    """Vectors that are sums of positions with fixed weights, a row each.

    Attributes
    ----------
    weight
        Weight of each atom's position in each row.
    complete
        Rows of which no atom is missing; the others are NaN.
    """

    weight: sparse.csr_array
    complete: Bool[np.ndarray, " row"]

    @classmethod
    def of(
        cls, atom: Int[np.ndarray, "row slot"], coefficient: Float[np.ndarray, "#row slot"], *, n_atoms: int
    ) -> "Stencil":
        """Return the stencil that weights the atoms of each row by these coefficients."""
        complete = np.all(atom >= 0, axis=1)
        row = np.broadcast_to(np.flatnonzero(complete)[:, None], (int(complete.sum()), atom.shape[1]))
        value = np.broadcast_to(coefficient, atom.shape)[complete]
        entries = (value.ravel(), (row.ravel(), atom[complete].ravel()))
        return cls(weight=sparse.csr_array(entries, shape=(len(atom), n_atoms)), complete=complete)

    def of_positions(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "row 2"]:
        """Return the vectors; those of incomplete rows are NaN."""
        used = np.bincount(self.weight.indices, minlength=self.weight.shape[1]) > 0
        value = np.asarray(self.weight @ np.where(used[:, None], position, 0.0))
        value[~self.complete] = np.nan
        return value

    def covariance(self, covariance: Float[np.ndarray, "atom 2 2"]) -> Float[np.ndarray, "row 2 2"]:
        """Return the covariance of each vector, exactly; NaN where that of an atom is not known."""
        known = np.all(np.isfinite(covariance), axis=(1, 2))
        squared = self.weight.multiply(self.weight).tocsr()
        value = (squared @ np.where(known[:, None, None], covariance, 0.0).reshape(-1, 4)).reshape(-1, 2, 2)
        value[~self.complete | ((squared @ (~known).astype(float)) > 0)] = np.nan
        return value
