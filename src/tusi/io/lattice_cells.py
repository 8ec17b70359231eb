"""From a registered lattice to a periodic cell: the mean unit cell, or the whole window with its defects."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.data.atoms import Atoms
from tusi.data.lattice import Lattice
from tusi.errors import InputError
from tusi.io.cells import PeriodicCell
from tusi.units import ANGSTROM

UNKNOWN = "X"
"""Name of an atom of unknown species."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """What an image seen along z does not say: heights, and how thick the box is.

    Attributes
    ----------
    thickness
        Height of the box, in angstrom; for a sheet, vacuum included.
    heights
        Heights of the atoms of each basis site above the middle of the box, in angstrom, one tuple a basis site; a
        column of several atoms has several, as in ``((0.0,), (-1.56, 1.56))`` for MoS2. Basis sites that are not named
        lie in the middle.
    periodic
        Whether the box repeats along z.
    symbols
        Chemical symbol of each basis site where the atoms do not carry species, as in ``("Mo", "S")``.
    angstrom_per_pixel
        Length of a pixel, for lattices that are in pixels.
    """

    thickness: float = 20.0
    heights: tuple[tuple[float, ...], ...] = ()
    periodic: bool = False
    symbols: tuple[str, ...] = ()
    angstrom_per_pixel: float | None = None

    def __post_init__(self) -> None:
        if not self.thickness > 0:
            raise InputError("thickness", expected="a length above zero, in angstrom", got=str(self.thickness))
        span = [height for column in self.heights for height in column]
        if any(not column for column in self.heights) or not all(np.isfinite(span)):
            raise InputError(
                "heights", expected="one or more finite heights for each basis site", got=str(self.heights)
            )
        if span and max(span) - min(span) >= self.thickness:
            raise InputError("heights", expected=f"a span below the thickness {self.thickness}", got=str(self.heights))

    def of(self, basis_site: int) -> tuple[float, ...]:
        """Return the heights of the atoms of one basis site above the middle of the box."""
        return self.heights[basis_site] if 0 <= basis_site < len(self.heights) else (0.0,)


def lattice_cell(atoms: Atoms, lattice: Lattice, *, layer: Layer | None = None, domain: int = 0) -> PeriodicCell:
    """Return the mean unit cell of one domain: its lattice vectors, and on each basis site the most common species.

    Parameters
    ----------
    atoms
        Atoms of the image, with species probabilities or without.
    lattice
        Their lattice.
    layer
        Heights, thickness, and names of the basis sites.
    domain
        Which domain.

    Returns
    -------
    PeriodicCell
        The cell, its first vector along x; y runs upward, as in the image seen from the source.

    Raises
    ------
    InputError
        There is no such domain, or the lattice is in pixels and the layer has no `angstrom_per_pixel`.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64))
    >>> cell = lattice_cell(atoms, register_lattice(atoms), layer=Layer(symbols=("Po",)))
    >>> cell.lengths.round(3).tolist(), cell.symbol
    ([3.0, 3.0, 20.0], ('Po',))
    """
    layer = layer or Layer()
    scale = _scale(lattice, layer)
    if not 0 <= domain < len(lattice.vectors):
        raise InputError("domain", expected=f"a number below {len(lattice.vectors)}", got=str(domain))
    here = lattice.domain == domain
    vectors = _along_x(lattice.vectors[domain][:, ::-1] * [scale, -scale])
    basis = np.unique(lattice.index[here, 2])
    rows = [
        (*point, height, name)
        for number, (site, point) in enumerate(zip(basis, lattice.basis[basis] @ vectors, strict=True))
        for name in [_most_common(atoms, lattice.atom[here & (lattice.index[:, 2] == site)], layer, number)]
        for height in layer.of(number)
    ]
    return _boxed(rows, vectors, layer, comment=f"mean cell of {int(here.sum())} sites")


def window_cell(atoms: Atoms, lattice: Lattice, *, layer: Layer | None = None, margin: float = 10.0) -> PeriodicCell:
    """Return all atoms of the image as one large box, with room around them: vacancies and defects included.

    Parameters
    ----------
    atoms
        Atoms of the image, with species probabilities or without.
    lattice
        Their lattice: it tells which basis site, hence which heights, an atom has; atoms on no site lie in the middle.
    layer
        Heights, thickness, and names of the basis sites.
    margin
        Vacuum on each side of the atoms in the plane, in angstrom.

    Returns
    -------
    PeriodicCell
        A rectangular box; x as in the image, y upward.

    Raises
    ------
    InputError
        There are no atoms, or positions are in pixels and the layer has no `angstrom_per_pixel`.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64))
    >>> cell = window_cell(atoms, register_lattice(atoms), layer=Layer(symbols=("Po",)))
    >>> len(cell), cell.lengths.tolist()
    (64, [41.0, 41.0, 20.0])
    """
    layer = layer or Layer()
    scale = _scale(lattice, layer)
    if not len(atoms) or not np.isfinite(atoms.position).all():
        raise InputError("atoms", expected="atoms with finite positions", got=f"{len(atoms)} atoms")
    if margin < 0:
        raise InputError("margin", expected="a length of zero or more, in angstrom", got=str(margin))
    flat = atoms.position[:, ::-1] * [scale, -scale]
    low, high = flat.min(axis=0) - margin, flat.max(axis=0) + margin
    basis_site = _basis_sites(lattice, len(atoms))
    rows = [
        (*place, height, _most_common(atoms, np.array([row]), layer, number))
        for row, (place, number) in enumerate(zip(flat - low, basis_site.tolist(), strict=True))
        for height in layer.of(number)
    ]
    vectors = np.diag(np.maximum(high - low, 1.0))
    return _boxed(rows, vectors, layer, comment=f"window of {len(atoms)} columns", in_plane=False)


def _scale(lattice: Lattice, layer: Layer) -> float:
    """Return the factor that makes angstrom of the lattice's lengths."""
    if lattice.length_unit == ANGSTROM:
        return 1.0
    if layer.angstrom_per_pixel is None:
        raise InputError(
            "lattice",
            expected="positions in angstrom",
            got=lattice.length_unit,
            then="Give `layer.angstrom_per_pixel`.",
        )
    return layer.angstrom_per_pixel


