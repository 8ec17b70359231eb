"""A registered lattice: which site of which row and column each atom sits on, and which sites are empty."""

import dataclasses
from typing import ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.units import LENGTH_UNITS


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Lattice(Record):
    """Sites of one image, flat: a row per site, over all of its domains.

    Attributes
    ----------
    index
        (row, column, basis) of each site; rows step along the domain's first lattice vector, columns along its second.
    position
        Expected (y, x) of the site, following drift and slow distortion, in `length_unit`.
    atom
        Row of the atom in the image's `Atoms`; -1 for a vacancy.
    vacancy_probability
        Probability that the site is empty.
    domain
        Number of the crystal domain.
    boundary
        True where part of the site's neighbourhood lies outside the window.
    vectors
        The two lattice vectors of each domain as rows (y, x), in `length_unit`.
    basis
        Mean position of each basis site in units of the lattice vectors, in [0, 1).
    image
        Number of the image.
    length_unit
        "angstrom" or "pixel".
    """

    format_name: ClassVar[str] = "lattice"
    row: ClassVar[str] = "site"

    index: Int[np.ndarray, "site 3"] = array("site", "component", dtype=np.int64)
    position: Float[np.ndarray, "site 2"] = array("site", "axis")
    atom: Int[np.ndarray, " site"] = array("site", dtype=np.int64)
    vacancy_probability: Float[np.ndarray, " site"] = array("site")
    domain: Int[np.ndarray, " site"] = array("site", dtype=np.int64)
    boundary: Bool[np.ndarray, " site"] = array("site", dtype=np.bool_)
    vectors: Float[np.ndarray, "domain 2 2"] = array("domain_", "vector", "axis")
    basis: Float[np.ndarray, "basis 2"] = array("basis_", "axis")
    image: int = 0
    length_unit: str

    def _check(self) -> None:
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))
        taken = self.atom[self.atom >= 0]
        if len(np.unique(taken)) != len(taken):
            raise InputError("atom", expected="each atom on at most one site", got="an atom on two sites")

    @property
    def vacant(self) -> Bool[np.ndarray, " site"]:
        """Sites without an atom that are more likely empty than filled by one that was missed."""
        return (self.atom < 0) & (self.vacancy_probability >= 0.5)

    def to_dense(self, domain: int = 0) -> xr.DataArray:
        """Return the atom of each site of one domain as an array over (row, column, basis); -1 where there is none."""
        inside = self.domain == domain
        index = self.index[inside]
        if not len(index):
            return xr.DataArray(np.empty((0, 0, 0), np.int64), dims=("row", "column", "basis"))
        low = np.array([*index[:, :2].min(axis=0), 0])
        n_rows, n_columns = index[:, :2].max(axis=0) - low[:2] + 1
        dense = np.full((n_rows, n_columns, len(self.basis)), -1, np.int64)
        dense[tuple((index - low).T)] = self.atom[inside]
        coordinates = {"row": low[0] + np.arange(n_rows), "column": low[1] + np.arange(n_columns)}
        return xr.DataArray(dense, dims=("row", "column", "basis"), coords=coordinates)
