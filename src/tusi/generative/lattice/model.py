"""Lattice Hamiltonians as data: each term is a coupling, the clusters it counts, and what a cluster contributes."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.lattice.motifs import Motif

Table = tuple[float, ...]
"""What a cluster contributes by its code: species of the corners as digits, the first corner's digit the lowest."""

MOST_CORNERS = 6
"""Sites of the largest cluster that a term can count."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """One term of a lattice energy: a coupling times a sum over clusters.

    Attributes
    ----------
    coupling
        Name of the coupling, e.g. "J".
    motif
        Which clusters are counted, each once.
    table
        What a cluster contributes, by code; `tabulate` makes it from a function of the corners' species.
    counts
        The summand as an equation writes it, with {0}, {1}, ... for names of species, e.g. "d(unlike)" or "-s_i s_j".
    with_vacancy
        Contribution of what is left of a cluster with one vacant corner, by the code of the remaining corners;
        nothing by default.
    """

    coupling: str
    motif: Motif
    table: Table
    counts: str
    with_vacancy: Table = ()

    def __post_init__(self) -> None:
        n = self.n_species
        if n**self.motif.n_corners != len(self.table) or n < 1:
            raise InputError(
                "table",
                expected=f"n_species to the power of {self.motif.n_corners} entries",
                got=f"{len(self.table)} entries for {self.coupling}",
                then="Build it with `tabulate`.",
            )
        if self.with_vacancy and len(self.with_vacancy) != n ** (self.motif.n_corners - 1):
            raise InputError(
                "with_vacancy", expected=f"{n ** (self.motif.n_corners - 1)} entries", got=str(len(self.with_vacancy))
            )
        if not np.isfinite(self.table).all():
            raise InputError("table", expected="finite numbers", got=f"others in {self.coupling}")

    @property
    def n_species(self) -> int:
        """Species that the table knows."""
        return round(len(self.table) ** (1.0 / self.motif.n_corners))

    def expression(self, species: Sequence[str]) -> str:
        """Return the sum as an equation writes it, without the coupling and without a leading sign."""
        counts = self.counts.removeprefix("-").format(*species)
        return f"sum_{self.motif.symbol} {counts}"

    def check_symmetry(self, crystal: Crystal) -> None:
        """Make sure that the table does not tell apart corners that symmetry exchanges.

        Raises
        ------
        InputError
            It does.
        """
        shape = (self.n_species,) * self.motif.n_corners
        array = np.array(self.table).reshape(shape).transpose()
        for orbit in self.motif.orbits(crystal):
            for order in orbit.permutations:
                if not np.allclose(array, array.transpose(order)):
                    raise InputError(
                        "table",
                        expected=f"the same number when corners are exchanged in the order {order}, as symmetry does",
                        got=f"different ones in {self.coupling}",
                        then="Use an oriented motif or a symmetric table.",
                    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatticeModel:
    """A lattice Hamiltonian `E/kT = sum_k w_k T_k`, linear in its couplings.

    Attributes
    ----------
    name
        Short name.
    species
        Names of the species in the order of their codes.
    terms
        What each coupling multiplies; none for the random alloy.
    homes
        Labels of the sites that a species is confined to, as (species, label) pairs; a species that is not named may
        sit anywhere.

    Examples
    --------
    >>> from tusi.generative.lattice.named import blume_capel, ising
    >>> print(ising())
    E/kT = -K sum_NN s_i s_j - h sum_i s_i
    >>> print(blume_capel())
    E/kT = -K sum_NN s_i s_j + D sum_i s_i^2 - h sum_i s_i
    """

    name: str
    species: tuple[str, ...] = ("A", "B")
    terms: tuple[Term, ...] = ()
    homes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.species)) != len(self.species) or len(self.species) < 2:
            raise InputError("species", expected="at least two different names", got=str(self.species))
        for term in self.terms:
            if term.n_species != len(self.species):
                raise InputError(
                    "terms",
                    expected=f"tables for {len(self.species)} species",
                    got=f"{term.n_species} in {term.coupling}",
                )
            if term.motif.n_corners > MOST_CORNERS:
                raise InputError("terms", expected=f"at most {MOST_CORNERS} corners", got=str(term.motif.n_corners))
        if len(set(self.parameters)) != len(self.terms):
            raise InputError("terms", expected="a different name for every coupling", got=str(self.parameters))

    @property
    def n_species(self) -> int:
        """Number of species."""
        return len(self.species)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the couplings."""
        return tuple(term.coupling for term in self.terms)

    def equation(self, species: Sequence[str] | None = None) -> str:
        """Return the energy as an equation, with these names of the species."""
        parts = []
        for term in self.terms:
            sign = "-" if term.counts.startswith("-") else "+"
            parts.append(f"{sign} {term.coupling} {term.expression(species or self.species)}")
        text = " ".join(parts).removeprefix("+ ") or "0"
        return "E/kT = " + (f"-{text[2:]}" if text.startswith("- ") else text)

    def named(self, *species: str) -> "LatticeModel":
        """Return the same model with these names of the species."""
        if len(species) != self.n_species:
            raise InputError("species", expected=f"{self.n_species} names", got=str(species))
        new = dict(zip(self.species, species, strict=True))
        return dataclasses.replace(self, species=species, homes=tuple((new[s], label) for s, label in self.homes))

    def couplings(self, **values: float) -> Float[np.ndarray, " parameter"]:
        """Return couplings in order from their names; those not named are 0.

        Examples
        --------
        >>> from tusi.generative.lattice.named import ising
        >>> ising().couplings(K=0.4).tolist()
        [0.4, 0.0]
        """
        unknown = set(values) - set(self.parameters)
        if unknown:
            raise InputError("couplings", expected=f"names among {self.parameters}", got=str(sorted(unknown)))
        return np.array([float(values.get(name, 0.0)) for name in self.parameters])

    def check_couplings(self, values: Any) -> Float[np.ndarray, " parameter"]:
        """Return couplings as an array, or say what is wrong with them."""
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if array.shape != (len(self.terms),) or not np.isfinite(array).all():
            raise InputError("couplings", expected=f"one finite number for each of {self.parameters}", got=str(values))
        return array

    def __str__(self) -> str:
        return self.equation()


def tabulate(function: Callable[..., float], *, n_species: int, n_corners: int) -> Table:
    """Return the table of a function of the corners' species (codes 0, 1, ...).

    Parameters
    ----------
    function
        Takes one code per corner.
    n_species, n_corners
        Species, and sites of a cluster.

    Examples
    --------
    >>> tabulate(lambda i, j: i != j, n_species=2, n_corners=2)
    (0.0, 1.0, 1.0, 0.0)
    """
    if n_species < 1 or n_corners < 1 or math.pow(n_species, n_corners) > 10**6:
        raise InputError("n_corners", expected="a small cluster", got=f"{n_corners} corners of {n_species} species")
    codes = itertools.product(range(n_species), repeat=n_corners)
    return tuple(float(function(*code[::-1])) for code in codes)