def _along_x(vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Return two vectors (x, y) turned so that the first points along x."""
    x, y = vectors[0] / np.linalg.norm(vectors[0])
    turned = vectors @ np.array([[x, -y], [y, x]])
    turned[0, 1] = 0.0
    return turned


def _basis_sites(lattice: Lattice, n_atoms: int) -> Int[np.ndarray, " atom"]:
    """Return the basis site of each atom, counted from zero in its own domain; -1 on no site."""
    site = np.full(n_atoms, -1)
    for domain in np.unique(lattice.domain):
        here = lattice.domain == domain
        filled = here & (lattice.atom >= 0)
        site[lattice.atom[filled]] = lattice.index[filled, 2] - lattice.index[here, 2].min()
    return site


def _most_common(atoms: Atoms, rows: Int[np.ndarray, " row"], layer: Layer, basis_site: int) -> str:
    """Return the species that these atoms most probably are, else the name of their basis site."""
    rows = rows[rows >= 0]
    if atoms.species and len(rows):
        probability = atoms.species_probability[rows]
        probability = probability[np.isfinite(probability).all(axis=1)]
        if len(probability):
            return atoms.species[int(probability.sum(axis=0).argmax())].replace(" ", "_")
    return layer.symbols[basis_site] if 0 <= basis_site < len(layer.symbols) else UNKNOWN


def _boxed(
    rows: list[tuple[float, float, float, str]],
    plane: Float[np.ndarray, "2 2"],
    layer: Layer,
    *,
    comment: str,
    in_plane: bool = True,
) -> PeriodicCell:
    """Return atoms (x, y, height above the middle, name) in a box over these two vectors."""
    vectors = np.zeros((3, 3))
    vectors[:2, :2], vectors[2, 2] = plane, layer.thickness
    position = np.array([row[:3] for row in rows], dtype=float).reshape(-1, 3) + [0.0, 0.0, layer.thickness / 2]
    return PeriodicCell(
        vectors=vectors,
        position=position,
        symbol=tuple(row[3] for row in rows),
        periodic=(in_plane, in_plane, layer.periodic),
        comment=comment,
    )
