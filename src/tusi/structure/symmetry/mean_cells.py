"""The mean cell of a window: lattice vectors and mean positions with their covariance; symmetry is judged by it."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Lattice
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.translations import reduce_vectors

N_STRAINS = 3
"""Components before the positions: relative area, and the two pure strains of the cell."""

FEWEST_CELLS = 4
"""Cells in which a site must be seen for its mean position to count."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MeanCell(Record):
    """The cell of a crystal averaged over a window.

    Attributes
    ----------
    fraction
        Mean position of each site, in units of the lattice vectors.
    species_log_likelihood
        Logarithm of the likelihood of each of `species` at each site, over all cells.
    vectors
        Reduced lattice vectors as rows (y, x), in `length_unit`.
    covariance
        Covariance of the relative area, the strains e_yy - e_xx and 2 e_xy of the cell, and the fractional positions
        (site 0 along the first vector, along the second, site 1, ...).
    species
        Names of the species.
    n_cells
        Cells that were averaged.
    degrees_of_freedom
        Of the scatter that the covariance was estimated from; infinite where the covariances of the atoms were known.
    disorder
        Standard deviation of real displacements from cell to cell, beyond the errors of the positions, per axis.
    length_unit
        "angstrom" or "pixel".
    """

    format_name: ClassVar[str] = "mean_cell"
    row: ClassVar[str] = "site"

    fraction: Float[np.ndarray, "site 2"] = array("site", "axis")
    species_log_likelihood: Float[np.ndarray, "site species"] = array("site", "species_")
    vectors: Float[np.ndarray, "2 2"] = array("vector", "axis")
    covariance: Float[np.ndarray, "component component"] = array("component", "component_")
    species: tuple[str, ...] = ()
    n_cells: int
    degrees_of_freedom: float = np.inf
    disorder: float = 0.0
    length_unit: str

    def _check(self) -> None:
        if len(self.covariance) != N_STRAINS + 2 * len(self.fraction):
            raise InputError(
                "covariance",
                expected=f"{N_STRAINS} + 2 x {len(self.fraction)} components",
                got=str(len(self.covariance)),
            )
        if not (np.isfinite(self.covariance).all() and np.isfinite(self.fraction).all()):
            raise InputError("fraction", expected="finite positions and covariances", got="NaN or infinity")

    @property
    def side(self) -> float:
        """Square root of the cell's area, in `length_unit`."""
        return float(np.sqrt(abs(np.linalg.det(self.vectors))))

    @property
    def position_error(self) -> float:
        """Root mean square error of the mean positions per axis, in `length_unit`."""
        gram = self.vectors @ self.vectors.T
        blocks = [self.covariance[k : k + 2, k : k + 2] for k in range(N_STRAINS, len(self.covariance), 2)]
        return float(np.sqrt(np.mean([np.trace(block @ gram) / 2 for block in blocks])))

    @property
    def strain_error(self) -> float:
        """Root mean square error of the two strains of the cell."""
        return float(np.sqrt(np.trace(self.covariance[1:3, 1:3]) / 2))

    def with_error(self, *, scan: float = 0.0, position: float = 0.0) -> "MeanCell":
        """Return the cell with errors that all cells share, which averaging does not reduce.

        Parameters
        ----------
        scan
            Standard deviation of each component of an unknown affine distortion of the scan (0.01: lengths by one per
            cent, angles by one hundredth). It touches the lattice vectors alone.
        position
            Standard deviation per axis of a systematic error of each site's position, in `length_unit`.

        Examples
        --------
        >>> cell = MeanCell(fraction=np.zeros((1, 2)), species_log_likelihood=np.zeros((1, 0)), vectors=np.eye(2),
        ...     covariance=np.zeros((5, 5)), n_cells=36, length_unit="pixel")
        >>> cell.with_error(scan=0.01, position=0.02).position_error
        0.02
        """
        added = np.zeros_like(self.covariance)
        added[:N_STRAINS, :N_STRAINS] = 2 * scan**2 * np.eye(N_STRAINS)
        inverse = np.linalg.inv(self.vectors @ self.vectors.T)
        added[N_STRAINS:, N_STRAINS:] = position**2 * np.kron(np.eye(len(self)), inverse)
        return dataclasses.replace(self, covariance=self.covariance + added)


