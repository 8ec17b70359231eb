"""Warren-Cowley short-range order from species probabilities, shell by shell, with intervals and permutation tests."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.inference.resampling import resampling_p_value
from tusi.structure.order.shells import lattice_shells
from tusi.structure.order.stencils import atoms_at_steps, check_registered

SHELLS_BEYOND = 2
"""Contributions of sites are taken as correlated up to so many shells beyond the last one asked for."""

LEAST_RELIABILITY = 0.05
"""Species that probabilities tell apart worse than this (share of their variance) have no order parameter."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ShortRangeOrder:
    """Warren-Cowley parameters of each shell.

    Attributes
    ----------
    species
        Names of the species.
    parameter
        alpha_AB = 1 - P(B next to A) / c_B for each shell and pair: negative where A and B like each other, positive
        where they avoid each other, 0 at random; for A = B with the opposite sign.
    standard_error
        Of each parameter.
    p_value
        Of "random at this composition", for each shell.
    joint_p_value
        Of "random at this composition", all shells together.
    n_pairs
        Pairs in each shell.
    fraction
        Fraction of each species among the sites.
    """

    species: tuple[str, ...]
    parameter: Float[np.ndarray, "shell species species_"]
    standard_error: Float[np.ndarray, "shell species species_"]
    p_value: Float[np.ndarray, " shell"]
    joint_p_value: float
    n_pairs: Int[np.ndarray, " shell"]
    fraction: Float[np.ndarray, " species"]

    @property
    def interval(self) -> Float[np.ndarray, "shell species species_ 2"]:
        """95 % interval of each parameter."""
        half = 1.959964 * self.standard_error
        return np.stack([self.parameter - half, self.parameter + half], axis=-1)


