"""`invert`: from arrangements on disk to tested Hamiltonians, each finished model kept until the run is done."""

import dataclasses
import os
import shlex
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tusi import errors
from tusi.data import storage
from tusi.errors import InputError, TusiWarning
from tusi.execution import stream
from tusi.generative.estimation import (
    MaximumLikelihood,
    MinimumDistance,
    Observation,
    Posterior,
    Pseudolikelihood,
    estimate_couplings,
)
from tusi.generative.estimation.criterion import composite_criterion
from tusi.generative.estimation.decision import DataToDecide, DecisionTarget, data_to_decide
from tusi.generative.estimation.estimate import EstimationMethod
from tusi.generative.estimation.examination import examine_fit
from tusi.generative.estimation.information import Condition, error_against_sites, expected_error
from tusi.generative.estimation.replicas import ReplicaSettings
from tusi.generative.lattice import LatticeModel, periodic_sites
from tusi.generative.models import embedding
from tusi.generative.prediction.forecast import Forecast, leave_one_out
from tusi.study.analysis import InputFile, Provenance
from tusi.study.arrangements import read_observations
from tusi.study.capture import StepResult, captured
from tusi.study.files import CLASSES
from tusi.study.inversion import LEVEL, METHODS, Inversion, InversionOptions, ModelFit, model_for
from tusi.study.partial import PartialFolder
from tusi.study.provenance import describe_inputs, key_of, machine, versions

ESTIMATORS: dict[str, Callable[[], EstimationMethod]] = dict(
    zip(METHODS, (MaximumLikelihood, Pseudolikelihood, MinimumDistance, Posterior), strict=True)
)
"""Estimators by name."""

VERSION = 1
"""Raised whenever the numbers of a fit change."""

CONDITION_CELLS = 24
"""Cells along an edge of the crystal in which the information of a site is measured."""