def mean_cell(
    atoms: Atoms,
    lattice: Lattice,
    *,
    sites: Int[np.ndarray, " chosen"] | None = None,
    supercell: tuple[int, int] = (1, 1),
    domain: int = 0,
) -> MeanCell:
    """Average the cells of a window into one, with the covariance of everything in it.

    Lattice vectors and one mean position for each site of the cell are fitted together to all atoms by generalised
    least squares with the atoms' covariances; scatter beyond them is taken as real displacement from cell to cell and
    added as one variance, and where covariances are unknown (NaN) the scatter is all there is. Every cell is taken to
    hold the same structure: a site's species is one, judged by the atoms of all cells.

    Parameters
    ----------
    atoms
        Positions, covariances, and species probabilities where they are known.
    lattice
        Their registration.
    sites
        Rows of the lattice that form the window; all of them by default.
    supercell
        Cells along the two lattice vectors that are taken as one cell, to see structures with a larger cell.
    domain
        Number of the crystal domain.

    Raises
    ------
    InputError
        Some site of the cell is seen in fewer than four cells, or the cells all lie in one row.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom")
    >>> cell = mean_cell(atoms, register_lattice(atoms))
    >>> len(cell), cell.n_cells, float(np.round(cell.side, 6))
    (1, 64, 3.0)
    """
    chosen = np.arange(len(lattice)) if sites is None else np.asarray(sites)
    chosen = chosen[(lattice.domain[chosen] == domain) & (lattice.atom[chosen] >= 0)]
    rows = lattice.atom[chosen]
    cell, site = _folded(lattice.index[chosen], supercell)
    used, site = np.unique(site, return_inverse=True)
    counts = np.bincount(site, minlength=len(used))
    if not len(used) or counts.min() < FEWEST_CELLS or np.ptp(cell, axis=0).min() < 1:
        raise InputError(
            "sites",
            expected=f"every site of the cell in at least {FEWEST_CELLS} cells, in more than one row",
            got=f"{counts.min() if len(used) else 0} cells",
            then="Take a larger window or a smaller cell.",
        )
    centre = np.round(cell.mean(axis=0))
    design = np.zeros((len(rows), 2 + len(used)))
    design[:, :2] = cell - centre
    design[np.arange(len(rows)), 2 + site] = 1.0
    fit = _fit(design, atoms.position[rows], atoms.covariance[rows])
    table = _species_table(atoms.species_probability[rows], site, len(used))
    return _expressed(fit, table, atoms, int(counts.max()))


def repeated_cell(cell: MeanCell, *, position_error: float, side: int) -> MeanCell:
    """Return a cell with the covariance that a full square window would give it.

    Parameters
    ----------
    cell
        Vectors, positions and species.
    position_error
        Standard deviation of an atom's position per axis, in the unit of the cell.
    side
        Cells along each side of the window.
    """
    index = np.argwhere(np.ones((side, side, len(cell)), bool))
    design = np.zeros((len(index), 2 + len(cell)))
    design[:, :2] = index[:, :2] - (side - 1) / 2
    design[np.arange(len(index)), 2 + index[:, 2]] = 1.0
    inverse = np.linalg.inv(design.T @ design) * position_error**2
    jacobian = _jacobian(cell.vectors, cell.fraction)
    covariance = jacobian @ np.kron(inverse, np.eye(2)) @ jacobian.T
    return dataclasses.replace(
        cell, covariance=(covariance + covariance.T) / 2, n_cells=side**2, degrees_of_freedom=np.inf
    )


def _jacobian(
    vectors: Float[np.ndarray, "2 2"], fraction: Float[np.ndarray, "site 2"]
) -> Float[np.ndarray, "component number"]:
    """Return how strains and fractional positions change with the vectors and positions that were fitted."""
    n_sites, inverse = len(fraction), np.linalg.inv(vectors)
    jacobian = np.zeros((N_STRAINS + 2 * n_sites, 4 + 2 * n_sites))
    for number, change in enumerate(np.eye(4 + 2 * n_sites)):
        relative = inverse @ change[:4].reshape(2, 2)
        jacobian[:N_STRAINS, number] = strain_components((relative + relative.T) / 2)
        moved = (change[4:].reshape(-1, 2) - fraction @ change[:4].reshape(2, 2)) @ inverse
        jacobian[N_STRAINS:, number] = moved.ravel()
    return jacobian