def short_range_order(
    atoms: Atoms,
    lattice: Lattice,
    *,
    rng: np.random.Generator,
    n_shells: int = 3,
    basis_site: int = 0,
    n_permutations: int = 999,
) -> ShortRangeOrder:
    """Measure short-range order on one sublattice, shell by shell.

    The covariance of the species of two sites is averaged over the pairs of a shell and put over c_A c_B. Uncertain
    species pull it toward zero; the share of their variance that the probabilities hold is known from the
    probabilities themselves and divided out, which assumes that they are calibrated and given for each site by
    itself. Standard errors add up the pairs' contributions to the estimate over sites that lie up to two shells beyond
    the last; they are too small where order reaches much further, as near a transition. The tests deal out the
    probabilities again over the sites of the window, whose shape and missing sites stay as they are.

    Parameters
    ----------
    atoms
        Atoms with species probabilities.
    lattice
        The lattice that `atoms` was registered to.
    rng
        Draws the permutations.
    n_shells
        Shells of the sublattice.
    basis_site
        Kind of site.
    n_permutations
        Permutations for the tests.

    Returns
    -------
    ShortRangeOrder
        Parameters, errors and p-values. Where the species cannot be told apart, or only one is there, NaN.

    Raises
    ------
    InputError
        The atoms carry no species probabilities, or the lattice is empty or belongs to other atoms.

    References
    ----------
    .. [1] J. M. Cowley, "An approximate theory of order in alloys", Phys. Rev. 77, 669 (1950).

    Examples
    --------
    >>> import dataclasses
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> crystal = simulate_crystal(CrystalRecipe.triangular(shape=(20, 20)), rng=np.random.default_rng(0))
    >>> second = np.arange(400) % 2.0
    >>> striped = dataclasses.replace(
    ...     crystal.atoms, species=("Mo", "Re"), species_probability=np.stack([1 - second, second], axis=1)
    ... )
    >>> order = short_range_order(striped, crystal.lattice, rng=np.random.default_rng(0), n_permutations=99)
    >>> bool(order.parameter[0, 0, 1] < -0.3), order.p_value[0].item()
    (True, 0.01)
    """
    check_registered(atoms, lattice)
    if not atoms.species:
        raise InputError("atoms", expected="species probabilities", got="none", then="Call `classify_species` first.")
    probability, near = _labelled_pairs(atoms, lattice, basis_site=basis_site, n_shells=n_shells + SHELLS_BEYOND)
    pairs = near[:n_shells]
    fraction = probability.mean(axis=0)
    away = probability - fraction
    sharpen = _sharpening(probability)
    scale = np.outer(fraction, fraction)
    covariance = np.array([_pair_covariance(away, pair, sharpen) for pair in pairs])
    with np.errstate(invalid="ignore", divide="ignore"):
        parameter = -covariance / scale
        error = np.array(
            [
                _standard_error(away, pair, (one, fraction), sharpen=sharpen, near=near)
                for pair, one in zip(pairs, covariance, strict=True)
            ]
        )
    null = np.empty((n_permutations, len(pairs)))
    for number in range(n_permutations):
        dealt = rng.permutation(away)
        null[number] = [_strength(dealt, pair) for pair in pairs]
    observed = np.array([_strength(away, pair) for pair in pairs])
    expected = null.mean(axis=0) if n_permutations else np.zeros(len(pairs))
    size = null.std(axis=0) if n_permutations else np.ones(len(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        score, null_score = (observed - expected) / size, (null - expected) / size
    return ShortRangeOrder(
        species=atoms.species,
        parameter=parameter,
        standard_error=error,
        p_value=np.array(
            [resampling_p_value(abs(one), np.abs(many)) for one, many in zip(score, null_score.T, strict=True)]
        ),
        joint_p_value=resampling_p_value(float(np.abs(score).max()), np.abs(null_score).max(axis=1)),
        n_pairs=np.array([len(pair) for pair in pairs]),
        fraction=fraction,
    )


def _labelled_pairs(
    atoms: Atoms, lattice: Lattice, *, basis_site: int, n_shells: int
) -> tuple[Float[np.ndarray, "site species"], list[Int[np.ndarray, "_ 2"]]]:
    """Return the probabilities of the sites whose species are known, and the pairs of such sites in each shell."""
    shells = lattice_shells(lattice, basis_site=basis_site, n_shells=n_shells)
    centre = atoms_at_steps(lattice, [(0, 0)], basis_site=basis_site).centre
    known = centre[np.isfinite(atoms.species_probability[centre]).all(axis=1)]
    if not len(known):
        raise InputError("atoms", expected="sites with species probabilities", got="none of this basis site")
    number = np.full(len(atoms) + 1, -1)
    number[known] = np.arange(len(known))
    pairs = []
    for shell in shells:
        half = shell[: len(shell) // 2]
        found = number[atoms_at_steps(lattice, [(0, 0), *half], basis_site=basis_site).atom]
        pair = np.stack(np.broadcast_arrays(found[:, :1], found[:, 1:]), axis=-1).reshape(-1, 2)
        pairs.append(pair[(pair >= 0).all(axis=1)])
    return atoms.species_probability[known], pairs


def _sharpening(probability: Float[np.ndarray, "site species"]) -> Float[np.ndarray, "species species_"]:
    """Return the matrix that turns the covariance of probabilities into that of species, applied from both sides.

    The covariance of species is that of their probabilities plus the mean of each site's own. The regression of
    probabilities on species is the one times the inverse of the other; its inverse is returned.
    """
    seen = np.cov(probability, rowvar=False, bias=True)
    own = np.diag(probability.mean(axis=0)) - probability.T @ probability / len(probability)
    value, vector = np.linalg.eigh(np.atleast_2d(seen + own))
    kept = value > 1e-9
    vector, value = vector[:, kept], value[kept]
    regression = vector.T @ seen @ vector / value
    if not kept.any() or np.linalg.eigvals(regression).real.min() < LEAST_RELIABILITY:
        return np.full(seen.shape, np.nan)
    return vector @ np.linalg.inv(regression) @ vector.T


def _pair_covariance(
    away: Float[np.ndarray, "site species"],
    pair: Int[np.ndarray, "pair 2"],
    sharpen: Float[np.ndarray, "species species"],
) -> Float[np.ndarray, "species species_"]:
    """Return the mean covariance of the species of the two sites of a pair."""
    if not len(pair):
        return np.full(sharpen.shape, np.nan)
    product = away[pair[:, 0]].T @ away[pair[:, 1]] / len(pair)
    product = (product + product.T) / 2
    return sharpen @ product @ sharpen.T


def _strength(away: Float[np.ndarray, "site species"], pair: Int[np.ndarray, "pair 2"]) -> float:
    """Return the mean product of the species' probabilities, summed over species."""
    return float((away[pair[:, 0]] * away[pair[:, 1]]).sum() / max(len(pair), 1))


def _standard_error(
    away: Float[np.ndarray, "site species"],
    pair: Int[np.ndarray, "pair 2"],
    measured: tuple[Float[np.ndarray, "species species_"], Float[np.ndarray, " species"]],
    *,
    sharpen: Float[np.ndarray, "species species_"],
    near: list[Int[np.ndarray, "_ 2"]],
) -> Float[np.ndarray, "species species_"]:
    """Return the standard error of -covariance / (c_A c_B).

    Each site's influence on the estimate is half that of its pairs plus that through the composition; influences of
    sites near each other are taken as correlated.
    """
    covariance, fraction = measured
    n_sites, n_species = away.shape
    sharp = away @ sharpen.T
    product = 0.5 * (sharp[pair[:, 0], :, None] * sharp[pair[:, 1], None, :])
    product = product + np.swapaxes(product, 1, 2) - covariance
    flat = np.zeros((n_sites, n_species**2))
    for end in range(2):
        np.add.at(flat, pair[:, end], 0.5 * product.reshape(len(pair), -1))
    influence = flat.reshape(n_sites, n_species, n_species) / max(len(pair), 1)
    share = sharp / fraction / n_sites
    influence = influence - covariance * (share[:, :, None] + share[:, None, :])
    own = (influence**2).sum(axis=0)
    shared = sum((influence[pair[:, 0]] * influence[pair[:, 1]]).sum(axis=0) for pair in near)
    return np.sqrt(np.maximum(own + 2 * shared, own)) / np.outer(fraction, fraction)
