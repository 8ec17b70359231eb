"""The seventeen plane groups, generated from a few operations each, and the name of any group of operations.

Operations act on fractional coordinates as columns, x goes to W x + w, always in a primitive cell; W and w are in the
standard setting of the International Tables (centred groups: the two shortest centring vectors are the cell).
"""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError

Point = tuple[float, float]
"""Fractional coordinates, or a lattice vector."""

TOLERANCE = 1e-6
"""How far translations may lie from the fractions that they stand for."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlaneGroup:
    """A plane group in a primitive cell.

    Attributes
    ----------
    name
        Short symbol of the International Tables.
    lattice
        "oblique", "rectangular", "centred", "square" or "hexagonal".
    rotation, translation
        W and w of one operation for each coset of the lattice translations; the first is the identity.
    points
        One point of each Wyckoff position without freedom.
    lines
        A point of each Wyckoff position on mirror lines, and the lattice vector along the line.
    n_settings
        Settings of the group that share a lattice and differ only in which of two axes is the unique one.

    Examples
    --------
    >>> plane_group("p4g").order, plane_group("cm").lattice
    (8, 'centred')
    """

    name: str
    lattice: str
    rotation: Int[np.ndarray, "operation 2 2"]
    translation: Float[np.ndarray, "operation 2"]
    points: tuple[Point, ...] = ()
    lines: tuple[tuple[Point, Point], ...] = ()
    n_settings: int = 1

    @property
    def order(self) -> int:
        """Operations up to lattice translations: the multiplicity of the general position."""
        return len(self.rotation)

    @property
    def multiplicities(self) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Atoms of the primitive cell in an orbit on each of `points`, on each of `lines`, and elsewhere."""
        return _multiplicities(self.name)

    def images(self, point: Float[np.ndarray, "2"]) -> Float[np.ndarray, "image 2"]:
        """Return the distinct images of a point within the cell, in fractional coordinates in [0, 1)."""
        moved = (self.rotation @ point + self.translation) % 1.0
        kept: list[np.ndarray] = []
        for image in moved:
            difference = np.array(kept).reshape(-1, 2) - image
            if not (np.abs(difference - np.round(difference)).max(axis=1, initial=0.0) < TOLERANCE).any():
                kept.append(image)
        return np.array(kept)


_HALF = ((-1, 0), (0, -1))
_MIRROR, _SWAP, _BACK_SWAP = ((-1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, -1), (-1, 0))
_THIRD, _QUARTER, _SIXTH = ((0, -1), (1, -1)), ((0, -1), (1, 0)), ((1, -1), (1, 0))
_O, _A, _B, _C = (0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)
_FIRST, _SECOND, _SUM, _DIFFERENCE = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0)
_ONE_THIRD, _TWO_THIRDS = (1 / 3, 2 / 3), (2 / 3, 1 / 3)
_GROUPS = {
    "p1": ("oblique", [], (), ()),
    "p2": ("oblique", [(_HALF, 0, 0)], (_O, _A, _B, _C), ()),
    "pm": ("rectangular", [(_MIRROR, 0, 0)], (), ((_O, _SECOND), (_A, _SECOND))),
    "pg": ("rectangular", [(_MIRROR, 0, 0.5)], (), ()),
    "cm": ("centred", [(_SWAP, 0, 0)], (), ((_O, _SUM),)),
    "pmm": (
        "rectangular",
        [(_HALF, 0, 0), (_MIRROR, 0, 0)],
        (_O, _A, _B, _C),
        ((_O, _FIRST), (_B, _FIRST), (_O, _SECOND), (_A, _SECOND)),
    ),
    "pmg": ("rectangular", [(_HALF, 0, 0), (_MIRROR, 0.5, 0)], (_O, _B), (((0.25, 0.0), _SECOND),)),
    "pgg": ("rectangular", [(_HALF, 0, 0), (_MIRROR, 0.5, 0.5)], (_O, _A), ()),
    "cmm": ("centred", [(_HALF, 0, 0), (_SWAP, 0, 0)], (_O, _C, _A), ((_O, _SUM), (_O, _DIFFERENCE))),
    "p4": ("square", [(_QUARTER, 0, 0)], (_O, _C, _A), ()),
    "p4m": (
        "square",
        [(_QUARTER, 0, 0), (_MIRROR, 0, 0)],
        (_O, _C, _A),
        ((_O, _FIRST), (_B, _FIRST), (_O, _SUM)),
    ),
    "p4g": ("square", [(_QUARTER, 0, 0), (_MIRROR, 0.5, 0.5)], (_O, _A), ((_B, _SUM),)),
    "p3": ("hexagonal", [(_THIRD, 0, 0)], (_O, _ONE_THIRD, _TWO_THIRDS), ()),
    "p3m1": (
        "hexagonal",
        [(_THIRD, 0, 0), (_BACK_SWAP, 0, 0)],
        (_O, _ONE_THIRD, _TWO_THIRDS),
        ((_O, _DIFFERENCE),),
    ),
    "p31m": ("hexagonal", [(_THIRD, 0, 0), (_SWAP, 0, 0)], (_O, _ONE_THIRD), ((_O, _SUM),)),
    "p6": ("hexagonal", [(_SIXTH, 0, 0)], (_O, _ONE_THIRD, _A), ()),
    "p6m": (
        "hexagonal",
        [(_SIXTH, 0, 0), (_BACK_SWAP, 0, 0)],
        (_O, _ONE_THIRD, _A),
        ((_O, _SUM), (_O, _DIFFERENCE)),
    ),
}
_TWO_SETTINGS = {"pm", "pg", "pmg", "cm"}

