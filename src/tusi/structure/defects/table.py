"""Defects as rows: what each is, where, how surely, and which atoms make it."""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array, array_fields
from tusi.errors import InputError
from tusi.units import LENGTH_UNITS


class DefectKind(enum.IntEnum):
    """What a row of `Defects` is.

    Examples
    --------
    >>> DefectKind.GRAIN_BOUNDARY.title, DefectKind.VACANCY.is_point, DefectKind.DISLOCATION.is_point
    ('grain boundary', True, False)
    """

    VACANCY = 0
    SUBSTITUTION = 1
    INTERSTITIAL = 2
    DISLOCATION = 3
    GRAIN_BOUNDARY = 4
    ANTIPHASE_BOUNDARY = 5

    @property
    def title(self) -> str:
        """The kind in words."""
        return self.name.lower().replace("_", " ")

    @property
    def is_point(self) -> bool:
        """Whether the defect is one site or one atom."""
        return self <= DefectKind.INTERSTITIAL

    @property
    def is_boundary(self) -> bool:
        """Whether the defect is a line across the window."""
        return self >= DefectKind.GRAIN_BOUNDARY


UNKNOWN_PAIR = (float("nan"), float("nan"))
NO_SEGMENTS = np.empty((0, 2, 2))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Defect:
    """One defect; the attributes are those of a row of `Defects`."""

    kind: DefectKind
    position: Float[np.ndarray, "2"]
    covariance: Float[np.ndarray, "2 2"] = dataclasses.field(default_factory=lambda: np.full((2, 2), np.nan))
    probability: float = 1.0
    site: int = -1
    atoms: Sequence[int] | Int[np.ndarray, " member"] = ()
    species: int = -1
    domains: tuple[int, int] = (0, -1)
    steps: Sequence[float] | Float[np.ndarray, "2"] = UNKNOWN_PAIR
    vector: Sequence[float] | Float[np.ndarray, "2"] = UNKNOWN_PAIR
    misorientation: float = float("nan")
    misorientation_error: float = float("nan")
    segments: Float[np.ndarray, "segment 2 2"] = dataclasses.field(default_factory=lambda: NO_SEGMENTS)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Defects(Record):
    """Defects of one image, one row each; an empty table where there are none.

    Attributes
    ----------
    kind
        Codes of `DefectKind`.
    position
        (y, x) of the site, the atom or the core; the middle of a boundary; in `length_unit`.
    covariance
        Covariance of the position, in `length_unit` squared; NaN where it has no meaning (boundaries) or is not known.
    probability
        Probability that the defect is real.
    site
        Row of the vacant or wrongly filled site in the `Lattice`; -1 elsewhere.
    species_code
        Which of `species` sits where another belongs, or is the interstitial; -1 where that has no meaning.
    domain
        The domain, or the two domains or ordered regions that a boundary parts; -1 where there is no second.
    steps
        Burgers vector of a dislocation, or shift across an antiphase boundary, in lattice vectors of the first domain;
        NaN elsewhere. Burgers vectors are whole numbers.
    vector
        The same in `length_unit`, as (y, x).
    misorientation, misorientation_error
        Angle by which the second domain of a grain boundary is turned against the first and its standard error, in
        degrees, counter-clockwise as the image is shown; NaN elsewhere.
    member_start, member
        Rows of the atoms that make each defect: those of defect i are `member[member_start[i] : member_start[i + 1]]`.
    segment_start, segment
        Ends (y, x) of the straight pieces of each boundary, likewise.
    species
        Names of the species.
    image
        Number of the image.
    length_unit
        "angstrom" or "pixel".
    warnings
        What a reader of the numbers must know.

    Examples
    --------
    >>> rows = [Defect(kind=DefectKind.VACANCY, position=np.array([1.0, 2.0]), probability=0.9, atoms=(3, 4))]
    >>> table = Defects.of(rows, length_unit="angstrom")
    >>> table.titles, table.members(0).tolist(), table.count()
    (('vacancy',), [3, 4], {'vacancy': 1})
    """

    format_name: ClassVar[str] = "defects"
    row: ClassVar[str] = "defect"

    kind: Int[np.ndarray, " defect"] = array("defect", dtype=np.int64)
    position: Float[np.ndarray, "defect 2"] = array("defect", "axis")
    covariance: Float[np.ndarray, "defect 2 2"] = array("defect", "axis", "axis_")
    probability: Float[np.ndarray, " defect"] = array("defect")
    site: Int[np.ndarray, " defect"] = array("defect", dtype=np.int64)
    species_code: Int[np.ndarray, " defect"] = array("defect", dtype=np.int64)
    domain: Int[np.ndarray, "defect 2"] = array("defect", "side", dtype=np.int64)
    steps: Float[np.ndarray, "defect 2"] = array("defect", "lattice_vector")
    vector: Float[np.ndarray, "defect 2"] = array("defect", "axis")
    misorientation: Float[np.ndarray, " defect"] = array("defect")
    misorientation_error: Float[np.ndarray, " defect"] = array("defect")
    member_start: Int[np.ndarray, " member_bound"] = array("member_bound", dtype=np.int64)
    member: Int[np.ndarray, " member"] = array("member", dtype=np.int64)
    segment_start: Int[np.ndarray, " segment_bound"] = array("segment_bound", dtype=np.int64)
    segment: Float[np.ndarray, "segment 2 2"] = array("segment", "end", "axis")
    species: tuple[str, ...] = ()
    image: int = 0
    length_unit: str
    warnings: tuple[str, ...] = ()

    def _check(self) -> None:
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))
        if len(self.kind) and not 0 <= self.kind.min() <= self.kind.max() < len(DefectKind):
            raise InputError("kind", expected=f"codes from 0 to {len(DefectKind) - 1}", got="others")
        known = self.probability[np.isfinite(self.probability)]
        if len(known) < len(self.probability) or (len(known) and not 0 <= known.min() <= known.max() <= 1):
            raise InputError("probability", expected="numbers from 0 to 1", got="others")
        for name, values in (("member_start", self.member), ("segment_start", self.segment)):
            start = getattr(self, name)
            right = len(start) == len(self.kind) + 1 and start[0] == 0 and start[-1] == len(values)
            if not right or (np.diff(start) < 0).any():
                raise InputError(name, expected=f"{len(self.kind) + 1} offsets from 0 to {len(values)}", got="others")

    @classmethod
    def of(
        cls, rows: Sequence[Defect], *, length_unit: str, species: tuple[str, ...] = (), image: int = 0
    ) -> "Defects":
        """Return a table of these defects.

        Parameters
        ----------
        rows
            The defects.
        length_unit
            "angstrom" or "pixel".
        species
            Names of the species.
        image
            Number of the image.
        """

        def column(name: str, *shape: int, kind: type = float) -> np.ndarray:
            return np.array([getattr(one, name) for one in rows], dtype=kind).reshape(len(rows), *shape)

        return cls(
            kind=column("kind", kind=int),
            position=column("position", 2),
            covariance=column("covariance", 2, 2),
            probability=column("probability"),
            site=column("site", kind=int),
            species_code=column("species", kind=int),
            domain=column("domains", 2, kind=int),
            steps=column("steps", 2),
            vector=column("vector", 2),
            misorientation=column("misorientation"),
            misorientation_error=column("misorientation_error"),
            member_start=np.cumsum([0, *(len(one.atoms) for one in rows)]),
            member=np.concatenate([np.empty(0, int), *(np.asarray(one.atoms, int) for one in rows)]),
            segment_start=np.cumsum([0, *(len(one.segments) for one in rows)]),
            segment=np.concatenate([NO_SEGMENTS, *(one.segments for one in rows)]),
            species=species,
            image=image,
            length_unit=length_unit,
        )

    def __getitem__(self, rows: Any) -> "Defects":
        """Return the same table with only these rows (a mask, a slice or an array of row numbers)."""
        kept = np.atleast_1d(np.arange(len(self))[rows])
        changes = {
            field.name: getattr(self, field.name)[kept]
            for field in array_fields(self)
            if field.metadata["dims"][0] == self.row
        }
        for start, values in (("member_start", "member"), ("segment_start", "segment")):
            bounds = getattr(self, start)
            pieces = [getattr(self, values)[bounds[row] : bounds[row + 1]] for row in kept]
            changes[start] = np.cumsum([0, *(len(piece) for piece in pieces)])
            changes[values] = np.concatenate([getattr(self, values)[:0], *pieces])
        return dataclasses.replace(self, **changes)

    @property
    def titles(self) -> tuple[str, ...]:
        """The kind of each row in words."""
        return tuple(DefectKind(code).title for code in self.kind.tolist())

    def of_kind(self, kind: DefectKind) -> "Defects":
        """Return the rows of one kind."""
        return self[self.kind == kind]

    def members(self, row: int | np.integer) -> Int[np.ndarray, " member"]:
        """Return the rows of the atoms that make a defect."""
        return self.member[self.member_start[row] : self.member_start[row + 1]]

    def segments(self, row: int | np.integer) -> Float[np.ndarray, "segment 2 2"]:
        """Return the straight pieces of a boundary: ends (y, x), in `length_unit`."""
        return self.segment[self.segment_start[row] : self.segment_start[row + 1]]

    def length(self, row: int | np.integer) -> float:
        """Return the length of a boundary, in `length_unit`; zero for other defects."""
        return float(np.linalg.norm(np.diff(self.segments(row), axis=1), axis=2).sum())

    def count(self, *, least_probability: float = 0.5) -> dict[str, int]:
        """Return how many defects of each kind have at least this probability."""
        likely = self.kind[self.probability >= least_probability]
        return {kind.title: int((likely == kind).sum()) for kind in DefectKind if (likely == kind).any()}
