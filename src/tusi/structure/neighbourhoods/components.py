"""Principal components of neighbourhoods: what varies together, beyond what independent errors of the atoms explain."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.neighbourhoods.vectors import Neighbourhoods

FEWEST_ROWS, FEWEST_PAIRS = 12, 8
"""Neighbourhoods below which nothing is said, and centres that must have a slot, or both of two, filled."""

MOST_COMPONENTS = 4
"""Components kept at most, the two of off-centring not counted."""

NULL_QUANTILE = 0.95
LEAST_NEW = 0.2
"""Part of an off-centring that the other components must leave over for it to count as one of its own."""

WEAK = 1e-6
"""Prior precision of a score, which settles those that the filled slots do not."""

BLOCK = 8192
FEWEST_SIMULATIONS, MOST_SIMULATIONS, SIMULATED_ROWS = 20, 100, 2_000_000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourhoodComponents(Record):
    """Principal components of neighbourhoods in units of their error.

    Attributes
    ----------
    mean
        Mean vector of each slot, (y, x) in `length_unit`.
    component
        Displacement of the neighbours for a score of one, which is one standard error of the score.
    variance
        Variance of each component's score where no neighbour is missing: 1 for errors and jitter alone. Largest first,
        then the two of off-centring.
    n_significant
        How many components vary by more than `null_variance`, kept or not.
    null_variance
        What the largest variance stays below in 95 of 100 simulations of independent errors.
    score
        Score of each centre on each component; NaN where all neighbours are missing.
    score_covariance
        Its covariance from the known errors of the atoms, and from jitter that missing neighbours cannot average out.
    jitter
        Variance along y and x of the atoms' independent displacements that their own covariances do not explain.
    length_unit
        "angstrom" or "pixel".

    Examples
    --------
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> position = np.stack([y.ravel(), x.ravel()], axis=1) + rng.normal(0, 0.05, (64, 2))
    >>> atoms = Atoms.at(position, length_unit="angstrom")
    >>> found = principal_components(neighbourhoods(atoms, n_slots=4), atoms, rng=rng, n_components=1)
    >>> found.component.shape, found.score.shape
    ((3, 4, 2), (64, 3))
    """

    format_name: ClassVar[str] = "neighbourhood-components"
    row: ClassVar[str] = "centre"

    mean: Float[np.ndarray, "slot 2"] = array("slot", "axis")
    component: Float[np.ndarray, "component slot 2"] = array("component", "slot", "axis")
    variance: Float[np.ndarray, " component"] = array("component")
    n_significant: int
    null_variance: float
    score: Float[np.ndarray, "centre component"] = array("centre", "component")
    score_covariance: Float[np.ndarray, "centre component component"] = array("centre", "component", "component_")
    jitter: Float[np.ndarray, "2"] = array("axis")
    length_unit: str


def principal_components(
    hoods: Neighbourhoods, atoms: Atoms, *, rng: np.random.Generator, n_components: int | None = None
) -> NeighbourhoodComponents:
    """Find what varies together in neighbourhoods, weighted by the errors of the positions.

    The covariance of the vectors is taken over the centres at which both slots are filled, so a missing neighbour
    costs only its own slot. It is compared with the mean error covariance, in which vectors of one centre share its
    error, plus independent jitter of all atoms whose size along y and x is the median that the data show. The
    components are the eigenvectors of the one relative to the other. How large the first would be for independent
    errors alone is simulated through the atoms that neighbourhoods share. The two components of off-centring, in which
    the centre alone moves, are kept always: centres that move independently, each to one of a few places, look like
    jitter to second moments, but not to the classes. Scores are generalised least squares on the filled slots.

    Parameters
    ----------
    hoods
        Neighbourhoods of one image.
    atoms
        The atoms they were made from. Unknown covariances count as zero: all scatter is jitter then.
    rng
        Draws the simulated errors.
    n_components
        How many components besides off-centring; `None` takes those beyond the simulated limit, four at most.

    Returns
    -------
    NeighbourhoodComponents

    Raises
    ------
    InputError
        There are fewer than 12 neighbourhoods, or a slot that is hardly ever filled.

    Examples
    --------
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:12, :12] * 3.0
    >>> position = np.stack([y.ravel(), x.ravel()], axis=1) + rng.normal(0, 0.05, (144, 2))
    >>> atoms = Atoms.at(position, length_unit="angstrom")
    >>> found = principal_components(neighbourhoods(atoms, n_slots=4), atoms, rng=rng)
    >>> found.n_significant, (found.jitter**0.5).round(2).tolist()
    (0, [0.05, 0.05])
    """
    _check(hoods)
    known = dataclasses.replace(atoms, covariance=np.nan_to_num(atoms.covariance))
    error = _mean_error(hoods, known)
    mean, moment = _moments(hoods.displacement.reshape(len(hoods), -1))
    whitening = _Whitening.of(moment, error)
    variance, direction = np.linalg.eigh(whitening.apply(moment))
    limit = _null_limit(hoods, known, whitening=whitening, error=error, rng=rng)
    n_varied = int((variance > limit).sum())
    n_kept = min(n_varied, MOST_COMPONENTS) if n_components is None else min(n_components, len(variance))
    direction = _with_off_centring(direction[:, ::-1][:, :n_kept], whitening)
    score, covariance = _scores(hoods, known, mean=mean, pattern=whitening.root @ direction, jitter=whitening.shared)
    return NeighbourhoodComponents(
        mean=hoods.reference + mean.reshape(-1, 2),
        component=(whitening.root @ direction).T.reshape(-1, hoods.n_slots, 2),
        variance=np.einsum("ic,ij,jc->c", direction, whitening.apply(moment), direction),
        n_significant=n_varied,
        null_variance=limit,
        score=score,
        score_covariance=covariance,
        jitter=whitening.jitter,
        length_unit=hoods.length_unit,
    )


def _check(hoods: Neighbourhoods) -> None:
    if len(hoods) < FEWEST_ROWS or not hoods.n_slots:
        got = f"{len(hoods)} with {hoods.n_slots} slots"
        raise InputError("hoods", expected=f"at least {FEWEST_ROWS} neighbourhoods", got=got)
    if (~hoods.missing).sum(axis=0).min() < FEWEST_PAIRS:
        raise InputError(
            "hoods",
            expected=f"slots that are filled at {FEWEST_PAIRS} centres or more",
            got="some that are not",
            then="Take fewer slots, or steps of one shell.",
        )


def _with_off_centring(
    direction: Float[np.ndarray, "component score"], whitening: "_Whitening"
) -> Float[np.ndarray, "component score_"]:
    """Append the two directions in which the centre alone moves, less what the others hold of them."""
    rigid = np.linalg.solve(whitening.root, np.tile(np.eye(2), (len(whitening.root) // 2, 1)))
    length = np.linalg.norm(rigid, axis=0)
    rigid = rigid - direction @ (direction.T @ rigid)
    basis, size, _ = np.linalg.svd(rigid, full_matrices=False)
    return np.concatenate([direction, basis[:, size > LEAST_NEW * length.max()]], axis=1)


def _mean_error(hoods: Neighbourhoods, known: Atoms) -> Float[np.ndarray, "component component"]:
    """Return the mean covariance of the vectors from the atoms' own covariances, over the centres that have both."""
    n_components = 2 * hoods.n_slots
    total, count = np.zeros((n_components, n_components)), np.zeros((n_components, n_components))
    for first in range(0, len(hoods), BLOCK):
        covariance = hoods[first : first + BLOCK].covariance(known)
        total += np.nan_to_num(covariance).sum(axis=0)
        count += np.isfinite(covariance).sum(axis=0)
    return total / np.maximum(count, 1)


