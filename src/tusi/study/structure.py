"""Local structure of the images of an analysis: what each site's surroundings are, and what all images share."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.execution import stream
from tusi.structure.defects import Defects, find_defects
from tusi.structure.modes import (
    ModeSettings,
    ModeSplit,
    NormalModes,
    composition_modes,
    displacement_modes,
    split_by_neighbours,
)
from tusi.structure.neighbourhoods import (
    LocalCrystallography,
    Neighbourhoods,
    bond_statistics,
    local_crystallography,
    neighbourhoods,
)
from tusi.structure.neighbours import first_shell
from tusi.structure.order import (
    Dimerised,
    ShortRangeOrder,
    bond_order,
    dimerisation,
    short_range_order,
    strain,
    unit_cells,
)
from tusi.study.capture import captured
from tusi.study.symmetry import SymmetryMap

LEAST_SHARE = 0.05
"""Share of dimerised sites below which an image is called not dimerised."""

SURE = 0.01
"""P-value below which a site is surely displaced."""

LEAST_AMPLITUDE = 0.03
"""Amplitude, in distances between neighbours, below which alternating displacements are no chains: atoms relax by as
much around a dopant."""

DOUBLED = 0.5
"""Share of dimerised sites from which on the cell is taken to be doubled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructureOptions:
    """What is asked about local structure.

    Attributes
    ----------
    sublattice
        Which basis site carries the neighbourhoods: 0 is the brightest.
    counted_species
        Species whose number among the neighbours may split a mode; `None` takes the last.
    disorder
        Whether modes must stand out from independent displacements of single atoms too, or from the errors of their
        positions alone.
    seed
        Seed of all random numbers.
    """

    sublattice: int = 0
    counted_species: str | None = None
    disorder: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sublattice < 0:
            raise InputError("sublattice", expected="0 or more", got=str(self.sublattice))
        if self.seed < 0:
            raise InputError("seed", expected="a whole number >= 0", got=str(self.seed))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageStructure:
    """Local structure of one image; what could not be had is `None`, and `notes` say why.

    Attributes
    ----------
    name
        Name of the image.
    atoms, lattice
        The atoms inside the region, and their lattice.
    neighbourhoods
        Vectors from the sites of the sublattice to their neighbours of the same kind, in ring order.
    tables
        Strain, unit cells, bond statistics and bond order, a row for each atom.
    dimerised
        Displacement waves of period two.
    short_range
        Warren-Cowley parameters; `None` with one species.
    classes
        Kinds of neighbourhoods, their number by evidence.
    defects
        Defects with their probabilities.
    notes
        What could not be had, and warnings.
    symmetry
        Plane groups of windows; `None` where it was not asked for.
    """

    name: str
    atoms: Atoms
    lattice: Lattice
    neighbourhoods: Neighbourhoods | None
    tables: tuple[Descriptors, ...]
    dimerised: Dimerised | None
    short_range: ShortRangeOrder | None
    classes: LocalCrystallography | None
    defects: Defects | None
    notes: tuple[str, ...]
    symmetry: SymmetryMap | None = None

    @property
    def doubled(self) -> bool:
        """Whether displacements of period two prevail, so that the cell is a multiple of the lattice's."""
        return self.dimerised is not None and self.dimerised.share >= DOUBLED

    @property
    def verdict(self) -> str:
        """What was found in the image, in a clause without a full stop."""
        found = []
        if self.dimerised is not None and np.isfinite(self.dimerised.share):
            share = self.dimerised.share
            if share < LEAST_SHARE:
                found.append("not dimerised")
            elif self.alternation < LEAST_AMPLITUDE:
                size = f"by {100 * self.alternation:.1g} % of their distance"
                found.append(f"no chains ({100 * share:.0f} % of the sites displaced alternately, {size})")
            else:
                found.append(f"{100 * share:.0f} % of the sites dimerised")
        if self.classes is not None:
            number = self.classes.n_classes
            found.append(f"{number} kind{'s' * (number != 1)} of neighbourhoods")
        if self.short_range is not None and np.isfinite(self.short_range.joint_p_value):
            found.append(f"short-range order p = {self.short_range.joint_p_value:.2g}")
        return f"{self.name}: {', '.join(found) or 'nothing could be told'}"

    @property
    def alternation(self) -> float:
        """Median amplitude of displacements of period two where they are sure, in distances between neighbours."""
        if self.dimerised is None:
            return float("nan")
        sure = self.dimerised.p_value < SURE
        distance = np.linalg.norm(self.lattice.vectors[0], axis=1).min()
        return float(np.median(self.dimerised.amplitude[sure]) / distance) if sure.any() else 0.0

    def table(self, column: str) -> Descriptors | None:
        """Return the table that has this column; `None` where it could not be had."""
        return next((table for table in self.tables if column in table.names), None)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StructureAnalysis:
    """Local structure of all images of an analysis.

    Attributes
    ----------
    images
        In the order in which they were given, those that have a lattice.
    modes
        Patterns in which neighbours move together, over all images.
    composition
        Patterns of composition, over all images; `None` with one species.
    split
        Scores of `modes` by the number of neighbours of a species; `None` with one species.
    options
        What was asked.
    notes
        What could not be had, and warnings.
    """

    format_name: ClassVar[str] = "structure-analysis"

    images: tuple[ImageStructure, ...]
    modes: NormalModes | None
    composition: NormalModes | None
    split: ModeSplit | None
    options: StructureOptions
    notes: tuple[str, ...]

    @property
    def verdict(self) -> tuple[str, ...]:
        """What was found, in sentences: of all images together, then of each."""
        sentences = []
        if self.modes is not None and len(self.modes):
            number = self.modes.n_significant
            most = "at least " if number == len(self.modes.p_value) else ""
            beyond = "independent displacements" if self.options.disorder else "the errors of positions"
            sentences.append(f"{most}{number} mode{'s' * (number != 1)} of displacement beyond {beyond}".capitalize())
            if number and self.split is not None:
                which, p_value = self._clearest_split(number)
                sentences.append(
                    f"Mode {which + 1} {'splits' if p_value <= self.modes.level else 'does not split'} with the number "
                    f"of {self.split.species} among the neighbours (p = {p_value:.2g})"
                )
        sentences += [one.verdict for one in self.images]
        return tuple(f"{sentence}." for sentence in sentences)

    def _clearest_split(self, number: int) -> tuple[int, float]:
        """Return the mode that splits most clearly, and the p-value of that, corrected for the number of tests."""
        assert self.split is not None
        p_values = np.minimum(self.split.p_mean[:number], self.split.p_spread[:number])
        which = int(np.argmin(p_values))
        return which, min(1.0, 2 * number * float(p_values[which]))

    def image(self, name: str) -> ImageStructure:
        """Return the image of this name."""
        for one in self.images:
            if one.name == name:
                return one
        raise InputError("name", expected=f"one of {', '.join(one.name for one in self.images)}", got=repr(name))