PLANE_GROUPS = tuple(_GROUPS)
"""Names of the seventeen groups, in the order of the International Tables but for p4 and p3."""

SITE_GROUPS = ("1", "m", "2", "2mm", "3", "3m", "4", "4mm", "6", "6mm")
"""Point groups that a site can have."""


@functools.cache
def plane_group(name: str) -> PlaneGroup:
    """Return one of the seventeen plane groups, its operations generated by composition.

    Parameters
    ----------
    name
        Short symbol, as in "p31m".

    Returns
    -------
    PlaneGroup
        Operations in a primitive cell, and its Wyckoff positions.

    Raises
    ------
    InputError
        There is no such group.

    References
    ----------
    .. [1] International Tables for Crystallography A, chapter 6: the plane groups.

    Examples
    --------
    >>> group = plane_group("p6m")
    >>> group.order, len(group.images(np.array([1 / 3, 2 / 3])))
    (12, 2)
    """
    if name not in _GROUPS:
        raise InputError("name", expected=f"one of {', '.join(PLANE_GROUPS)}", got=repr(name))
    lattice, generators, points, lines = _GROUPS[name]
    operations = [(np.eye(2, dtype=int), np.zeros(2))]
    new = operations
    while new:
        made = [_compose((np.array(w), np.array(shift)), old) for w, *shift in generators for old in new]
        new = []
        for operation in made:
            if not any(_same(operation, old) for old in operations):
                operations.append(operation)
                new.append(operation)
    rotation, translation = (np.array(part) for part in zip(*operations, strict=True))
    rotation.flags.writeable = translation.flags.writeable = False
    return PlaneGroup(
        name=name,
        lattice=lattice,
        rotation=rotation,
        translation=translation,
        points=points,
        lines=lines,
        n_settings=2 if name in _TWO_SETTINGS else 1,
    )


