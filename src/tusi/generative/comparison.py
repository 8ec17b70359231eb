"""Which lattice Hamiltonian would arrange the atoms as the images show them, and whether any does."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np

from tusi.data.graph import SiteGraph
from tusi.errors import IdentifiabilityWarning, InputError, ScarceDataWarning, TusiWarning
from tusi.execution import Executor, Progress, SerialExecutor
from tusi.generative.assembly import Gathered, assemble
from tusi.generative.bootstrap import ModelJob, run_model
from tusi.generative.clusters import cluster_histogram
from tusi.generative.labels import draw_labels, labels_are_certain, most_likely_labels
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import FitSettings
from tusi.generative.models import embedding, model_named
from tusi.generative.permutation import N_CHUNKS, PermutationJob, gather, permute
from tusi.generative.results import HamiltonianComparison
from tusi.generative.window import Window, condition
from tusi.numerics.symmetry import ring_classes

MODEL_NAMES = ("random", "P1", "P2", "M")
"""The models compared by default."""

LEAST_FREE_SITES = 30
"""Windows with fewer free sites say little about couplings."""

MOST_MISSING = 0.7
"""Share of the information lost to uncertain labels above which it is said."""

COLLINEAR = 0.9
"""Absolute correlation of two couplings above which they are reported as hard to tell apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HamiltonianSettings:
    """How Hamiltonians are compared.

    Attributes
    ----------
    n_permutations
        Permutations behind the p-values of "random".
    n_bootstrap
        Replicas behind the p-values of each other model.
    n_imputations
        Draws of uncertain labels in the likelihood.
    n_label_draws
        Draws of uncertain labels behind the label intervals of histograms and distances.
    temperature
        Temperature (K) that rescales couplings to eV for display; `None` keeps kT.
    fit
        How carefully each likelihood is maximised.
    """

    n_permutations: int = 999
    n_bootstrap: int = 499
    n_imputations: int = 16
    n_label_draws: int = 200
    temperature: float | None = None
    fit: FitSettings = FitSettings()

    def __post_init__(self) -> None:
        for name in ("n_permutations", "n_bootstrap", "n_imputations", "n_label_draws"):
            if getattr(self, name) < 2:
                raise InputError(name, expected="at least 2", got=str(getattr(self, name)))
        if self.temperature is not None and not self.temperature > 0:
            raise InputError("temperature", expected="a positive number of kelvin", got=str(self.temperature))