def _folded(index: Int[np.ndarray, "site 3"], supercell: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each atom and which site of the (super)cell it is."""
    shape = np.array(supercell)
    if (shape < 1).any():
        raise InputError("supercell", expected="at least one cell along each vector", got=str(supercell))
    cell = index[:, :2] // shape
    within = index[:, :2] - cell * shape
    return cell, (index[:, 2] * shape[0] + within[:, 0]) * shape[1] + within[:, 1]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    """Values (two lattice vectors, then sites; y and x of each) and their joint covariance."""

    value: Float[np.ndarray, "unknown 2"]
    covariance: Float[np.ndarray, "number number"]
    disorder: float
    degrees_of_freedom: float


def _fit(
    design: Float[np.ndarray, "atom unknown"],
    position: Float[np.ndarray, "atom 2"],
    covariance: Float[np.ndarray, "atom 2 2"],
) -> _Fit:
    """Fit by generalised least squares, after estimating the variance that the atoms' covariances leave open."""
    known = bool(np.isfinite(covariance).all())
    value, *_ = np.linalg.lstsq(design, position, rcond=None)
    degrees = 2 * (len(design) - design.shape[1])
    scatter = ((position - design @ value) ** 2).sum() / degrees
    stated = np.einsum("iaa->i", covariance).mean() / 2 if known else 0.0
    disorder = max(scatter - stated, 0.0)
    if known and (scatter - stated) < 2.0 * scatter * np.sqrt(2.0 / degrees):
        disorder = 0.0
    total = (covariance if known else 0.0) + disorder * np.eye(2)
    precision = np.linalg.inv(np.broadcast_to(total, (len(design), 2, 2)))
    normal = np.einsum("iu,iab,iv->uavb", design, precision, design)
    n = design.shape[1]
    inverse = np.linalg.inv(normal.reshape(2 * n, 2 * n))
    right = np.einsum("iu,iab,ib->ua", design, precision, position).ravel()
    return _Fit(
        value=(inverse @ right).reshape(n, 2),
        covariance=inverse,
        disorder=float(np.sqrt(disorder)),
        degrees_of_freedom=np.inf if known else float(degrees),
    )


def _species_table(
    probability: Float[np.ndarray, "atom species"], site: Int[np.ndarray, " atom"], n_sites: int
) -> Float[np.ndarray, "site species"]:
    """Return the log likelihood of each species at each site; atoms without an inferred species say nothing."""
    table = np.zeros((n_sites, probability.shape[1]))
    told = np.isfinite(probability).all(axis=1)
    np.add.at(table, site[told], np.log(np.clip(probability[told], 1e-6, None)))
    return table


def _expressed(fit: _Fit, table: np.ndarray, atoms: Atoms, n_cells: int) -> MeanCell:
    """Return the fit in fractional coordinates of the reduced cell, linearised about it."""
    vectors = reduce_vectors(fit.value[:2])
    change = np.rint(vectors @ np.linalg.inv(fit.value[:2]))
    n_sites = len(table)
    turn = np.eye(2 + n_sites)
    turn[:2, :2] = change
    turn = np.kron(turn, np.eye(2))
    fraction = fit.value[2:] @ np.linalg.inv(vectors)
    jacobian = _jacobian(vectors, fraction)
    covariance = jacobian @ turn @ fit.covariance @ turn.T @ jacobian.T
    return MeanCell(
        fraction=fraction,
        species_log_likelihood=table,
        vectors=vectors,
        covariance=(covariance + covariance.T) / 2,
        species=atoms.species,
        n_cells=n_cells,
        degrees_of_freedom=fit.degrees_of_freedom,
        disorder=fit.disorder,
        length_unit=atoms.length_unit,
    )


def strain_components(strain: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "3"]:
    """Return the relative change of area and the two pure strains, e_yy - e_xx and 2 e_xy, of a strain tensor.

    Examples
    --------
    >>> strain_components(np.array([[0.02, 0.01], [0.01, -0.02]])).tolist()
    [0.0, 0.04, 0.02]
    """
    return np.array([strain[0, 0] + strain[1, 1], strain[0, 0] - strain[1, 1], strain[0, 1] + strain[1, 0]])


def strain_tensor(components: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2 2"]:
    """Return the strain tensor with these components, the inverse of `strain_components`."""
    area, stretch, shear = components
    return np.array([[area + stretch, shear], [shear, area - stretch]]) / 2
