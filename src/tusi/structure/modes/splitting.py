"""Whether the scores of a mode split with the number of neighbours of a species."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.inference import resampling_p_value
from tusi.structure.modes.result import NormalModes
from tusi.structure.neighbourhoods import Neighbourhoods

N_DEALT = 999
"""How often species are dealt out anew."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModeSplit(Record):
    """Scores of each mode among neighbourhoods with the same number of neighbours of a species.

    Attributes
    ----------
    n_neighbours
        Neighbours of `species`, 0 to all.
    count
        Neighbourhoods with so many.
    mean, mean_error
        Mean score of each group and mode, and its standard error if neighbourhoods were independent; NaN where empty.
    spread
        Standard deviation of the scores of each group and mode.
    explained
        Share of the variance of the scores that the groups explain, for each mode.
    p_mean
        Probability that species which have nothing to do with the displacements explain as much.
    p_spread
        The same for the spread of the scores: a mode of either sign that grows with the number of neighbours.
    species, centre_species
        Species of the neighbours that are counted, and of the centres ("" for all).
    """

    format_name: ClassVar[str] = "mode-split"
    row: ClassVar[str] = "group"

    n_neighbours: Int[np.ndarray, " group"] = array("group", dtype=np.int64)
    count: Int[np.ndarray, " group"] = array("group", dtype=np.int64)
    mean: Float[np.ndarray, "group mode"] = array("group", "mode")
    mean_error: Float[np.ndarray, "group mode"] = array("group", "mode")
    spread: Float[np.ndarray, "group mode"] = array("group", "mode")
    explained: Float[np.ndarray, " mode"] = array("mode")
    p_mean: Float[np.ndarray, " mode"] = array("mode")
    p_spread: Float[np.ndarray, " mode"] = array("mode")
    species: str
    centre_species: str = ""


def split_by_neighbours(
    modes: NormalModes,
    neighbourhoods: Sequence[Neighbourhoods],
    *,
    atoms: Sequence[Atoms],
    species: str,
    rng: np.random.Generator,
    centre_species: str = "",
) -> ModeSplit:
    """Group the scores of modes by the number of neighbours of a species, and test whether they differ.

    Each atom counts as its most probable species. The tests deal the species out anew among the atoms of each image
    while the scores stay: exact if the species are a random alloy and have nothing to do with the displacements,
    whatever the displacements' own order. Where the alloy itself is ordered they are only approximate.

    Parameters
    ----------
    modes
        Modes of displacement.
    neighbourhoods
        Those from which the modes were found.
    atoms
        The atoms of each image, with species probabilities.
    species
        Species whose number among the neighbours makes the groups.
    rng
        Source of randomness.
    centre_species
        Only neighbourhoods around this species; all when empty.

    Returns
    -------
    ModeSplit
        A row for each number of neighbours, a column for each mode.

    Raises
    ------
    InputError
        An unknown species, or modes of other neighbourhoods.

    References
    ----------
    S. V. Kalinin et al., Appl. Phys. Rev. 8, 011409 (2021).

    Examples
    --------
    >>> split_by_neighbours(modes, hoods, atoms=atoms, species="Re", rng=rng).p_mean  # doctest: +SKIP
    array([0.31, 0.001])
    """
    complete = [one[one.complete] for one in neighbourhoods]
    if sum(map(len, complete)) != len(modes.score):
        raise InputError(
            "neighbourhoods", expected=f"those of the modes, {len(modes.score)} complete ones",
            got=str(sum(map(len, complete))),
        )  # fmt: skip
    labels = [_labels(own, species, centre_species) for own in atoms]
    n_slots = neighbourhoods[0].n_slots
    seen = _grouped(modes.score, _numbers(complete, labels), n_slots)
    means, spreads = [], []
    for _ in range(N_DEALT):
        dealt = [own[rng.permutation(len(own))] for own in labels]
        one = _grouped(modes.score, _numbers(complete, dealt), n_slots)
        means.append(one.between)
        spreads.append(one.between_squares)
    p_values = [
        np.array([resampling_p_value(float(observed[k]), null[:, k]) for k in range(len(observed))])
        for observed, null in ((seen.between, np.array(means)), (seen.between_squares, np.array(spreads)))
    ]
    return ModeSplit(
        n_neighbours=np.arange(n_slots + 1),
        count=seen.count,
        mean=seen.mean,
        mean_error=seen.spread / np.sqrt(np.maximum(seen.count, 1))[:, None],
        spread=seen.spread,
        explained=seen.between,
        p_mean=p_values[0],
        p_spread=p_values[1],
        species=species,
        centre_species=centre_species,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Groups:
    """Scores by the number of neighbours."""

    count: Int[np.ndarray, " group"]
    mean: Float[np.ndarray, "group mode"]
    spread: Float[np.ndarray, "group mode"]
    between: Float[np.ndarray, " mode"]
    between_squares: Float[np.ndarray, " mode"]


def _labels(atoms: Atoms, species: str, centre_species: str) -> Int[np.ndarray, "atom 2"]:
    """Return whether each atom is of the counted species, and whether it may be a centre."""
    for name in filter(None, (species, centre_species)):
        if name not in atoms.species:
            raise InputError("species", expected=f"one of {', '.join(atoms.species) or 'none'}", got=repr(name))
    known = np.isfinite(atoms.species_probability).all(axis=1)
    likeliest = np.where(known, np.nan_to_num(atoms.species_probability).argmax(axis=1), -1)
    counted = likeliest == atoms.species.index(species)
    centre = known if not centre_species else likeliest == atoms.species.index(centre_species)
    return np.stack([counted, centre], axis=1).astype(np.int64)


def _numbers(complete: Sequence[Neighbourhoods], labels: Sequence[Int[np.ndarray, "atom 2"]]) -> np.ndarray:
    """Return the number of counted neighbours of each centre; -1 for centres of another species."""
    found = [
        np.where(own[one.centre, 1] == 1, own[one.neighbour, 0].sum(axis=1), -1)
        for one, own in zip(complete, labels, strict=True)
    ]
    return np.concatenate(found)


def _grouped(score: Float[np.ndarray, "sample mode"], number: Int[np.ndarray, " sample"], n_slots: int) -> _Groups:
    """Return means, spreads, and what the groups explain of the scores and of their squares."""
    chosen = number >= 0
    number, score = number[chosen], score[chosen]
    count = np.bincount(number, minlength=n_slots + 1)
    members = np.maximum(count, 1)[:, None]
    mean, square = (
        np.stack([np.bincount(number, column, minlength=n_slots + 1) for column in values.T], axis=1) / members
        if score.shape[1] else np.empty((n_slots + 1, 0))
        for values in (score, score**2)
    )  # fmt: skip
    empty = (count == 0)[:, None]
    return _Groups(
        count=count,
        mean=np.where(empty, np.nan, mean),
        spread=np.where(empty, np.nan, np.sqrt(np.maximum(square - mean**2, 0.0))),
        between=_explained(score, mean, count),
        between_squares=_explained(score**2, square, count),
    )


def _explained(
    values: Float[np.ndarray, "sample mode"], mean: Float[np.ndarray, "group mode"], count: Int[np.ndarray, " group"]
) -> Float[np.ndarray, " mode"]:
    """Return the share of the variance that group means explain."""
    if not len(values):
        return np.zeros(values.shape[1])
    overall = values.mean(axis=0)
    total = ((values - overall) ** 2).sum(axis=0)
    between = (count[:, None] * (mean - overall) ** 2).sum(axis=0)
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)
