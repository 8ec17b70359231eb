"""Result files: the explicit table from names in a file to classes, and reading and writing a whole analysis."""

import os
from pathlib import Path

from tusi.causal import CausalTable, Knowledge
from tusi.causal.independence import Independence
from tusi.causal.lagged import LaggedLink
from tusi.causal.lint import Finding as CausalFinding
from tusi.causal.panel import Interference, SimpsonCheck, Slope
from tusi.causal.structural import Diagnosis, Effect, Experiment, RankedExperiment, Refutation
from tusi.data import Atoms, CausalGraph, Descriptors, Lattice, NeighborGraph, NoiseModel, SiteGraph, storage
from tusi.errors import InputError
from tusi.finding import Finding
from tusi.generative.comparison import HamiltonianSettings
from tusi.generative.estimation.decision import DataToDecide, DecisionTarget
from tusi.generative.estimation.estimate import CouplingEstimate
from tusi.generative.estimation.examination import FitExamination, ScoreTest
from tusi.generative.estimation.information import ErrorAgainstSites, ExpectedError
from tusi.generative.likelihood import FitSettings
from tusi.generative.prediction.diagram import PhaseDiagram
from tusi.generative.prediction.forecast import Forecast
from tusi.generative.results import HamiltonianComparison, HamiltonianFit, NestedTest
from tusi.generative.sampling import SamplerSettings
from tusi.structure import SpeciesFit
from tusi.structure.defects import Defects
from tusi.structure.modes import ModeSplit, NormalModes
from tusi.structure.neighbourhoods import LocalCrystallography, NeighbourhoodComponents, Neighbourhoods
from tusi.structure.order import Dimerised, ShortRangeOrder
from tusi.structure.sliding import SlidingWindows
from tusi.structure.unmixing import BayesianMixture, ImageUnmixing
from tusi.study.analysis import Analysis, ImageAnalysis, InputFile, Provenance
from tusi.study.causes import CausalAnalysis, CausesOptions
from tusi.study.causes.between_images import BetweenImages
from tusi.study.causes.effect_maps import EffectMap
from tusi.study.causes.model import ModelOfCauses, TotalEffect
from tusi.study.causes.movies import MovieCauses, MovieOptions
from tusi.study.causes.outlook import Outlook
from tusi.study.causes.stability import Stability
from tusi.study.inversion import ArrayLayout, Inversion, InversionOptions, ModelFit
from tusi.study.options import AnalysisOptions
from tusi.study.regions import Region
from tusi.study.steps import RegisteredAtoms
from tusi.study.structure import ImageStructure, StructureAnalysis, StructureOptions
from tusi.study.symmetry import SymmetryMap

CLASSES: dict[str, type] = {
    "analysis": Analysis,
    "analysis-options": AnalysisOptions,
    "array-layout": ArrayLayout,
    "atoms": Atoms,
    "bayesian-mixture": BayesianMixture,
    "between-images": BetweenImages,
    "causal-analysis": CausalAnalysis,
    "causal-diagnosis": Diagnosis,
    "causal-effect": Effect,
    "causal-finding": CausalFinding,
    "causal-graph": CausalGraph,
    "causal-table": CausalTable,
    "causes-options": CausesOptions,
    "coupling-estimate": CouplingEstimate,
    "data-to-decide": DataToDecide,
    "decision-target": DecisionTarget,
    "defects": Defects,
    "descriptors": Descriptors,
    "dimerised": Dimerised,
    "effect-map": EffectMap,
    "error-against-sites": ErrorAgainstSites,
    "expected-error": ExpectedError,
    "experiment": Experiment,
    "finding": Finding,
    "fit-examination": FitExamination,
    "fit-settings": FitSettings,
    "forecast": Forecast,
    "hamiltonian-comparison": HamiltonianComparison,
    "hamiltonian-fit": HamiltonianFit,
    "hamiltonian-settings": HamiltonianSettings,
    "image-analysis": ImageAnalysis,
    "image-structure": ImageStructure,
    "image-unmixing": ImageUnmixing,
    "independence": Independence,
    "input-file": InputFile,
    "interference": Interference,
    "inversion": Inversion,
    "inversion-options": InversionOptions,
    "knowledge": Knowledge,
    "lagged-link": LaggedLink,
    "lattice": Lattice,
    "local-crystallography": LocalCrystallography,
    "mode-split": ModeSplit,
    "model-fit": ModelFit,
    "model-of-causes": ModelOfCauses,
    "movie-causes": MovieCauses,
    "movie-options": MovieOptions,
    "neighbor-graph": NeighborGraph,
    "neighbourhood-components": NeighbourhoodComponents,
    "neighbourhoods": Neighbourhoods,
    "nested-test": NestedTest,
    "noise-model": NoiseModel,
    "normal-modes": NormalModes,
    "outlook": Outlook,
    "phase-diagram": PhaseDiagram,
    "provenance": Provenance,
    "ranked-experiment": RankedExperiment,
    "refutation": Refutation,
    "region": Region,
    "registered-atoms": RegisteredAtoms,
    "sampler-settings": SamplerSettings,
    "score-test": ScoreTest,
    "short-range-order": ShortRangeOrder,
    "simpson-check": SimpsonCheck,
    "site-graph": SiteGraph,
    "sliding-windows": SlidingWindows,
    "slope": Slope,
    "species-fit": SpeciesFit,
    "stability": Stability,
    "structure-analysis": StructureAnalysis,
    "structure-options": StructureOptions,
    "symmetry-map": SymmetryMap,
    "total-effect": TotalEffect,
}
"""Everything that may stand in a result file."""


def save(analysis: Analysis, path: str | os.PathLike, *, scratch: Path | None = None) -> Path:
    """Write an analysis to one HDF5 file, all or nothing.

    Parameters
    ----------
    analysis
        The analysis.
    path
        Where to; an existing file is replaced.
    scratch
        Folder on the same file system for the temporary file; the target's own folder when not given.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> save(load("analysis.h5"), "copy.h5")  # doctest: +SKIP
    """
    return storage.save(analysis, path, classes=CLASSES, scratch=scratch)


def load(path: str | os.PathLike) -> Analysis:
    """Read the result of an analysis.

    Parameters
    ----------
    path
        A file that `analyze(..., out=...)` or `tusi analyze --out` wrote.

    Returns
    -------
    Analysis
        Every table, grid and number of it.

    Raises
    ------
    InputError
        The file is missing, damaged, of another kind, or from a newer version.

    Examples
    --------
    >>> load("missing.h5")
    Traceback (most recent call last):
    tusi.errors.InputError: `path`: expected a result file; got no file 'missing.h5'.
    """
    found = storage.load(path, classes=CLASSES)
    if not isinstance(found, Analysis):
        raise InputError("path", expected="a result of `tusi analyze`", got=f"a {type(found).__name__}")
    return found
