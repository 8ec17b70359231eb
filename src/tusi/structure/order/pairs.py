"""Pair distribution functions of columns in a window: g(r), total and between species, with errors."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from tusi.data import Atoms
from tusi.errors import InputError

Window = tuple[tuple[float, float], tuple[float, float]]
"""((y_low, y_high), (x_low, x_high))."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PairDistribution:
    """g(r): density of columns at a distance from a column, over their mean density.

    Attributes
    ----------
    radius
        Middle of each bin, in the length unit.
    names
        "total", then pairs of species as "A-B".
    value
        g in each bin.
    standard_error
        Of g.
    density
        Columns per length unit squared.
    length_unit
        "angstrom" or "pixel".
    """

    radius: Float[np.ndarray, " bin"]
    names: tuple[str, ...]
    value: Float[np.ndarray, "pair bin"]
    standard_error: Float[np.ndarray, "pair bin"]
    density: float
    length_unit: str

    def of(self, name: str) -> Float[np.ndarray, " bin"]:
        """Return g of one pair."""
        if name not in self.names:
            raise InputError("name", expected=f"one of {', '.join(self.names)}", got=repr(name))
        return self.value[self.names.index(name)]


def pair_distribution(
    atoms: Atoms, *, reach: float, n_bins: int = 60, window: Window | None = None
) -> PairDistribution:
    """Measure the pair distribution function of the columns in a rectangular window.

    Every pair counts with the area of the window over that of its overlap with itself shifted by the pair's vector:
    pairs across the edge are missing in just that proportion, so the estimate has no edge bias. With species
    probabilities the functions between species are weighted by them. Standard errors are right for columns
    placed at random, too large for a crystal, whose pairs are no accident, and too small for clusters of many columns.

    Parameters
    ----------
    atoms
        Columns of one image.
    reach
        Largest distance, in the length unit; at most half the shorter side of the window.
    n_bins
        Bins up to there.
    window
        ((y_low, y_high), (x_low, x_high)) in which all columns were found; `None` takes the bounding box of the
        columns, widened so that its area holds one more row and column.

    Returns
    -------
    PairDistribution
        g(r), total and between species.

    Raises
    ------
    InputError
        Fewer than two columns, or a reach that the window does not hold.

    References
    ----------
    .. [1] J. Ohser, "On estimators for the reduced second moment measure of point processes", Math. Operationsforsch.
       Statist. Ser. Statist. 14, 63 (1983).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> atoms = Atoms.at(rng.uniform(0, 50, size=(2000, 2)), length_unit="angstrom")
    >>> g = pair_distribution(atoms, reach=10, n_bins=5, window=((0, 50), (0, 50)))
    >>> bool((np.abs(g.of("total") - 1) < 0.1).all())
    True
    """
    place = atoms.position[np.isfinite(atoms.position).all(axis=1)]
    if len(place) < 2 or n_bins < 1:
        raise InputError("atoms", expected="two columns or more, one bin or more", got=f"{len(place)}, {n_bins}")
    bounds = np.array(_bounding(place) if window is None else window, float)
    side = bounds[:, 1] - bounds[:, 0]
    inside = ((atoms.position >= bounds[:, 0]) & (atoms.position <= bounds[:, 1])).all(axis=1)
    place, label = atoms.position[inside], atoms.species_probability[inside]
    if not (0 < reach <= side.min() / 2) or len(place) < 2:
        raise InputError(
            "reach", expected=f"at most half the window's shorter side, {side.min() / 2:g}", got=str(reach)
        )
    pair = cKDTree(place).query_pairs(reach, output_type="ndarray")
    vector = place[pair[:, 1]] - place[pair[:, 0]]
    bin_of = np.minimum((np.linalg.norm(vector, axis=1) / reach * n_bins).astype(int), n_bins - 1)
    weight = 1.0 / np.prod(side - np.abs(vector), axis=1)
    edge = np.linspace(0.0, reach, n_bins + 1)
    ring = np.pi * np.diff(edge**2)
    names, value, error = ["total"], [], []
    kinds = np.where(np.isfinite(label), label, 0.0)
    combinations = list(itertools.combinations_with_replacement(range(len(atoms.species)), 2))
    names += [f"{atoms.species[a]}-{atoms.species[b]}" for a, b in combinations]
    everyone = np.ones(len(place))
    for first, second in [(everyone, everyone), *((kinds[:, a], kinds[:, b]) for a, b in combinations)]:
        share = weight * (first[pair[:, 0]] * second[pair[:, 1]] + second[pair[:, 0]] * first[pair[:, 1]])
        total, spread = _counted(pair, share, bin_of=bin_of, kinds=(first, second), n_bins=n_bins)
        n_pairs = first.sum() * second.sum()
        scale = np.prod(side) ** 2 / ring / (n_pairs if n_pairs > 0 else np.nan)
        value.append(scale * total)
        error.append(scale * spread)
    return PairDistribution(
        radius=(edge[1:] + edge[:-1]) / 2,
        names=tuple(names),
        value=np.array(value),
        standard_error=np.array(error),
        density=float(len(place) / np.prod(side)),
        length_unit=atoms.length_unit,
    )


def _bounding(place: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the bounding box, each side widened by half the mean spacing."""
    low, high = place.min(axis=0), place.max(axis=0)
    margin = 0.5 * np.sqrt(np.prod(high - low) / len(place))
    return np.stack([low - margin, high + margin], axis=1)


def _counted(
    pair: Int[np.ndarray, "pair 2"],
    share: Float[np.ndarray, " pair"],
    *,
    bin_of: Int[np.ndarray, " pair"],
    kinds: tuple[Float[np.ndarray, " atom"], Float[np.ndarray, " atom"]],
    n_bins: int,
) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]]:
    """Return the sum of the pairs' shares in each bin, and its standard error for columns placed independently.

    The sum is a U-statistic: its variance is that of the columns' own sums, of which each pair is in two, less what the
    pairs then count twice; at least that of the pairs alone.
    """
    total = np.bincount(bin_of, weights=share, minlength=n_bins)
    alone = np.bincount(bin_of, weights=share**2, minlength=n_bins)
    n_atoms = len(kinds[0])
    own = np.zeros(n_atoms * n_bins)
    for end in pair.T:
        own += np.bincount(end * n_bins + bin_of, weights=share, minlength=len(own))
    usual = sum(kind / max(kind.sum(), np.finfo(float).tiny) for kind in kinds)
    influence = own.reshape(n_atoms, n_bins) - np.multiply.outer(usual, total)
    return total, np.sqrt(np.maximum((influence**2).sum(axis=0) - alone, alone))