@functools.cache
def _multiplicities(name: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    group = plane_group(name)
    points = tuple(len(group.images(np.array(point))) for point in group.points)
    lines = tuple(len(group.images(np.array(start) + 0.1234 * np.array(along))) for start, along in group.lines)
    return points, lines, group.order


def identify_group(rotation: Int[np.ndarray, "operation 2 2"], translation: Float[np.ndarray, "operation 2"]) -> str:
    """Return the name of the plane group that these operations and the lattice translations form.

    The operations must be closed under composition up to lattice translations, in any cell and with any origin; pure
    translations among them make the cell a multiple of the primitive one, to which everything is referred first.
    The name follows from the order of the rotations, from which reflections are mirrors and which glides, from whether
    a reflection centres the cell, and in p3m1 and p31m from whether a mirror runs along a shortest lattice vector.

    Parameters
    ----------
    rotation
        W of each operation: integers, in the basis of the cell.
    translation
        w of each operation.

    Examples
    --------
    >>> group = plane_group("pgg")
    >>> identify_group(group.rotation, group.translation + (np.eye(2) - group.rotation) @ [0.12, 0.7])
    'pgg'
    """
    rotation, translation = in_primitive_cell(np.asarray(rotation), np.asarray(translation, float))
    proper = np.linalg.det(rotation) > 0
    n_fold, mirrors = int(proper.sum()), np.flatnonzero(~proper)
    if not len(mirrors):
        return f"p{n_fold}"
    if n_fold == 3:
        return "p31m" if _runs_along_shortest(rotation[mirrors[0]], rotation[proper]) else "p3m1"
    straight = [k for k in mirrors if not ((rotation[k] - np.eye(2, dtype=int)) % 2).any()]
    if not straight:
        return {1: "cm", 2: "cmm", 6: "p6m"}[n_fold]
    n_glides = sum(not _is_mirror(rotation[k], translation[k]) for k in straight)
    return {1: ("pm", "pg"), 2: ("pmm", "pmg", "pgg"), 4: ("p4m", "", "p4g")}[n_fold][n_glides]


def site_group(rotation: Int[np.ndarray, "operation 2 2"]) -> str:
    """Return the name of the point group of a site from the rotations and reflections that leave it in place.

    Examples
    --------
    >>> site_group(plane_group("p3m1").rotation)
    '3m'
    """
    n_fold = int((np.linalg.det(rotation) > 0).sum())
    if n_fold == len(rotation):
        return str(n_fold)
    return {1: "m", 2: "2mm", 3: "3m", 4: "4mm", 6: "6mm"}[n_fold]


def lattice_system(rotation: Int[np.ndarray, "operation 2 2"]) -> str:
    """Return which lattice a point group of integer matrices demands.

    Examples
    --------
    >>> lattice_system(plane_group("cmm").rotation), lattice_system(plane_group("p2").rotation)
    ('centred', 'oblique')
    """
    proper = np.linalg.det(rotation) > 0
    n_fold = int(proper.sum())
    if n_fold > 2:
        return "square" if n_fold == 4 else "hexagonal"
    if proper.all():
        return "oblique"
    return "centred" if ((rotation[~proper] - np.eye(2, dtype=int)) % 2).any() else "rectangular"


def _compose(first: tuple[np.ndarray, np.ndarray], then: tuple[np.ndarray, np.ndarray]) -> tuple:
    """Return the product of two operations, the right one applied first."""
    return first[0] @ then[0], (first[0] @ then[1] + first[1]) % 1.0


def _same(first: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    difference = first[1] - other[1]
    return np.array_equal(first[0], other[0]) and bool(np.abs(difference - np.round(difference)).max() < TOLERANCE)


def in_primitive_cell(rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one operation per rotation, in a cell without translations shorter than its own."""
    pure = translation[(rotation == np.eye(2, dtype=int)).all(axis=(1, 2))] % 1.0
    if len(pure) > 1:
        cell = _smallest_cell(pure)
        change = np.linalg.inv(cell.T)
        rotation = np.rint(change @ rotation @ cell.T).astype(int)
        translation = translation @ change.T
    _, first = np.unique(rotation.reshape(-1, 4), axis=0, return_index=True)
    return rotation[first], translation[first]


def _smallest_cell(pure: Float[np.ndarray, "translation 2"]) -> Float[np.ndarray, "2 2"]:
    """Return two vectors (rows) that span the lattice of these translations and the whole cells."""
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], float)
    vectors = (pure[:, None] + steps).reshape(-1, 2)
    vectors = vectors[np.abs(vectors).max(axis=1) > TOLERANCE]
    area = vectors[:, None, 0] * vectors[None, :, 1] - vectors[:, None, 1] * vectors[None, :, 0]
    area = np.where(area > 0.5 / len(pure), area, np.inf)
    return vectors[list(np.unravel_index(area.argmin(), area.shape))]


def invariant_direction(rotation: Int[np.ndarray, "2 2"]) -> Int[np.ndarray, "2"]:
    """Return the primitive lattice vector along which a reflection's line runs."""
    columns = (np.eye(2, dtype=int) + rotation).T
    longest = columns[np.abs(columns).sum(axis=1).argmax()]
    return longest // math.gcd(*(int(n) for n in longest))


def _is_mirror(rotation: Int[np.ndarray, "2 2"], translation: Float[np.ndarray, "2"]) -> bool:
    """Return whether a reflection is a mirror after some lattice translation, rather than a glide."""
    along = (np.eye(2) + rotation) @ translation
    direction = invariant_direction(rotation)
    step = math.gcd(*(int(n) for n in (np.eye(2, dtype=int) + rotation).ravel()))
    share = float(along @ direction) / float(direction @ direction) / step
    return abs(share - round(share)) < 1e-3


def _runs_along_shortest(mirror: Int[np.ndarray, "2 2"], rotations: Int[np.ndarray, "operation 2 2"]) -> bool:
    """Return whether a mirror of a hexagonal lattice runs along one of its shortest vectors."""
    gram = np.einsum("kab,kac->bc", rotations, rotations)
    direction = invariant_direction(mirror)
    shortest = min(v @ gram @ v for v in np.array([(1, 0), (0, 1), (1, 1), (1, -1)]))
    return bool(direction @ gram @ direction <= shortest)
