"""The pipeline: declared steps, provenance, resume, parallel execution, and result files."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tusi.study.analysis import Analysis, ImageAnalysis, InputFile, Provenance
    from tusi.study.cluster import DaskExecutor
    from tusi.study.files import load, save
    from tusi.study.options import AnalysisOptions
    from tusi.study.pipeline import analyze
    from tusi.study.regions import Region

_HOMES = {
    "Analysis": "analysis",
    "AnalysisOptions": "options",
    "DaskExecutor": "cluster",
    "ImageAnalysis": "analysis",
    "InputFile": "analysis",
    "Provenance": "analysis",
    "Region": "regions",
    "analyze": "pipeline",
    "load": "files",
    "save": "files",
}

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


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first used, so that workers and commands start light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
