"""Crystals as lattice models see them: translations, the sites of a cell, and what each site is called."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError

TOLERANCE = 1e-5
"""Distances (in units of the first lattice vector) below which two points are the same."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crystal:
    """Sites repeated by two or three lattice translations, in the plane or in space.

    Fewer translations than dimensions make a slab: layers are then sites of the cell at different heights, so that a
    surface and what lies below it are one crystal whose symmetry knows the difference.

    Attributes
    ----------
    name
        What to call it.
    vectors
        Lattice vectors in Cartesian coordinates (any unit of length, the same as `basis`), one per translation.
    basis
        Cartesian positions of the sites of the cell.
    labels
        Label of each site of the cell; symmetry never maps one label to another. The same for all by default.

    Examples
    --------
    >>> HONEYCOMB.n_basis, HONEYCOMB.n_translations, HONEYCOMB.n_dimensions
    (2, 2, 2)
    """

    name: str
    vectors: tuple[tuple[float, ...], ...]
    basis: tuple[tuple[float, ...], ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", ("site",) * len(self.basis))
        shape = np.shape(self.vectors)
        if len(shape) != 2 or not 1 <= shape[0] <= shape[1] <= 3 or np.linalg.matrix_rank(self.lattice) < shape[0]:
            raise InputError(
                "vectors", expected="independent lattice vectors in two or three dimensions", got=str(self.vectors)
            )
        if np.shape(self.basis) != (len(self.labels), shape[1]) or not len(self.labels):
            raise InputError("basis", expected=f"{shape[1]} coordinates and a label per site", got=str(self.basis))

    @property
    def n_translations(self) -> int:
        """Directions in which the crystal repeats."""
        return len(self.vectors)

    @property
    def n_dimensions(self) -> int:
        """Dimensions of space."""
        return len(self.vectors[0])

    @property
    def n_basis(self) -> int:
        """Sites in a cell."""
        return len(self.basis)

    @functools.cached_property
    def lattice(self) -> Float[np.ndarray, "translation dimension"]:
        """Lattice vectors as rows."""
        return np.array(self.vectors, dtype=np.float64)

    @functools.cached_property
    def positions(self) -> Float[np.ndarray, "basis dimension"]:
        """Positions of the sites of the cell."""
        return np.array(self.basis, dtype=np.float64)

    def cells_within(self, radius: float) -> np.ndarray:
        """Return all cell offsets whose sites could lie within this distance of the cell at the origin."""
        spread = np.linalg.norm(self.positions - self.positions[0], axis=1).max()
        height = 1.0 / np.linalg.norm(np.linalg.pinv(self.lattice), axis=0)
        reach = np.ceil((radius + 2 * spread) / height).astype(int)
        grid = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
        return np.stack([axis.ravel() for axis in grid], axis=1)


def slab(
    layer: Crystal, *, labels: tuple[str, ...], spacing: float, shift: tuple[float, float] = (0.0, 0.0)
) -> Crystal:
    """Stack layers of a two-dimensional crystal: one label per layer, from the surface down.

    Parameters
    ----------
    layer
        A two-dimensional crystal with one site in its cell.
    labels
        Label of each layer, e.g. ("surface", "bulk", "bulk"). Layers with the same label may be exchanged by symmetry
        only where the whole slab is symmetric.
    spacing
        Distance between layers, in the unit of `layer`.
    shift
        Lateral shift of each layer against the one above, (y, x), in the unit of `layer`.

    Examples
    --------
    >>> slab(SQUARE, labels=("surface", "bulk", "bulk"), spacing=1.0).n_basis
    3
    """
    if layer.n_dimensions != 2 or layer.n_basis != 1:
        raise InputError("layer", expected="a two-dimensional crystal with one site in its cell", got=layer.name)
    origin = layer.positions[0]
    basis = [(*(origin + k * np.asarray(shift)), -k * spacing) for k in range(len(labels))]
    return Crystal(
        name=f"{layer.name} slab of {len(labels)} layers",
        vectors=tuple((*vector, 0.0) for vector in layer.vectors),
        basis=tuple(tuple(float(x) for x in site) for site in basis),
        labels=labels,
    )


_HEIGHT = float(np.sqrt(0.75))

SQUARE = Crystal(name="square", vectors=((1.0, 0.0), (0.0, 1.0)), basis=((0.0, 0.0),))
"""Square lattice: (row, column) cells, unit length the nearest-neighbour distance, coordinates (y, x)."""

TRIANGULAR = Crystal(name="triangular", vectors=((_HEIGHT, 0.5), (0.0, 1.0)), basis=((0.0, 0.0),))
"""Triangular lattice in the oblique axes of `sample_crystal`: rows go up and half a site to the right."""

HONEYCOMB = Crystal(
    name="honeycomb", vectors=((_HEIGHT, 0.5), (0.0, 1.0)), basis=((0.0, 0.0), (_HEIGHT / 3, 0.5)), labels=("A", "A")
)
"""Honeycomb lattice, both sublattices alike; unit length the lattice constant."""

CUBIC = Crystal(name="cubic", vectors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), basis=((0.0, 0.0, 0.0),))
"""Simple cubic lattice."""

PEROVSKITE_PLANE = Crystal(
    name="perovskite plane", vectors=((1.0, 0.0), (0.0, 1.0)), basis=((0.0, 0.0), (0.5, 0.5)), labels=("A", "B")
)
"""A perovskite along a cube axis as an image shows it: A and B columns, interpenetrating square lattices."""

CRYSTALS = {crystal.name: crystal for crystal in (SQUARE, TRIANGULAR, HONEYCOMB, CUBIC, PEROVSKITE_PLANE)}
"""Crystals by name."""
