"""`analyze`: from image files to a tested Hamiltonian, step by step, each finished step kept until the run is done."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tusi import errors
from tusi.data import SiteGraph
from tusi.errors import InputError, TusiWarning
from tusi.execution import Executor, SerialExecutor, stream
from tusi.generative.comparison import HamiltonianSettings, fit_hamiltonians
from tusi.generative.results import HamiltonianComparison
from tusi.study.analysis import Analysis, Provenance
from tusi.study.assembly import image_analysis
from tusi.study.capture import StepResult, captured
from tusi.study.causes import CausalAnalysis, discover_causes
from tusi.study.causes.site_variables import site_variables
from tusi.study.files import load, save
from tusi.study.options import AnalysisOptions
from tusi.study.partial import PartialFolder
from tusi.study.provenance import command_of, describe_inputs, key_of, machine, versions
from tusi.study.regions import check_regions
from tusi.study.steps import CAUSES_VERSION, HAMILTONIAN_VERSION, STEPS, ImageTask
from tusi.study.structure import StructureAnalysis, StructureOptions, pooled_structure

StepProgress = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all)."""

_FINAL, _CAUSES = "hamiltonian", "causes"


def analyze(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    options: AnalysisOptions | None = None,
    out: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: StepProgress | None = None,
) -> Analysis:
    """Go from image files to a tested lattice Hamiltonian.

    Reads each image, finds its atomic columns, registers them to a lattice, gives each a probability of being each
    species, and compares lattice models on all images together. An image that cannot go on (no atoms, too few sites)
    is flagged and left out; the others go on. The result depends on the files and the options alone: not on the number
    of workers, and not on whether the run was interrupted.

    Parameters
    ----------
    paths
        Image files of one material, one or more.
    options
        Choices; the defaults ask nothing.
    out
        Result file (HDF5). While the run lasts, finished steps are kept in `OUT.partial/`; a second run with the same
        files and options takes them up. Nothing is written when not given.
    executor
        Runs independent work; in this process when not given.
    progress
        Told of every finished item of every step.

    Returns
    -------
    Analysis
        Atoms, lattices, species, site graphs, models, and how they were made.

    Raises
    ------
    InputError
        A file is missing or unreadable, an option contradicts the files, or no image could be used.

    Examples
    --------
    >>> analyze("missing.tiff")
    Traceback (most recent call last):
    tusi.errors.InputError: `paths`: expected a file; got 'missing.tiff', which does not exist.
    """
    options = options or AnalysisOptions()
    names = tuple(os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths))
    check_regions(names, options.regions)
    files = describe_inputs(names)
    tasks = tuple(ImageTask(number=i, file=file, options=options) for i, file in enumerate(files))
    keys = [_keys_of(task) for task in tasks]
    provenance = Provenance(
        command=command_of(names, options),
        versions=versions(),
        platform=machine(),
        keys=(
            *((step, task.file.name, key) for task, own in zip(tasks, keys, strict=True) for step, key in own.items()),
            ("analysis", "", key_of((HAMILTONIAN_VERSION, CAUSES_VERSION), options, _last_keys(keys))),
        ),
    )
    if out is not None and (finished := _finished(out, provenance)) is not None:
        return finished
    folder = PartialFolder.beside(out)
    run = _Run(tasks=tasks, keys=keys, folder=folder, executor=executor or SerialExecutor(), progress=progress)
    outcomes = run.images()
    comparison, final = run.hamiltonian(outcomes) if options.models else (None, StepResult(value=None))
    shared = run.structure(outcomes)
    causes = run.causes(outcomes, shared)
    analysis = Analysis(
        images=tuple(image_analysis(task, own) for task, own in zip(tasks, outcomes, strict=True)),
        comparison=comparison,
        options=options,
        provenance=provenance,
        warnings=(
            *(text for _, text in (*final.warnings, *causes.warnings)),
            *([f"Causes could not be looked for: {causes.error}"] if causes.error else []),
            *([final.error] if final.error else []),
        ),
        structure=shared,
        causes=causes.value,
    )
    if out is not None:
        save(analysis, out, scratch=folder.path)
        folder.remove()
    _warn_again([*(result for own in outcomes for result in own.values()), final, causes])
    return analysis


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """The moving parts of one call of `analyze`."""

    tasks: tuple[ImageTask, ...]
    keys: list[dict[str, str]]
    folder: PartialFolder
    executor: Executor
    progress: StepProgress | None

    def images(self) -> list[dict[str, StepResult]]:
        """Run every step on every image that has not failed; raise when none is left."""
        outcomes: list[dict[str, StepResult]] = [{} for _ in self.tasks]
        for step in STEPS:
            alive = [i for i, own in enumerate(outcomes) if not any(result.error for result in own.values())]
            items = [
                _Item(
                    step=step.name,
                    task=self.tasks[i],
                    key=self.keys[i][step.name],
                    folder=self.folder,
                    needs=tuple(outcomes[i][name].value for name in step.needs),
                )
                for i in alive
            ]
            results = self.executor.map(_run_step, items, progress=self.told(step.label, len(items)))
            for i, result in zip(alive, results, strict=True):
                outcomes[i][step.name] = result
        failures = [
            f"{task.file.name}: {result.error}"
            for task, own in zip(self.tasks, outcomes, strict=True)
            for result in own.values()
            if result.error
        ]
        if len(failures) == len(self.tasks):
            self.folder.remove()
            raise InputError("paths", expected="at least one image that can be used", got="; ".join(failures))
        return outcomes

    def hamiltonian(self, outcomes: list[dict[str, StepResult]]) -> tuple[HamiltonianComparison | None, StepResult]:
        """Compare the models on all images that have a site graph."""
        alive = [i for i, own in enumerate(outcomes) if not any(result.error for result in own.values())]
        options = self.tasks[0].options
        key = key_of(
            _FINAL,
            HAMILTONIAN_VERSION,
            [self.keys[i]["graph"] for i in alive],
            [self.tasks[i].file.name for i in alive],
            options.models,
            options.temperature,
            options.settings,
            options.seed,
        )
        result = self.folder.load(_FINAL, 0, key)
        if result is None:
            graphs = [outcomes[i]["graph"].value for i in alive]
            result = captured(self._compare, graphs)
            if not result.error:
                self.folder.save(_FINAL, 0, key, result)
        return result.value, result

    def _compare(self, graphs: list[SiteGraph]) -> HamiltonianComparison:
        options = self.tasks[0].options
        settings = options.settings or HamiltonianSettings()
        if options.temperature is not None:
            settings = dataclasses.replace(settings, temperature=options.temperature)
        return fit_hamiltonians(
            graphs,
            models=options.models,
            settings=settings,
            rng=stream(options.seed, _FINAL),
            executor=self.executor,
            progress=self.told("Comparing models", 1),
        )

    def structure(self, outcomes: list[dict[str, StepResult]]) -> StructureAnalysis | None:
        """Look for what the neighbourhoods of all images share."""
        options = self.tasks[0].options
        if not options.structure:
            return None
        described = [
            dataclasses.replace(own["structure"].value, symmetry=own["symmetry"].value)
            for own in outcomes
            if "symmetry" in own and own["structure"].value is not None
        ]
        return pooled_structure(described, options=StructureOptions(seed=options.seed))

    def causes(self, outcomes: list[dict[str, StepResult]], structure: StructureAnalysis | None) -> StepResult:
        """Look for what acts on what at the sites of all images."""
        options = self.tasks[0].options
        if structure is None or not structure.images or not options.causes or not options.models:
            return StepResult(value=None)
        keys = [own["structure"] for own, result in zip(self.keys, outcomes, strict=True) if "structure" in result]
        key = key_of(_CAUSES, CAUSES_VERSION, (options.seed, keys))
        result = self.folder.load(_CAUSES, 0, key)
        if result is None:
            result = captured(self._discover, structure)
            if not result.error:
                self.folder.save(_CAUSES, 0, key, result)
        return result

    def _discover(self, structure: StructureAnalysis) -> CausalAnalysis:
        found = site_variables(structure.images)
        analysis = discover_causes(
            found.table,
            rng=np.random.default_rng(self.tasks[0].options.seed),
            knowledge=found.knowledge,
            meaning=found.meaning,
            progress=self.progress,
        )
        return dataclasses.replace(analysis, notes=(*found.notes, *analysis.notes))

    def told(self, label: str, n_items: int) -> Callable[[int, int], None] | None:
        """Return the progress callback of one step."""
        if self.progress is None:
            return None
        progress = self.progress
        progress(label, 0, n_items)
        return lambda done, total: progress(label, done, total)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Item:
    """One step of one image, on its way to a worker."""

    step: str
    task: ImageTask
    key: str
    folder: PartialFolder
    needs: tuple[Any, ...]


