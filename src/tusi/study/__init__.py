"""The pipeline: declared steps, provenance, resume, parallel execution, and result files."""

from tusi.study.analysis import Analysis, ImageAnalysis, InputFile, Provenance
from tusi.study.cluster import DaskExecutor
from tusi.study.files import load, save
from tusi.study.options import AnalysisOptions
from tusi.study.pipeline import analyze
from tusi.study.regions import Region

__all__ = [
    "Analysis",
    "AnalysisOptions",
    "DaskExecutor",
    "ImageAnalysis",
    "InputFile",
    "Provenance",
    "Region",
    "analyze",
    "load",
    "save",
]
