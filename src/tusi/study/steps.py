"""The declared steps of an analysis: what each depends on, and the one call that it makes.

A step belongs to one image and takes what the steps before it returned. Its key is a hash of the input's bytes, of the
options that it reads, of its version and of the keys of the steps before it; raise a step's version whenever its
numbers change.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from tusi.data import Atoms, Lattice, SiteGraph, length_unit_of, pixel_size_of
from tusi.errors import CalibrationWarning, InputError, MetadataWarning
from tusi.execution import stream
from tusi.finding import Finding, find_atoms
from tusi.io import read
from tusi.structure import (
    SpeciesFit,
    classify_species,
    judge_vacancies,
    lattice_constant_of,
    register_lattice,
    site_graph,
)
from tusi.study.analysis import InputFile
from tusi.study.options import AnalysisOptions
from tusi.study.regions import Region, region_for
from tusi.study.structure import ImageStructure, StructureOptions, image_structure
from tusi.study.symmetry import SymmetryMap, symmetry_of
from tusi.units import ANGSTROM

SCALE_TOLERANCE = 0.03
"""Relative difference between declared and implied pixel size above which a warning is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTask:
    """One image of an analysis, and what the caller chose about it."""

    number: int
    file: InputFile
    options: AnalysisOptions

    @property
    def region(self) -> Region | None:
        """The part of this image that enters lattice and Hamiltonian."""
        return region_for(self.file.path, self.options.regions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One declared step.

    Attributes
    ----------
    name, label
        What it is called in keys and file names, and what a progress bar says.
    function
        Called with the task and the results of the steps in `needs`.
    needs
        Names of the steps whose results it takes.
    reads
        Returns the choices that change its numbers.
    version
        Raised whenever the step's numbers change for the same input.
    """

    name: str
    label: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    reads: Callable[[ImageTask], tuple]
    version: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RegisteredAtoms:
    """The atoms inside the region, and the lattice that they form."""

    atoms: Atoms
    lattice: Lattice


def _read(task: ImageTask) -> xr.DataArray:
    """Open the file; an image that is finite inside its region alone is cut to it."""
    grid = read(task.file.path, pixel_size=task.options.pixel_size, dataset=task.options.dataset)
    if grid.dims == ("frame", "y", "x"):
        raise InputError(
            "image",
            expected="one image",
            got=f"a movie of {grid.sizes['frame']} frames",
            then=f"Register and average its frames first: `tusi restore {task.file.path}`.",
        )
    region = task.region
    if region is None or np.isfinite(grid.values).all():
        return grid
    warnings.warn(
        "NaN or infinite pixels outside the region: atoms are found inside it only",
        CalibrationWarning,
        stacklevel=2,
    )
    return grid.isel(y=slice(region.y0, region.y1), x=slice(region.x0, region.x1))


def _find(_task: ImageTask, grid: xr.DataArray) -> Finding:
    """Find atoms on the whole image, so that the region's border is no border of the image."""
    finding = find_atoms(grid)
    if not len(finding.atoms):
        raise InputError("image", expected="atomic columns", got="none found in the image")
    return finding


def _register(task: ImageTask, grid: xr.DataArray, finding: Finding) -> RegisteredAtoms:
    """Register the columns that the region holds: those whose spot reaches into it by one width.

    A region is drawn around rows of columns; one that grazes its outermost rows is meant to hold them.
    """
    atoms = finding.atoms
    if task.region is not None:
        inside = task.region.holds(atoms.position, pixel_size=pixel_size_of(grid), margin=finding.spot_width)
        atoms = atoms[inside]
        if not len(atoms):
            raise InputError("region", expected="a region with atoms in it", got=f"{task.region} without any")
    lattice = register_lattice(atoms, image=task.number)
    if not len(lattice):
        raise InputError("image", expected="atoms on a lattice", got=f"{len(atoms)} atoms without one")
    lattice = judge_vacancies(lattice, grid, finding=finding)
    implied = implied_pixel_size(lattice, task.options.lattice_constant, pixel_size_of(grid))
    if implied is not None and length_unit_of(grid) == ANGSTROM:
        _check_scale(implied, pixel_size_of(grid))
    return RegisteredAtoms(atoms=atoms, lattice=lattice)


def implied_pixel_size(lattice: Lattice, constant: float | None, pixel_size: float) -> float | None:
    """Return the pixel size in angstrom at which the lattice has this lattice constant; `None` without one."""
    if constant is None:
        return None
    return constant / (lattice_constant_of(lattice) / pixel_size)


def _check_scale(implied: float, declared: float) -> None:
    """Warn when the lattice constant contradicts the declared pixel size."""
    if abs(implied / declared - 1) > SCALE_TOLERANCE:
        warnings.warn(
            f"the pixel size is declared as {declared:.4g} angstrom, but the lattice constant implies {implied:.4g}: "
            f"they differ by {100 * abs(implied / declared - 1):.1f} %",
            MetadataWarning,
            stacklevel=2,
        )


def _species(task: ImageTask, registration: RegisteredAtoms) -> SpeciesFit:
    """Give every atom its species probabilities."""
    return classify_species(
        registration.atoms,
        registration.lattice,
        species=task.options.species,
        rng=stream(task.options.seed, "species", task.number),
    )


def _graph(task: ImageTask, registration: RegisteredAtoms, species: SpeciesFit) -> SiteGraph:
    """Cut the window that a Hamiltonian sees."""
    return dataclasses.replace(site_graph(species.atoms, registration.lattice), name=task.file.name)


def _structure(task: ImageTask, registration: RegisteredAtoms, species: SpeciesFit) -> ImageStructure | None:
    """Describe the surroundings of every site."""
    if not task.options.structure:
        return None
    return image_structure(
        species.atoms,
        registration.lattice,
        name=task.file.name,
        number=task.number,
        options=StructureOptions(seed=task.options.seed),
    )


def _symmetry(
    task: ImageTask, registration: RegisteredAtoms, species: SpeciesFit, described: ImageStructure | None
) -> SymmetryMap | None:
    """Map the plane groups, in doubled cells where displacements of period two prevail."""
    if described is None or not task.options.symmetry:
        return None
    return symmetry_of(
        species.atoms, registration.lattice, doubled=described.doubled, scan_error=task.options.scan_error
    )


STEPS = (
    Step(
        name="read",
        label="Reading images",
        function=_read,
        needs=(),
        reads=lambda task: (task.file.sha256, task.region, task.options.pixel_size, task.options.dataset),
    ),
    Step(name="find", label="Finding atoms", function=_find, needs=("read",), reads=lambda _task: ()),
    Step(
        name="register",
        label="Registering lattices",
        function=_register,
        needs=("read", "find"),
        reads=lambda task: (task.region, task.options.lattice_constant),
    ),
    Step(
        name="species",
        label="Telling species apart",
        function=_species,
        needs=("register",),
        reads=lambda task: (task.options.species, task.options.seed, task.number),
    ),
    Step(
        name="graph",
        label="Building site graphs",
        function=_graph,
        needs=("register", "species"),
        reads=lambda task: (task.number, task.file.name),
    ),
    Step(
        name="structure",
        label="Describing local structure",
        function=_structure,
        needs=("register", "species"),
        reads=lambda task: (task.number, task.file.name, task.options.structure, task.options.seed),
    ),
    Step(
        name="symmetry",
        label="Mapping symmetry",
        function=_symmetry,
        needs=("register", "species", "structure"),
        reads=lambda task: (task.options.symmetry, task.options.scan_error),
    ),
)
"""The steps of one image, in order."""

HAMILTONIAN_VERSION = 2
"""Version of the step that takes the site graphs of all images."""

CAUSES_VERSION = 2
"""Version of the step that takes the local structure of all images."""