def image_structure(
    atoms: Atoms, lattice: Lattice, *, name: str, number: int = 0, options: StructureOptions | None = None
) -> ImageStructure:
    """Describe the local structure of one image: everything that its atoms and their lattice can tell.

    Parameters
    ----------
    atoms
        Atoms of one image, with covariances and, if known, species.
    lattice
        The lattice that `atoms` was registered to.
    name
        What to call the image.
    number
        Its number, which chooses its random stream.
    options
        What is asked.

    Returns
    -------
    ImageStructure
        A part that the data cannot bear is `None`, and the notes say why.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64))
    >>> found = image_structure(atoms, register_lattice(atoms), name="square")
    >>> round(float(np.nanmean(found.table("area").column("area"))), 6)
    9.0
    """
    options = options or StructureOptions()
    site = options.sublattice
    notes: list[str] = []

    def had(what: str, part: Callable[[], Any]) -> Any:
        result = captured(part)
        notes.extend(f"{what}: {text}" for text in [text for _, text in result.warnings] + [result.error] if text)
        return result.value

    hoods = had("neighbourhoods", lambda: ring_neighbourhoods(atoms, lattice, basis_site=site))
    tables = [
        had("strain", lambda: strain(atoms, lattice, basis_site=site)),
        had("unit cells", lambda: unit_cells(atoms, lattice, basis_site=site)),
        had("bonds", lambda: bond_statistics(atoms)),
        had("bond order", lambda: bond_order(atoms, folds=hoods.n_slots if hoods is not None else 6)),
    ]
    several = len(atoms.species) > 1
    return ImageStructure(
        name=name,
        atoms=atoms,
        lattice=lattice,
        neighbourhoods=hoods,
        tables=tuple(table for table in tables if table is not None),
        dimerised=had("dimerisation", lambda: dimerisation(atoms, lattice, basis_site=site)),
        short_range=had(
            "short-range order",
            lambda: short_range_order(
                atoms, lattice, basis_site=site, rng=stream(options.seed, "short-range order", number)
            ),
        )
        if several
        else None,
        classes=had("classes", lambda: local_crystallography(hoods, atoms, rng=stream(options.seed, "classes", number)))
        if hoods is not None
        else None,
        defects=had("defects", lambda: find_defects(atoms, lattice)),
        notes=tuple(notes),
    )


