"""What a caller chooses about an inversion, and what it returns."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.decision import DataToDecide
from tusi.generative.estimation.estimate import CouplingEstimate
from tusi.generative.estimation.examination import FitExamination, ScoreTest
from tusi.generative.estimation.information import ErrorAgainstSites, ExpectedError
from tusi.generative.lattice import (
    CRYSTALS,
    LatticeModel,
    blume_capel,
    ising,
    pair_model,
    potts,
    solution,
    triangle_model,
    with_fields,
)
from tusi.generative.prediction.forecast import Forecast
from tusi.study.analysis import Provenance

METHODS = ("maximum-likelihood", "pseudolikelihood", "distance", "posterior")
"""Names of the estimators."""

LEVEL = 0.05
"""Level at which a model counts as rejected."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayLayout:
    """What an array of species means.

    Attributes
    ----------
    crystal
        Name of the crystal that rows and columns count the cells of; it has one site in its cell.
    periodic
        Whether opposite edges are neighbours; an image is a window in a larger crystal.
    label_error
        Probability that a label is wrong, every wrong one alike.
    """

    crystal: str = "square"
    periodic: bool = False
    label_error: float = 0.0

    def __post_init__(self) -> None:
        flat = [name for name, crystal in CRYSTALS.items() if crystal.n_basis == 1 and crystal.n_translations == 2]
        if self.crystal not in flat:
            raise InputError("crystal", expected=f"one of {', '.join(flat)}", got=repr(self.crystal))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionOptions:
    """Choices of `invert`.

    Attributes
    ----------
    models
        Names of the models: random, P1, P2, P3 (pairs), M (triangles), ising, ising2, potts, blume-capel.
    method
        Name of the estimator: maximum-likelihood, pseudolikelihood, distance or posterior.
    composition
        "own" if each arrangement has its own chemical potentials, "model" if the model's fields set all of them.
    species
        Names of the species in the order of their codes.
    temperatures
        Temperature of each arrangement, in K.
    layout
        What arrays mean.
    n_replicas
        Replicas behind the calibrated p-values.
    seed
        Seed of all random streams.
    """

    models: tuple[str, ...] = ("random", "P1", "P2")
    method: str = "maximum-likelihood"
    composition: str = "own"
    species: tuple[str, ...] | None = None
    temperatures: tuple[float, ...] | None = None
    layout: ArrayLayout = ArrayLayout()
    n_replicas: int = 499
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError("method", expected=f"one of {', '.join(METHODS)}", got=repr(self.method))
        if self.composition not in ("own", "model"):
            raise InputError("composition", expected="own or model", got=repr(self.composition))
        if self.n_replicas < 19:
            raise InputError("n_replicas", expected="at least 19", got=str(self.n_replicas))
        if self.seed < 0:
            raise InputError("seed", expected="a whole number >= 0", got=str(self.seed))
        if not self.models or len(set(self.models)) < len(self.models):
            raise InputError("models", expected="different names", got=", ".join(self.models) or "none")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelFit:
    """One model: its couplings, whether it explains the arrangements, and whether a larger one explains more.

    Attributes
    ----------
    name, equation
        The model.
    estimate
        Its couplings; `None` for the random alloy.
    examination
        Goodness of fit.
    tests
        Score tests of the larger models among those compared.
    clic
        Composite-likelihood information criterion on the sites that all models judge, smaller is better.
    held_out
        Each arrangement as the couplings fitted to all others predict it; empty where that was not possible.
    """

    name: str
    equation: str
    estimate: CouplingEstimate | None
    examination: FitExamination
    tests: tuple[ScoreTest, ...]
    clic: float
    held_out: tuple[Forecast, ...] = ()

    @property
    def rejected(self) -> bool:
        """Whether the arrangements reject the model at 5 %: by its clusters, or because a larger one explains more."""
        return self.examination.pooled_p < LEVEL or any(test.calibrated_p < LEVEL for test in self.tests)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inversion:
    """A finished inversion.

    Attributes
    ----------
    fits
        One per model.
    decisions
        How many sites decide between models that contain each other.
    expected
        Smallest possible errors of the couplings of each model that has some, by the number of sites.
    arriving
        Errors as one arrangement after the other is added, for the same models; empty with a single one.
    image_names, species, crystal
        What was read.
    n_sites, composition
        Sites of each arrangement that were seen, and the fraction of each species on them.
    verdict, warnings
        The result in words.
    options, provenance
        How it was made.
    """

    format_name: ClassVar[str] = "inversion"

    fits: tuple[ModelFit, ...]
    decisions: tuple[DataToDecide, ...]
    expected: tuple[ExpectedError, ...]
    arriving: tuple[ErrorAgainstSites, ...]
    image_names: tuple[str, ...]
    species: tuple[str, ...]
    crystal: str
    n_sites: Int[np.ndarray, " image"]
    composition: Float[np.ndarray, "image species"]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    options: InversionOptions
    provenance: Provenance

    def fit(self, name: str) -> ModelFit:
        """Return the fit of this model.

        Raises
        ------
        KeyError
            The model was not among those compared.
        """
        return {fit.name: fit for fit in self.fits}[name]


def model_for(name: str, species: Sequence[str], *, composition: str = "own") -> LatticeModel:
    """Return a model of these species by its name.

    Parameters
    ----------
    name
        random, P1, P2, ... (one energy per unlike pair and shell), M, ising, ising2, ..., potts, blume-capel.
    species
        Names of the species in the order of their codes.
    composition
        With "model" the model has a field for every species but the first.

    Raises
    ------
    InputError
        There is no such model for so many species.

    Examples
    --------
    >>> print(model_for("P1", ("Mo", "Re")))
    E/kT = w1 sum_NN d(unlike)
    >>> model_for("P1", ("Te", "Se", "vac")).parameters
    ('w_TeSe', 'w_Tevac', 'w_Sevac')
    """
    species, own = tuple(species), composition == "own"
    kind, shells = (name[:-1], int(name[-1])) if name[-1:].isdigit() and name[-1:] != "0" else (name, 1)
    two = len(species) == 2
    made: Any = None
    if kind == "random" and name == kind:
        made = LatticeModel(name="random", species=species)
    elif kind == "P" and name != kind:
        made = pair_model(shells=shells, species=(species[0], species[1])) if two else solution(species, shells=shells)
    elif name == "M" and two:
        made = triangle_model(species=(species[0], species[1]))
    elif kind == "ising" and two:
        made = ising(shells=shells, field=not own, species=(species[0], species[1]))
    elif kind == "potts":
        made = potts(len(species), shells=shells, field=not own).named(*species)
    elif kind == "blume-capel" and len(species) == 3:
        made = blume_capel(shells=shells, field=not own, species=species)
    if made is None:
        raise InputError(
            "models",
            expected=f"random, P1, P2, ..., M, ising, potts or blume-capel, as fits {len(species)} species",
            got=repr(name),
        )
    if not own and not any(term.motif.n_corners == 1 for term in made.terms):
        made = with_fields(made)
    return dataclasses.replace(made, name=name)