def fit_hamiltonians(
    graphs: Sequence[SiteGraph],
    *,
    models: Sequence[str] = MODEL_NAMES,
    settings: HamiltonianSettings | None = None,
    rng: np.random.Generator,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> HamiltonianComparison:
    """Fit lattice Hamiltonians to images, test each of them, and say in words what the images support.

    One set of couplings for all images. The likelihood is that of the free sites of each window given its border and
    its composition, so nothing is assumed about what lies outside or about chemical potentials; it is maximised with
    Monte Carlo moments, and uncertain species are marginalised by multiple imputation. Goodness of fit is tested by
    permutation ("random") and by parametric bootstrap with refit (all others), beside the uncalibrated values that
    are in use. Energies are in kT: an image does not know its temperature.

    Parameters
    ----------
    graphs
        One site graph with two species per image.
    models
        Names of the models, from `MODELS`.
    settings
        Numbers of replicas, temperature for display.
    rng
        Source of randomness.
    executor
        Runs permutations and models; the result does not depend on it.
    progress
        Told of finished pieces.

    Returns
    -------
    HamiltonianComparison
        Fits, histograms, distances, p-values and verdict.

    Raises
    ------
    InputError
        There is no graph, a graph does not have two species or they differ between images, or a model is unknown.

    Warns
    -----
    ScarceDataWarning
        A window has few free sites or a single species, so that it says little or nothing.
    IdentifiabilityWarning
        Couplings are so strongly correlated that they are hard to tell apart.

    References
    ----------
    L. Vlcek et al., npj Comput. Mater. 7, 42 (2021).

    Examples
    --------
    >>> from tusi.generative import MODELS, sample_crystal, square_window, window_graph
    >>> rng = np.random.default_rng(0)
    >>> arrangement = sample_crystal((40, 40), MODELS["P1"], couplings=np.array([-0.5]), composition=0.5, rng=rng)
    >>> graph = window_graph(arrangement, inside=square_window((40, 40), height=16, width=16))
    >>> quick = HamiltonianSettings(n_permutations=99, n_bootstrap=99)
    >>> result = fit_hamiltonians([graph], models=("random", "P1"), settings=quick, rng=rng)
    >>> low, high = result.fit("P1").interval[0]
    >>> bool(low < -0.5 < high)
    True
    """
    settings = settings or HamiltonianSettings()
    executor = executor or SerialExecutor()
    chosen = _chosen(models)
    species = _species(graphs)
    windows = tuple(condition(graph, chosen) for graph in graphs)
    n_draws = 1 if labels_are_certain(windows) else settings.n_label_draws
    draws = tuple(draw_labels(window, n_draws, rng=rng) for window in windows)
    classes = ring_classes(windows[0].n_ring)
    counts = [cluster_histogram(window, one, classes) for window, one in zip(windows, draws, strict=True)]
    evidence = Gathered(
        graphs=tuple(graphs),
        species=species,
        models=chosen,
        windows=windows,
        draws=draws,
        histogram=np.stack(counts, axis=1),
        informative=tuple(_informative(windows, draws)),
        temperature=settings.temperature,
        n_bootstrap=settings.n_bootstrap,
    )
    notes = _scarcity(windows, draws, [graph.title for graph in graphs])
    if evidence.informative:
        evidence = _run(evidence, settings, rng=rng, executor=executor, progress=progress)
    for name, outcome in evidence.outcomes.items():
        notes += _identifiability(name, outcome.fitted.covariance)
        notes += _uncertainty(name, outcome.fitted.missing_share)
    for category, text in notes:
        warnings.warn(text, category, stacklevel=2)
    return assemble(dataclasses.replace(evidence, notes=tuple(text for _, text in notes)))


def _run(
    evidence: Gathered,
    settings: HamiltonianSettings,
    *,
    rng: np.random.Generator,
    executor: Executor,
    progress: Progress | None,
) -> Gathered:
    """Run the permutations and the models, and add what they give."""
    permutation_jobs = _permutation_jobs(evidence, settings)
    model_jobs = _model_jobs(evidence, settings)
    total = len(permutation_jobs) + len(model_jobs)
    permutations = executor.map(permute, permutation_jobs, rng=rng, progress=_part(progress, 0, total))
    outcomes = executor.map(run_model, model_jobs, rng=rng, progress=_part(progress, len(permutation_jobs), total))
    return dataclasses.replace(
        evidence,
        permutations=gather(permutations),
        outcomes={job.model.name: outcome for job, outcome in zip(model_jobs, outcomes, strict=True)},
    )


def _model_jobs(evidence: Gathered, settings: HamiltonianSettings) -> list[ModelJob]:
    """Return one job for each model with couplings, on the images that say something of them."""
    inside = list(evidence.informative)
    n_draws = len(evidence.draws[0])
    return [
        ModelJob(
            model=model,
            larger=tuple(other for other in evidence.models if embedding(model, other) is not None),
            windows=tuple(evidence.windows[k] for k in inside),
            species=tuple(evidence.draws[k] for k in inside),
            histogram=evidence.histogram[:, inside],
            n_imputations=min(settings.n_imputations, n_draws),
            n_bootstrap=settings.n_bootstrap,
            settings=settings.fit,
        )
        for model in evidence.models
        if model.terms
    ]


def _chosen(models: Sequence[str]) -> tuple[LatticeModel, ...]:
    """Return the models, each once, "random" always among them."""
    if isinstance(models, str) or not len(models):
        raise InputError("models", expected="a sequence of names", got=repr(models))
    return tuple(model_named(name) for name in dict.fromkeys(("random", *models)))


def _species(graphs: Sequence[SiteGraph]) -> tuple[str, str]:
    """Return the two species that all graphs share."""
    if not len(graphs):
        raise InputError("graphs", expected="at least one site graph", got="none")
    names = {graph.species for graph in graphs}
    if len(names) != 1 or len(graphs[0].species) != 2:
        raise InputError(
            "graphs",
            expected="the same two species in every image",
            got="; ".join(", ".join(n) or "none" for n in sorted(names)),
            then="Name two species, e.g. `--species Mo,Re`.",
        )
    if len({graph.first_neighbours.shape[1] for graph in graphs}) != 1:
        raise InputError("graphs", expected="the same coordination in every image", got="different ones")
    return graphs[0].species[0], graphs[0].species[1]


def _informative(windows: Sequence[Window], draws: Sequence[np.ndarray]) -> list[int]:
    """Return the images whose free sites hold both species."""
    return [
        k
        for k, (window, species) in enumerate(zip(windows, draws, strict=True))
        if window.free.any() and len(window.centre) and 0 < species[:, window.free].mean() < 1
    ]


def _scarcity(
    windows: Sequence[Window], draws: Sequence[np.ndarray], titles: Sequence[str]
) -> list[tuple[type[TusiWarning], str]]:
    """Return what must be said about windows that hold little."""
    notes: list[tuple[type[TusiWarning], str]] = []
    for window, species, title in zip(windows, draws, titles, strict=True):
        n_free = int(window.free.sum())
        if n_free < LEAST_FREE_SITES:
            notes.append((ScarceDataWarning, f"{title} has only {n_free} sites with complete surroundings"))
        if n_free and not 0 < species[:, window.free].mean() < 1:
            notes.append((ScarceDataWarning, f"{title} shows a single species and says nothing of couplings"))
    return notes


def _identifiability(name: str, covariance: np.ndarray) -> list[tuple[type[TusiWarning], str]]:
    """Return a note when two couplings of a model are nearly collinear."""
    error = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(error, error)
    worst = np.abs(correlation - np.eye(len(error))).max()
    if worst < COLLINEAR:
        return []
    text = f"The couplings of {name} are correlated by {worst:.2f}: only their combination is known from these images."
    return [(IdentifiabilityWarning, text)]


def _uncertainty(name: str, missing_share: float) -> list[tuple[type[TusiWarning], str]]:
    """Return a note when the labels are so uncertain that little is left to learn from them."""
    if missing_share < MOST_MISSING:
        return []
    text = (
        f"The species are so uncertain that they take away {min(100 * missing_share, 100):.0f} % of the information on "
        f"the couplings of {name}: its intervals are rough."
    )
    return [(IdentifiabilityWarning, text)]


def _permutation_jobs(evidence: Gathered, settings: HamiltonianSettings) -> list[PermutationJob]:
    """Cut the permutations into pieces whose number does not depend on the workers.

    The most likely labels are dealt out: errors that do not depend on the place leave them exchangeable.
    """
    labels = tuple(most_likely_labels(window)[None] for window in evidence.windows)
    sizes = [len(part) for part in np.array_split(np.arange(settings.n_permutations), N_CHUNKS)]
    return [
        PermutationJob(windows=evidence.windows, species=labels, models=evidence.models, n_permutations=size)
        for size in sizes
        if size
    ]


def _part(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress callback that counts one stage as part of the whole."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
