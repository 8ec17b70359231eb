"""The couplings that a result holds, ready to predict with."""

import os

from tusi.data import storage
from tusi.errors import InputError
from tusi.generative.lattice import CRYSTALS, SQUARE, TRIANGULAR
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.models import model_named
from tusi.generative.prediction.conditions import FittedModel, fitted_model
from tusi.study.analysis import Analysis
from tusi.study.files import CLASSES
from tusi.study.inversion import Inversion, model_for

RING_OF_SIX = 26
"""Symmetry classes of a site and six neighbours."""


def couplings_of(path: str | os.PathLike, *, model: str | None = None) -> tuple[FittedModel, Crystal]:
    """Return a model that was fitted to images, and the crystal that they show.

    Parameters
    ----------
    path
        A result of `tusi analyze` or of `tusi fit-hamiltonian`.
    model
        Which of its models; by default the best by its criterion, or the first that nothing rejects.

    Returns
    -------
    tuple of FittedModel and Crystal
        Couplings in kT with their covariance, and the lattice.

    Raises
    ------
    InputError
        The file holds no fitted couplings, or no such model.

    Examples
    --------
    >>> couplings_of("missing.h5")
    Traceback (most recent call last):
    tusi.errors.InputError: `path`: expected a result file; got no file 'missing.h5'.
    """
    found = storage.load(path, classes=CLASSES)
    if isinstance(found, Inversion):
        return _of_inversion(found, model)
    if isinstance(found, Analysis):
        return _of_analysis(found, model)
    raise InputError("path", expected="a result with fitted couplings", got=f"a {type(found).__name__}")


def _of_inversion(inversion: Inversion, name: str | None) -> tuple[FittedModel, Crystal]:
    usable = {fit.name: fit for fit in inversion.fits if fit.estimate is not None}
    best = next((fit.name for fit in usable.values() if not fit.rejected), next(iter(usable), ""))
    chosen = _chosen(tuple(usable), name, best)
    definition = model_for(chosen, inversion.species, composition=inversion.options.composition)
    estimate = usable[chosen].estimate
    assert estimate is not None
    return fitted_model(definition, estimate), CRYSTALS[inversion.crystal]


def _of_analysis(analysis: Analysis, name: str | None) -> tuple[FittedModel, Crystal]:
    comparison = analysis.comparison
    usable = {fit.model: fit for fit in comparison.fits if fit.parameters} if comparison is not None else {}
    best = next((found for found in comparison.ranking if found in usable), "") if comparison is not None else ""
    chosen = _chosen(tuple(usable), name, best or next(iter(usable), ""))
    assert comparison is not None
    crystal = TRIANGULAR if len(comparison.class_labels) == RING_OF_SIX else SQUARE
    return fitted_model(model_named(chosen).named(*comparison.species), usable[chosen]), crystal


def _chosen(names: tuple[str, ...], name: str | None, best: str) -> str:
    """Return the model that was asked for, or the best one."""
    if not names:
        raise InputError("path", expected="a result with fitted couplings", got="none")
    if name is not None and name not in names:
        raise InputError("model", expected=f"one of {', '.join(names)}", got=repr(name))
    return name or best