def pooled_structure(images: Sequence[ImageStructure], *, options: StructureOptions | None = None) -> StructureAnalysis:
    """Look for patterns that the neighbourhoods of all images share.

    Images whose lattices have different numbers of neighbours, or different length units, are not pooled: the first
    one's kind is taken.

    Parameters
    ----------
    images
        Local structure of each image.
    options
        What is asked.

    Returns
    -------
    StructureAnalysis
        Modes with their p-values beside the images.

    Examples
    --------
    >>> pooled_structure([]).modes is None
    True
    """
    options = options or StructureOptions()
    notes: list[str] = []
    alike = _alike(images)
    if alike and len(alike) < len(images):
        left_out = ", ".join(one.name for one in images if one not in alike)
        notes.append(f"modes: left out {left_out}, whose lattice or unit of length differs")
    hoods = [one.neighbourhoods for one in alike if one.neighbourhoods is not None]
    atoms = [one.atoms for one in alike]
    modes = composition = split = None
    if alike:
        rng = stream(options.seed, "modes")
        settings = ModeSettings(null="independent" if options.disorder else "measurement")
        moved = captured(lambda: displacement_modes(hoods, atoms, rng=rng, settings=settings))
        modes = moved.value
        notes += [f"modes: {text}" for text in (*(text for _, text in moved.warnings), moved.error) if text]
        if all(len(own.species) > 1 and own.species == atoms[0].species for own in atoms):
            species = options.counted_species or atoms[0].species[-1]
            composed = captured(lambda: composition_modes(hoods, atoms, rng=rng))
            composition = composed.value
            if modes is not None and len(modes):
                parted = captured(lambda: split_by_neighbours(modes, hoods, atoms=atoms, species=species, rng=rng))
                split = parted.value
                notes += [f"split: {text}" for text in (parted.error,) if text]
            notes += [f"composition: {text}" for text in (composed.error,) if text]
    return StructureAnalysis(
        images=tuple(images), modes=modes, composition=composition, split=split, options=options, notes=tuple(notes)
    )


def ring_neighbourhoods(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0) -> Neighbourhoods:
    """Return neighbourhoods of one kind of site whose slots follow the ring, from the x axis on.

    Slots of different images then stand for the same direction wherever their lattice vectors were counted from.

    Parameters
    ----------
    atoms
        The atoms.
    lattice
        Their lattice.
    basis_site
        Which kind of site.

    Raises
    ------
    InputError
        The lattice is empty.
    """
    if not len(lattice.vectors):
        raise InputError("lattice", expected="a lattice with sites", got="an empty one")
    steps = np.array(first_shell(lattice.vectors[0]))
    vector = steps @ lattice.vectors[0]
    angle = np.arctan2(vector[:, 0], vector[:, 1])
    start = np.where(angle < -np.pi / len(steps), angle + 2 * np.pi, angle)
    ordered = steps[np.argsort(start, kind="stable")]
    return neighbourhoods(
        atoms, lattice=lattice, steps=tuple((int(row), int(column)) for row, column in ordered), basis_site=basis_site
    )


def _alike(images: Sequence[ImageStructure]) -> list[ImageStructure]:
    """Return the images whose neighbourhoods can be pooled with those of the first."""
    usable = [one for one in images if one.neighbourhoods is not None]
    if not usable:
        return []
    first = usable[0].neighbourhoods
    assert first is not None
    return [
        one
        for one in usable
        if one.neighbourhoods is not None
        and one.neighbourhoods.n_slots == first.n_slots
        and one.neighbourhoods.length_unit == first.length_unit
    ]
