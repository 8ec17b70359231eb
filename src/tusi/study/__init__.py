"""The pipeline: declared steps, provenance, resume, parallel execution, and result files."""

from typing import TYPE_CHECKING

from tusi.lazy import load_on_use

if TYPE_CHECKING:
    from tusi.study.analysis import Analysis, ImageAnalysis, InputFile, Provenance
    from tusi.study.arrangements import read_observations
    from tusi.study.cluster import DaskExecutor
    from tusi.study.couplings import couplings_of
    from tusi.study.files import load, save
    from tusi.study.inversion import ArrayLayout, Inversion, InversionOptions
    from tusi.study.inversion_run import invert, load_inversion
    from tusi.study.options import AnalysisOptions
    from tusi.study.pipeline import analyze
    from tusi.study.regions import Region
    from tusi.study.restoration import RestorationOptions, RestoredImage, restore, write_restored
    from tusi.study.symmetry import SymmetryMap, symmetry_of

_HOMES = {
    "Analysis": "analysis",
    "AnalysisOptions": "options",
    "DaskExecutor": "cluster",
    "ImageAnalysis": "analysis",
    "InputFile": "analysis",
    "Inversion": "inversion",
    "InversionOptions": "inversion",
    "Provenance": "analysis",
    "Region": "regions",
    "RestorationOptions": "restoration",
    "RestoredImage": "restoration",
    "SymmetryMap": "symmetry",
    "ArrayLayout": "inversion",
    "analyze": "pipeline",
    "couplings_of": "couplings",
    "invert": "inversion_run",
    "load": "files",
    "load_inversion": "inversion_run",
    "read_observations": "arrangements",
    "restore": "restoration",
    "save": "files",
    "symmetry_of": "symmetry",
    "write_restored": "restoration",
}

__all__ = [
    "Analysis",
    "AnalysisOptions",
    "ArrayLayout",
    "DaskExecutor",
    "ImageAnalysis",
    "InputFile",
    "Inversion",
    "InversionOptions",
    "Provenance",
    "Region",
    "RestorationOptions",
    "RestoredImage",
    "SymmetryMap",
    "analyze",
    "couplings_of",
    "invert",
    "load",
    "load_inversion",
    "read_observations",
    "restore",
    "save",
    "symmetry_of",
    "write_restored",
]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