Told = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all)."""


def invert(
    paths: Sequence[str | os.PathLike],
    *,
    options: InversionOptions | None = None,
    out: str | os.PathLike | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Inversion:
    """Go from arrangements on disk to tested Hamiltonians, and to what would decide between them.

    Every model is fitted to all arrangements together and examined against replicas of them; finished models are kept
    beside the result, so that the same call goes on where it was interrupted. Of every pair of models that contain each
    other it is said how many more sites would decide between them.

    Parameters
    ----------
    paths
        Results of `tusi analyze`, tables of atoms with species, or arrays of species.
    options
        Models, estimator, temperatures and so on.
    out
        Result file (.h5); nothing is kept when not given.
    progress
        Called with (step, done, total).

    Returns
    -------
    Inversion
        Couplings, tests, expected errors and a verdict in words.

    Raises
    ------
    InputError
        Something cannot be read, or a model does not fit the species.

    Examples
    --------
    >>> invert([])
    Traceback (most recent call last):
    tusi.errors.InputError: `paths`: expected at least one image; got none.
    """
    options = options or InversionOptions()
    names = tuple(os.fspath(path) for path in paths)
    files = describe_inputs(names)
    folder = PartialFolder.beside(out)
    read = captured(
        lambda: read_observations(
            names, species=options.species, temperatures=options.temperatures, layout=options.layout
        )
    )
    if read.error:
        folder.remove()
        raise InputError("paths", expected="arrangements that can be read", got=read.error)
    observations, species = read.value
    models = [model_for(name, species, composition=options.composition) for name in options.models]
    run = _Run(observations=observations, models=models, options=options, folder=folder, progress=progress)
    base = key_of(VERSION, versions(), [file.sha256 for file in files], options)
    results = [run.kept("model", k, base, run.fit_model) for k in range(len(models))]
    results += [run.kept("outlook", 0, base, lambda _: run.outlook([one.value for one in results if one.value]))]
    failed = [one.error for one in results if one.error]
    fits = tuple(one.value for one in results[:-1] if one.value is not None)
    if not fits:
        raise InputError("models", expected="at least one model that can be fitted", got="; ".join(failed))
    decisions, expected, arriving = results[-1].value or ((), (), ())
    inversion = Inversion(
        fits=fits,
        decisions=decisions,
        expected=expected,
        arriving=arriving,
        image_names=tuple(one.name for one in observations),
        species=species,
        crystal=observations[0].sites.crystal.name,
        n_sites=np.array([int(one.informed.sum()) for one in observations]),
        composition=np.stack([one.composition for one in observations]),
        verdict=_verdict(fits, decisions),
        warnings=tuple(dict.fromkeys([text for one in (read, *results) for _, text in one.warnings] + failed)),
        options=options,
        provenance=_provenance(names, files, options, base),
    )
    if out is not None:
        save_inversion(inversion, out)
        folder.remove()
    for category, text in dict.fromkeys(said for one in (read, *results) for said in one.warnings):
        warnings.warn(text, getattr(errors, category, TusiWarning), stacklevel=2)
    return inversion


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """The moving parts of one call of `invert`."""

    observations: tuple[Observation, ...]
    models: Sequence[LatticeModel]
    options: InversionOptions
    folder: PartialFolder
    progress: Told | None

    def kept(self, step: str, number: int, base: str, function: Callable[[int], Any]) -> StepResult:
        """Take a finished part from the folder, or do it and keep it there."""
        done = number if step == "model" else len(self.models)
        self.tell(step, done)
        key = key_of(step, number, base)
        result = self.folder.load(step, number, key)
        if result is None:
            result = captured(function, number)
            if not result.error:
                self.folder.save(step, number, key, result)
        self.tell(step, done + 1)
        return result

    def tell(self, step: str, done: int) -> None:
        """Say how far the run is."""
        if self.progress is not None and step == "model":
            self.progress("Fitting models", done, len(self.models))
        elif self.progress is not None:
            self.progress("Weighing what to measure", done - len(self.models), 1)

    def fit_model(self, number: int) -> ModelFit:
        """Fit and examine one model."""
        model, options = self.models[number], self.options
        rng = stream(options.seed, "inversion", model.name)
        estimate = self.estimate(self.observations, model, rng=rng) if model.terms else None
        couplings = np.empty(0) if estimate is None else estimate.value
        examination, tests = examine_fit(
            self.observations,
            model,
            couplings,
            rng=rng,
            larger=[other for other in self.models if contains(other, model)],
            own_composition=options.composition == "own",
            settings=ReplicaSettings(n_replicas=options.n_replicas),
        )
        return ModelFit(
            name=model.name,
            equation=model.equation(),
            estimate=estimate,
            examination=examination,
            tests=tests,
            clic=composite_criterion(
                self.observations,
                model,
                rng=rng,
                composition=options.composition,  # type: ignore[arg-type]
                reach=self.models,
            ),
            held_out=self.held_out(model),
        )

    def held_out(self, model: LatticeModel) -> tuple[Forecast, ...]:
        """Predict each arrangement from the others, where there are others and their labels are sure."""
        rng = stream(self.options.seed, "held out", model.name)
        sure = all(one.certain[one.sites.occupied].all() for one in self.observations)
        if len(self.observations) < 2 or not model.terms or not sure or self.options.composition != "own":
            return ()
        return leave_one_out(self.observations, model, rng=rng, method=Pseudolikelihood())

    def estimate(self, observations: Sequence[Observation], model: LatticeModel, *, rng: np.random.Generator) -> Any:
        """Estimate the couplings of one model."""
        method = ESTIMATORS[self.options.method]()
        return estimate_couplings(
            observations,
            model,
            rng=rng,
            method=method,
            composition=self.options.composition,  # type: ignore[arg-type]
        )

    def outlook(self, fits: Sequence[ModelFit]) -> tuple:
        """Say what more sites would bring: decisions between models, and smaller errors."""
        rng = stream(self.options.seed, "outlook")
        by_name = {model.name: model for model in self.models}
        condition = self._condition()
        n_seen = sum(int(one.informed.sum()) for one in self.observations)
        decisions, expected, arriving = [], [], []
        for fit in fits:
            larger = by_name[fit.name]
            if fit.estimate is None or not np.isfinite(fit.estimate.value).all():
                continue
            for smaller in self.models:
                if contains(larger, smaller):
                    decisions.append(
                        data_to_decide(
                            smaller, larger, couplings=fit.estimate.value, condition=condition, rng=rng,
                            target=DecisionTarget(n_seen=n_seen),
                        )
                    )  # fmt: skip
            limit = expected_error(larger, fit.estimate.value, condition=condition, rng=rng)
            expected.append(limit)
            arriving.append(error_against_sites(self._as_images_come(larger, fit), expected=limit))
        return tuple(decisions), tuple(expected), tuple(arriving)

    def _as_images_come(self, model: LatticeModel, fit: ModelFit) -> list:
        """Return estimates from the first arrangement, the first two, ... by pseudolikelihood; the last is the fit."""
        rng = stream(self.options.seed, "arriving", model.name)
        early = [
            estimate_couplings(
                self.observations[:n], model, rng=rng, method=Pseudolikelihood(),
                composition=self.options.composition,  # type: ignore[arg-type]
            )
            for n in range(1, len(self.observations))
        ]  # fmt: skip
        return [*early, fit.estimate]

    def _condition(self) -> Condition:
        """Return the mean composition of the arrangements, on a periodic crystal of their kind."""
        first = self.observations[0]
        weights = [one.informed.sum() for one in self.observations]
        composition = np.average([one.composition for one in self.observations], axis=0, weights=weights)
        sites = periodic_sites(first.sites.crystal, (CONDITION_CELLS,) * first.sites.crystal.n_translations)
        own = self.options.composition == "own"
        return Condition(sites=sites, composition=tuple(composition / composition.sum()) if own else None)


def contains(larger: LatticeModel, smaller: LatticeModel) -> bool:
    """Return whether a model is another one with some couplings at zero, or tied to each other, whatever their names.

    Examples
    --------
    >>> contains(model_for("ising2", ("down", "up")), model_for("ising", ("down", "up")))
    True
    """
    if len(smaller.terms) >= len(larger.terms):
        return False
    held = {(term.motif, term.table) for term in larger.terms}
    same = all((term.motif, term.table) in held for term in smaller.terms)
    return same or embedding(smaller, larger) is not None


def save_inversion(inversion: Inversion, path: str | os.PathLike) -> None:
    """Write an inversion to one HDF5 file, all or nothing.

    Parameters
    ----------
    inversion
        The inversion.
    path
        Where to; an existing file is replaced.

    Examples
    --------
    >>> save_inversion(load_inversion("fit.h5"), "copy.h5")  # doctest: +SKIP
    """
    storage.save(inversion, path, classes=CLASSES)


def load_inversion(path: str | os.PathLike) -> Inversion:
    """Read the result of an inversion.

    Parameters
    ----------
    path
        A file that `invert(..., out=...)` or `tusi fit-hamiltonian --out` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, of another kind, or from a newer version.

    Examples
    --------
    >>> load_inversion("missing.h5")
    Traceback (most recent call last):
    tusi.errors.InputError: `path`: expected a result file; got no file 'missing.h5'.
    """
    found = storage.load(path, classes=CLASSES)
    if not isinstance(found, Inversion):
        raise InputError("path", expected="a result of `tusi fit-hamiltonian`", got=f"a {type(found).__name__}")
    return found


def _verdict(fits: Sequence[ModelFit], decisions: Sequence[DataToDecide]) -> tuple[str, ...]:
    """Return the result in words, most important sentence first."""
    held = [fit.name for fit in fits if not fit.rejected]
    if not held:
        first = "No model here explains the arrangements."
    elif len(held) == len(fits):
        first = f"Nothing rejects {' or '.join(held)}."
    else:
        rejected = [fit.name for fit in fits if fit.rejected]
        first = f"Not rejected: {', '.join(held)}. Rejected at 5 %: {', '.join(rejected)}."
    sentences = [first]
    for fit in fits:
        if fit.estimate is not None:
            sentences.append(f"{fit.name}: {_couplings(fit)}.")
        pooled, naive = _p(fit.examination.pooled_p), _p(fit.examination.naive_p)
        sentences.append(f"{fit.name}: clusters {pooled} (naive {naive}).")
        if fit.held_out:
            each = ", ".join(f"{one.name} {_p(one.p_value)}" for one in fit.held_out)
            sentences.append(f"{fit.name} fitted to the others predicts {each}.")
        sentences += [
            f"{test.larger} explains more than {test.smaller} ({_p(test.calibrated_p)})."
            for test in fit.tests
            if test.calibrated_p < LEVEL
        ]
    undecided = {(test.smaller, test.larger) for fit in fits for test in fit.tests if test.calibrated_p >= LEVEL}
    sentences += [str(one) for one in decisions if (one.smaller, one.larger) in undecided]
    return tuple(sentences)


def _p(value: float) -> str:
    """Return a p-value in words, never as zero."""
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _couplings(fit: ModelFit) -> str:
    """Return the couplings of a fit in words."""
    assert fit.estimate is not None
    estimate = fit.estimate
    rows = zip(estimate.parameters, estimate.value, estimate.standard_error, estimate.interval, strict=True)
    return ", ".join(f"{n} = {v:.3f} +- {e:.3f} kT (95 %: {lo:.3f} to {hi:.3f})" for n, v, e, (lo, hi) in rows)


def _provenance(
    paths: tuple[str, ...], files: tuple[InputFile, ...], options: InversionOptions, key: str
) -> Provenance:
    """Return how the inversion was made."""
    return Provenance(
        command=_command(paths, options),
        versions=versions(),
        platform=machine(),
        keys=tuple(("input", file.name, file.sha256) for file in files) + (("inversion", "all", key),),
    )


def _command(paths: tuple[str, ...], options: InversionOptions) -> str:
    """Return the command line that makes the same result again."""
    defaults = InversionOptions()
    words = ["tusi", "fit-hamiltonian", *paths]
    for name in ("models", "species", "temperatures"):
        if getattr(options, name) != getattr(defaults, name):
            words += [f"--{name}", ",".join(map(str, getattr(options, name)))]
    for owner, usual in ((options, defaults), (options.layout, defaults.layout)):
        for name in ("method", "composition", "crystal", "label_error", "n_replicas"):
            if hasattr(owner, name) and getattr(owner, name) != getattr(usual, name):
                words += [f"--{name.replace('_', '-')}", str(getattr(owner, name))]
    words += ["--periodic"] if options.layout.periodic else []
    return shlex.join([*words, "--seed", str(options.seed)])