def _moments(
    row: Float[np.ndarray, "centre component"],
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, "component component"]]:
    """Return mean and covariance over the rows at which an entry, or both, are finite.

    Slots that are hardly ever filled together get the covariance that independent errors of equal atoms give.
    """
    filled = np.isfinite(row)
    count = filled.astype(float)
    mean = np.where(filled, row, 0.0).sum(axis=0) / count.sum(axis=0)
    centred = np.where(filled, row - mean, 0.0)
    both = count.T @ count
    moment = (centred.T @ centred) / np.maximum(both - 1, 1)
    deviation = np.sqrt(np.diag(moment))
    same_axis = np.tile(np.eye(2), (row.shape[1] // 2, row.shape[1] // 2))
    return mean, np.where(both < FEWEST_PAIRS, 0.5 * np.outer(deviation, deviation) * same_axis, moment)


@dataclasses.dataclass(frozen=True, eq=False)
class _Whitening:
    """The error covariance of a complete neighbourhood, jitter included, and its root; or a stack of them."""

    jitter: Float[np.ndarray, "*stack 2"]
    root: Float[np.ndarray, "*stack component component"]

    @classmethod
    def of(
        cls, moment: Float[np.ndarray, "*stack component component"], error: Float[np.ndarray, "component component"]
    ) -> "_Whitening":
        n_components = len(error)
        n_slots = n_components // 2
        unsharing = np.linalg.inv(np.linalg.cholesky(np.eye(n_slots) + 1))
        beyond = moment - error
        blocks = [unsharing @ beyond[..., axis::2, axis::2] @ unsharing.T for axis in (0, 1)]
        jitter = np.stack([np.median(np.linalg.eigvalsh(block), axis=-1) for block in blocks], axis=-1).clip(0.0)
        total = error + _shared(jitter, n_slots)
        largest = np.maximum(np.trace(moment, axis1=-2, axis2=-1), np.trace(total, axis1=-2, axis2=-1)).clip(1e-30)
        floor = 1e-9 * largest[..., None, None] / n_components
        return cls(jitter, np.linalg.cholesky(total + floor * np.eye(n_components)))

    def apply(
        self, moment: Float[np.ndarray, "*stack component component"]
    ) -> Float[np.ndarray, "*stack component component"]:
        inverse = np.linalg.inv(self.root)
        return inverse @ moment @ np.swapaxes(inverse, -1, -2)

    @property
    def shared(self) -> Float[np.ndarray, "*stack component component"]:
        return _shared(self.jitter, self.root.shape[-1] // 2)


def _shared(jitter: Float[np.ndarray, "*stack 2"], n_slots: int) -> Float[np.ndarray, "*stack component component"]:
    """Return the covariance of a neighbourhood whose atoms, the centre among them, err independently."""
    of_axes = jitter[..., None] * np.eye(2)
    blocks = (np.eye(n_slots) + 1)[:, None, :, None] * of_axes[..., None, :, None, :]
    return blocks.reshape(*jitter.shape[:-1], 2 * n_slots, 2 * n_slots)


def _null_limit(
    hoods: Neighbourhoods,
    known: Atoms,
    *,
    whitening: _Whitening,
    error: Float[np.ndarray, "component component"],
    rng: np.random.Generator,
) -> float:
    """Simulate independent errors of the atoms and return what their largest variance stays below."""
    covariance = np.where(np.isfinite(known.covariance), known.covariance, 0.0) + np.diag(whitening.jitter)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    n_simulations = int(np.clip(SIMULATED_ROWS // len(hoods), FEWEST_SIMULATIONS, MOST_SIMULATIONS))
    moment = np.empty((n_simulations, *error.shape))
    for number in range(n_simulations):
        noise = np.einsum("aij,aj->ai", root, rng.standard_normal((len(known), 2)))
        moment[number] = _moments(hoods.differences(noise).reshape(len(hoods), -1))[1]
    largest = np.linalg.eigvalsh(_Whitening.of(moment, error).apply(moment))[:, -1]
    return float(np.quantile(largest, NULL_QUANTILE))


def _scores(
    hoods: Neighbourhoods,
    known: Atoms,
    *,
    mean: Float[np.ndarray, " component"],
    pattern: Float[np.ndarray, "component score"],
    jitter: Float[np.ndarray, "component component"],
) -> tuple[Float[np.ndarray, "centre score"], Float[np.ndarray, "centre score score"]]:
    """Return the scores of each row and their covariance, block after block to bound the memory."""
    parts = []
    for first in range(0, len(hoods), BLOCK):
        block = hoods[first : first + BLOCK]
        row = block.displacement.reshape(len(block), -1) - mean
        parts.append(_block_scores(row, pattern, error=np.nan_to_num(block.covariance(known)), jitter=jitter))
    score, covariance = zip(*parts, strict=True)
    return np.concatenate(score), np.concatenate(covariance)


def _block_scores(
    row: Float[np.ndarray, "centre component"],
    pattern: Float[np.ndarray, "component score"],
    *,
    error: Float[np.ndarray, "centre component component"],
    jitter: Float[np.ndarray, "component component"],
) -> tuple[Float[np.ndarray, "centre score"], Float[np.ndarray, "centre score score"]]:
    """Return generalised least squares scores on the finite entries of each row, and their covariance.

    The covariance is that of the known errors, plus what a missing slot adds to the scatter that jitter gives.
    """
    filled = np.isfinite(row)
    n_entries, n_scores = pattern.shape
    weak = WEAK * np.eye(n_scores)
    total = error + jitter
    scale = np.maximum(np.trace(total, axis1=1, axis2=2) / n_entries, 1e-30)[:, None, None]
    total = np.where(filled[:, :, None] & filled[:, None, :], total, 0.0)
    total = total + np.where(filled, 1e-9, 1.0)[:, :, None] * scale * np.eye(n_entries)
    design = np.where(filled[:, :, None], pattern, 0.0)
    weighted = np.linalg.solve(total, design)
    inverse = np.linalg.inv(np.swapaxes(design, 1, 2) @ weighted + weak)
    operator = inverse @ np.swapaxes(weighted, 1, 2)
    score = (operator @ np.where(filled, row, 0.0)[:, :, None])[..., 0]
    whole = np.linalg.lstsq(jitter, pattern, rcond=None)[0]
    whole = np.linalg.lstsq(pattern.T @ whole, whole.T, rcond=None)[0]
    lost = operator @ jitter @ np.swapaxes(operator, 1, 2) - whole @ jitter @ whole.T
    covariance = operator @ error @ np.swapaxes(operator, 1, 2) + _positive(lost) + WEAK * inverse @ inverse
    empty = ~filled.any(axis=1)
    score[empty], covariance[empty] = np.nan, np.nan
    return score, covariance


def _positive(matrix: Float[np.ndarray, "centre score score"]) -> Float[np.ndarray, "centre score score"]:
    """Return symmetric matrices without their negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + np.swapaxes(matrix, 1, 2)) / 2)
    return (vectors * np.maximum(values, 0.0)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
