"""Arrangements on disk as observations: results of `tusi analyze`, tables of atoms with species, and plain arrays."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tusi.data import Atoms, SiteGraph
from tusi.errors import InputError
from tusi.generative.estimation import Observation, observation_of_graph, observe
from tusi.generative.lattice import CRYSTALS, periodic_sites, window_sites
from tusi.io import read_atoms
from tusi.structure import register_lattice, site_graph
from tusi.study.files import load
from tusi.study.inversion import ArrayLayout

RESULTS = (".h5", ".hdf5")
ARRAYS = (".npy", ".txt", ".dat")

UNSEEN = -1
"""Value of a site that was not seen, in arrays of species."""


def read_observations(
    paths: Sequence[str],
    *,
    species: tuple[str, ...] | None = None,
    temperatures: tuple[float, ...] | None = None,
    layout: ArrayLayout | None = None,
) -> tuple[tuple[Observation, ...], tuple[str, ...]]:
    """Read arrangements of species from files.

    Parameters
    ----------
    paths
        Results of `tusi analyze` (each of their images is one), tables of atoms with species, or arrays of species
        (`.npy`, `.txt`: whole numbers 0, 1, ... in rows; -1 where unseen).
    species
        Names of the species in the order of their codes; what the files say, or A, B, ... when not given.
    temperatures
        Temperature of each arrangement, in K: couplings are then in kT of the first one's.
    layout
        What arrays mean.

    Returns
    -------
    tuple
        The observations, and the names of the species.

    Raises
    ------
    InputError
        A file that cannot be read as an arrangement, species that differ, or temperatures that do not fit.

    Examples
    --------
    >>> read_observations(["missing.npy"])
    Traceback (most recent call last):
    tusi.errors.InputError: `paths`: expected a file; got 'missing.npy', which does not exist.
    """
    layout = layout or ArrayLayout()
    observations: list[Observation] = []
    found: list[tuple[str, ...]] = []
    for path in paths:
        if not Path(path).exists():
            raise InputError("paths", expected="a file", got=f"{path!r}, which does not exist")
        if Path(path).suffix in ARRAYS:
            observations.append(_from_array(Path(path), layout))
            continue
        for graph in _graphs(Path(path), species):
            found.append(graph.species)
            observations.append(observation_of_graph(graph))
    if not observations:
        raise InputError("paths", expected="at least one arrangement", got="none")
    names = _names(observations, set(found), species)
    observations = [one.widened(len(names)) for one in observations]
    return tuple(_at_temperatures(observations, temperatures)), names


def _graphs(path: Path, species: tuple[str, ...] | None) -> list[SiteGraph]:
    """Return the site graphs of a result, or of a table of atoms."""
    if path.suffix in RESULTS:
        analysis = load(path)
        graphs = [image.graph for image in analysis.images if image.graph is not None]
        if not graphs:
            raise InputError("paths", expected="a result with site graphs", got=f"{path.name}, which has none")
        return graphs
    atoms = read_atoms(path)
    if not atoms.species and species:
        atoms = dataclasses.replace(atoms, species=species)
    if len(atoms.species) < 2 or not np.isfinite(atoms.species_probability).any():
        raise InputError(
            "paths",
            expected="a table of atoms with the probability of two or more species",
            got=f"{path.name} with {', '.join(atoms.species) or 'none'}",
            then="Let `tusi analyze` find species, or give the arrangement as an array.",
        )
    return [_registered(atoms, path.stem)]


def _registered(atoms: Atoms, name: str) -> SiteGraph:
    """Register a table of atoms to its lattice."""
    graph = site_graph(atoms, register_lattice(atoms))
    return dataclasses.replace(graph, name=name)


def _from_array(path: Path, layout: ArrayLayout) -> Observation:
    """Read an array of species."""
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise InputError("paths", expected="an array of whole numbers", got=f"{path.name} ({error})") from error
    if values.ndim != 2 or values.dtype.kind not in "iubf" or min(values.shape) < 3:
        raise InputError(
            "paths", expected="rows and columns of species, at least 3 each", got=f"{path.name} of shape {values.shape}"
        )
    if not np.array_equal(values, np.rint(values)) or values.min() < UNSEEN:
        raise InputError("paths", expected="whole numbers 0, 1, ..., or -1 where unseen", got=f"others in {path.name}")
    crystal = CRYSTALS[layout.crystal]
    make = periodic_sites if layout.periodic else window_sites
    labels = values.astype(np.int64).ravel()
    return observe(make(crystal, values.shape), labels, label_error=layout.label_error, name=path.stem)


def _names(
    observations: Sequence[Observation], found: set[tuple[str, ...]], given: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Return the names of the species, which all files must share."""
    n_species = max(one.n_species for one in observations)
    if len(found) > 1:
        raise InputError(
            "paths", expected="the same species in every file", got="; ".join(", ".join(one) for one in sorted(found))
        )
    names = given or next(iter(found), tuple(chr(ord("A") + k) for k in range(n_species)))
    if len(names) < n_species or len(set(names)) < len(names):
        raise InputError("species", expected=f"{n_species} different names", got=", ".join(names))
    return names


def _at_temperatures(observations: Sequence[Observation], temperatures: tuple[float, ...] | None) -> list[Observation]:
    """Attach to every observation the ratio of the first one's temperature to its own."""
    if temperatures is None:
        return list(observations)
    if len(temperatures) != len(observations) or not all(np.isfinite(t) and t > 0 for t in temperatures):
        raise InputError(
            "temperatures",
            expected=f"a positive number of kelvin for each of {len(observations)} arrangements",
            got=", ".join(map(str, temperatures)),
        )
    return [
        dataclasses.replace(one, temperature_ratio=temperatures[0] / own)
        for one, own in zip(observations, temperatures, strict=True)
    ]