def _run_step(item: _Item) -> StepResult:
    """Take a finished step from the folder, or do it and keep it there; runs in a worker."""
    kept = item.folder.load(item.step, item.task.number, item.key)
    if kept is not None:
        return kept
    function = {step.name: step.function for step in STEPS}[item.step]
    result = captured(function, item.task, *item.needs)
    if not result.error:
        item.folder.save(item.step, item.task.number, item.key, result)
    return result


def _keys_of(task: ImageTask) -> dict[str, str]:
    """Return the key of every step of one image."""
    keys: dict[str, str] = {}
    libraries = versions()
    for step in STEPS:
        keys[step.name] = key_of(step.name, step.version, libraries, step.reads(task), [keys[n] for n in step.needs])
    return keys


def _last_keys(keys: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return the keys of the last steps of every image."""
    return [(own["graph"], own["symmetry"]) for own in keys]


def _finished(out: str | os.PathLike, provenance: Provenance) -> Analysis | None:
    """Return the analysis that stands in the result file if it is this very one; refuse to replace a foreign file."""
    path = Path(out)
    if path.is_dir():
        raise InputError("out", expected="a file name", got=f"the folder {str(path)!r}")
    if not path.exists():
        return None
    try:
        found = load(path)
    except InputError as error:
        raise InputError(
            "out",
            expected="a new file, or a result to replace",
            got=f"{str(path)!r}, which tusi did not write or cannot read",
            then="Move it away or choose another name.",
        ) from error
    return found if found.provenance == provenance else None


def _warn_again(results: list[StepResult]) -> None:
    """Give every captured warning once in this process, in its own category."""
    for category, text in dict.fromkeys(said for result in results for said in result.warnings):
        warnings.warn(text, getattr(errors, category, TusiWarning), stacklevel=3)
