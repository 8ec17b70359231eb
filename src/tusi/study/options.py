"""What a caller chooses about an analysis, as one frozen object whose `repr` is the code that makes it."""

import dataclasses
import math

from tusi.errors import InputError
from tusi.generative.comparison import HamiltonianSettings
from tusi.generative.models import model_named
from tusi.study.regions import Region

MODELS = ("random", "P1", "P2", "M")
"""Models that are compared unless others are asked for."""

SCAN_ERROR = 0.02
"""Error of lengths and angles of a scan of which nothing is known, as a fraction."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """Choices of `analyze`; the defaults ask nothing of the caller.

    Attributes
    ----------
    species
        Names of the species from the darkest column to the brightest; `None` lets the evidence choose how many.
    regions
        Parts of the images that enter lattice and Hamiltonian, in pixels.
    pixel_size
        Side of a pixel, in angstrom; `None` takes what the file declares.
    lattice_constant
        Known lattice constant, in angstrom: a check of the pixel size, never a calibration.
    models
        Names of the lattice models to compare; none leaves Hamiltonians out.
    temperature
        Temperature at which the arrangement froze in, in K; `None` keeps energies in units of kT.
    seed
        Seed of all random streams.
    dataset
        Path of the image inside files that hold several.
    structure
        Whether local structure is described: strain, dimerisation, classes of neighbourhoods, defects, modes.
    symmetry
        Whether plane groups are mapped as a part of it.
    causes
        Whether causes are looked for among composition, local chemistry and deformation.
    scan_error
        Error of lengths and angles of the scan, as a fraction: a symmetry is not taken to be broken by less.
    settings
        How carefully Hamiltonians are compared; `None` takes that stage's defaults. `temperature` here goes first.
    """

    species: tuple[str, ...] | None = None
    regions: tuple[Region, ...] = ()
    pixel_size: float | None = None
    lattice_constant: float | None = None
    models: tuple[str, ...] = MODELS
    temperature: float | None = None
    seed: int = 0
    dataset: str | None = None
    structure: bool = True
    symmetry: bool = True
    causes: bool = True
    scan_error: float = SCAN_ERROR
    settings: HamiltonianSettings | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_size", "lattice_constant", "temperature"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(name, expected="a positive number", got=str(value))
        if not 0 <= self.scan_error < 1:
            raise InputError("scan_error", expected="a number from 0 to 1", got=str(self.scan_error))
        if self.seed < 0:
            raise InputError("seed", expected="a whole number >= 0", got=str(self.seed))
        if not self.models and not self.structure:
            raise InputError("models", expected=f"at least one of {MODELS}, or local structure", got="neither")
        for name in self.models:
            model_named(name)
        if self.species is not None:
            _check_species(self.species)


def _check_species(species: tuple[str, ...]) -> None:
    """Two or more different names."""
    if len(species) < 2 or len(set(species)) != len(species) or not all(name.strip() for name in species):
        raise InputError(
            "species", expected="two or more different names, darkest first, as in Mo,Re", got=",".join(species)
        )
