"""What a whole analysis returns: one object per image, the comparison of models, and how it was made."""

import dataclasses
from typing import ClassVar

import xarray as xr

from tusi.data import Lattice, SiteGraph
from tusi.finding import Finding
from tusi.generative.results import HamiltonianComparison
from tusi.structure import SpeciesFit
from tusi.study.causes import CausalAnalysis
from tusi.study.options import AnalysisOptions
from tusi.study.regions import Region
from tusi.study.structure import StructureAnalysis


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input as it was when it was read.

    Attributes
    ----------
    path
        As the caller gave it.
    name
        Short name, unique among the images of the analysis.
    sha256
        Hash of the file's bytes (of all files, for a folder).
    n_bytes
        Size.
    """

    path: str
    name: str
    sha256: str
    n_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a result was made; nothing in it depends on when, or on how many workers there were.

    Attributes
    ----------
    command
        The command line that makes the result again.
    versions
        Versions of tusi, Python and the libraries that calculate.
    platform
        Machine type and operating system.
    keys
        Key of every finished step: (step, image, hash of all that it depends on).
    """

    command: str
    versions: tuple[tuple[str, str], ...]
    platform: str
    keys: tuple[tuple[str, str, str], ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageAnalysis:
    """One image on its way from file to site graph; what comes after a failed step is `None`.

    Attributes
    ----------
    file
        The input.
    grid
        The image, in the smallest type that holds it without loss (at most float32); `None` when it is larger than
        4096 x 4096 pixels, then `file` says where it is and what its hash was.
    pixel_size, length_unit
        Side of a pixel and its unit: angstrom, or 1 pixel where the scale is not known.
    implied_pixel_size
        Pixel size in angstrom that the given lattice constant implies; `None` without one.
    region
        Part of the image that enters lattice and Hamiltonian; `None` for all of it.
    finding
        All atoms of the image, with background and noise.
    lattice
        Sites; `lattice.atom` numbers the rows of `species.atoms`.
    species
        The atoms inside the region with the probability of each species.
    graph
        The window that the Hamiltonian saw.
    failed_step, error
        The step at which the image dropped out, and why; empty when it did not.
    warnings
        All warnings that concern this image.
    """

    file: InputFile
    grid: xr.DataArray | None
    pixel_size: float
    length_unit: str
    implied_pixel_size: float | None
    region: Region | None
    finding: Finding | None
    lattice: Lattice | None
    species: SpeciesFit | None
    graph: SiteGraph | None
    failed_step: str
    error: str
    warnings: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the image went all the way to a site graph."""
        return not self.failed_step


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """A finished analysis; `tusi.study.load` reads it back and `tusi.report` draws it.

    Attributes
    ----------
    images
        In the order in which they were given.
    comparison
        The tested Hamiltonians; `None` where no model could be fitted (the warnings say why).
    options
        What the caller chose.
    provenance
        How it was made.
    structure
        Local structure of the images and what they share; `None` where it was not asked for.
    causes
        What acts on what at the sites and between the images; `None` where it was not asked for or could not be told.
    warnings
        Warnings that concern the analysis as a whole.
    """

    format_name: ClassVar[str] = "analysis"

    images: tuple[ImageAnalysis, ...]
    comparison: HamiltonianComparison | None
    options: AnalysisOptions
    provenance: Provenance
    warnings: tuple[str, ...]
    structure: StructureAnalysis | None = None
    causes: CausalAnalysis | None = None

    def image(self, name: str) -> ImageAnalysis:
        """Return the image of this name.

        Raises
        ------
        KeyError
            There is none.
        """
        return {image.file.name: image for image in self.images}[name]

    @property
    def verdict(self) -> tuple[str, ...]:
        """The result in words, most important sentence first."""
        if self.comparison is not None:
            return self.comparison.verdict
        if not self.options.models:
            return self.structure.verdict if self.structure is not None else ("Nothing was asked.",)
        reason = self.warnings[-1] if self.warnings else "The warnings say why."
        found = self.structure.verdict if self.structure is not None else ()
        return ("No lattice model could be tested on these images.", reason, *found)
