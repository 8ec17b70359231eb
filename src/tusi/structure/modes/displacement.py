"""Modes of displacement: patterns in which neighbours move together more than the errors of their positions allow."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.modes.directions import centred, check_alike, find_directions, second_moment
from tusi.structure.modes.result import NormalModes
from tusi.structure.modes.settings import ModeSettings
from tusi.structure.neighbourhoods import Neighbourhoods

AXES = ("y", "x")

N_PILOT, N_ROUNDS, STEADY = 60, 20, 1e-3
"""Replicas behind the variance of independent displacements, rounds of its estimate, and where it has settled."""


def displacement_modes(
    neighbourhoods: Sequence[Neighbourhoods],
    atoms: Sequence[Atoms],
    *,
    rng: np.random.Generator,
    settings: ModeSettings | None = None,
) -> NormalModes:
    """Find the patterns in which neighbours are displaced together, with p-values against chance.

    The vectors from each centre to its neighbours are whitened with their mean error covariance, so that noise alone
    has variance 1 in every direction, whatever the errors of single atoms, and in spite of the error of the centre that
    all of its vectors share. The eigenvectors of the whitened covariance are the modes. Neighbourhoods overlap, so
    their errors are not independent: chance is simulated by moving every *atom* within its covariance and gathering the
    neighbourhoods again. Only complete neighbourhoods count.

    Parameters
    ----------
    neighbourhoods
        One of each image, with the same slots.
    atoms
        The atoms of each image, with covariances.
    rng
        Source of randomness.
    settings
        Choices.

    Returns
    -------
    NormalModes
        Shapes in the length unit of the atoms. Empty without enough complete neighbourhoods.

    Raises
    ------
    InputError
        Images with different slots or units, or atoms of unknown covariance.

    References
    ----------
    L. Vlcek et al., ACS Nano 11, 10313 (2017); S. V. Kalinin et al., Appl. Phys. Rev. 8, 011409 (2021).

    Examples
    --------
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[:20, :20] * 3.0
    >>> ideal = np.stack([y.ravel(), x.ravel()], axis=1)
    >>> atoms = Atoms.at(ideal + rng.normal(0, 0.05, ideal.shape), length_unit="angstrom")
    >>> atoms = dataclasses.replace(atoms, covariance=np.broadcast_to(0.05**2 * np.eye(2), (400, 2, 2)))
    >>> displacement_modes([neighbourhoods(atoms, n_slots=4)], [atoms], rng=rng).n_significant
    0
    """
    settings = settings or ModeSettings()
    check_alike(neighbourhoods, atoms)
    if len({one.length_unit for one in neighbourhoods}) > 1:
        raise InputError("neighbourhoods", expected="one length unit", got="angstrom and pixel")
    first = neighbourhoods[0]
    unit = first.length_unit
    nothing = NormalModes.none(first.reference, AXES, level=settings.level, unit=unit, length_unit=unit)
    if not any(one.n_slots and one.complete.any() for one in neighbourhoods):
        return nothing
    sample = _Sample.of(neighbourhoods, atoms, settings)
    if len(sample.vector) <= sample.n_features + sample.n_groups:
        return nothing
    variance = _independent_variance(sample, rng) if settings.null == "independent" else 0.0
    whitening = sample.whitening(variance)
    whitened = sample.vector @ whitening
    replicas = np.stack([sample.replica(variance, whitening, rng) for _ in range(settings.n_replicas)])
    found = find_directions(
        second_moment(whitened, sample.n_groups),
        replicas,
        level=settings.level,
        most=settings.most_modes,
        relative=settings.null == "independent",
    )
    n_modes = len(found.p_value)
    direction = found.vector[:n_modes]
    noise = sample.error_covariance + variance * sample.rigid
    spread = np.einsum("kf,nfg,kg->nk", direction @ whitening, noise, direction @ whitening)
    strength = np.sqrt(np.maximum(found.eigenvalue[:n_modes] - 1.0, 0.0))
    return NormalModes(
        score=whitened @ direction.T,
        score_error=np.sqrt(spread),
        position=np.concatenate([one.position[one.complete] for one in neighbourhoods]),
        centre=np.concatenate([one.centre[one.complete] for one in neighbourhoods]),
        image=sample.image,
        eigenvalue=found.eigenvalue,
        null_eigenvalue=found.null_eigenvalue,
        p_value=found.p_value,
        shape=(strength[:, None] * direction @ np.linalg.inv(whitening)).reshape(n_modes, first.n_slots, 2),
        reference=first.reference,
        components=AXES,
        disorder=float(np.sqrt(variance)),
        level=settings.level,
        unit=unit,
        length_unit=unit,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """Complete neighbourhoods of all images as rows, and all that simulating them takes."""

    neighbourhoods: tuple[Neighbourhoods, ...]
    roots: tuple[Float[np.ndarray, "atom 2 2"], ...]
    vector: Float[np.ndarray, "sample feature"]
    error_covariance: Float[np.ndarray, "sample feature feature"]
    image: Int[np.ndarray, " sample"]
    group: Int[np.ndarray, " sample"]

    @classmethod
    def of(cls, neighbourhoods: Sequence[Neighbourhoods], atoms: Sequence[Atoms], settings: ModeSettings) -> "_Sample":
        complete = tuple(one[one.complete] for one in neighbourhoods)
        image = np.repeat(np.arange(len(complete)), [len(one) for one in complete])
        group = image if settings.each_image_centred else np.zeros_like(image)
        _, group = np.unique(group, return_inverse=True)
        vector = np.concatenate([one.vector.reshape(len(one), 2 * one.n_slots) for one in complete])
        covariance = [one.covariance(own) for one, own in zip(complete, atoms, strict=True)]
        if not np.isfinite(np.concatenate(covariance)).all():
            raise InputError(
                "atoms", expected="a finite covariance of every position", got="NaN",
                then="Find atoms with `find_atoms`, or set `covariance` to what you know of the errors.",
            )  # fmt: skip
        return cls(
            neighbourhoods=complete,
            roots=tuple(_root(own.covariance) for own in atoms),
            vector=centred(vector, group),
            error_covariance=np.concatenate(covariance),
            image=image,
            group=group,
        )

    @property
    def n_features(self) -> int:
        return self.vector.shape[1]

    @property
    def n_groups(self) -> int:
        return int(self.group.max(initial=-1)) + 1

    @property
    def rigid(self) -> Float[np.ndarray, "feature feature"]:
        """Covariance of the vectors if each atom moves by itself with variance 1 along each axis."""
        n_slots = self.n_features // 2
        return np.kron(np.eye(n_slots) + 1.0, np.eye(2))

    def whitening(self, variance: float) -> Float[np.ndarray, "feature feature"]:
        """Return the symmetric matrix that makes the mean noise covariance the identity."""
        value, vector = np.linalg.eigh(self.error_covariance.mean(axis=0) + variance * self.rigid)
        return vector / np.sqrt(value) @ vector.T

    def replica(
        self, variance: float, whitening: Float[np.ndarray, "feature feature"], rng: np.random.Generator
    ) -> Float[np.ndarray, "feature feature"]:
        """Return the whitened covariance of neighbourhoods whose atoms err, and move, by themselves."""
        rows = []
        for one, root in zip(self.neighbourhoods, self.roots, strict=True):
            error = np.einsum("aij,aj->ai", root, rng.standard_normal((len(root), 2)))
            error += np.sqrt(variance) * rng.standard_normal(error.shape)
            rows.append(one.differences(error).reshape(len(one), 2 * one.n_slots))
        return second_moment(centred(np.concatenate(rows), self.group) @ whitening, self.n_groups)


def _independent_variance(sample: _Sample, rng: np.random.Generator) -> float:
    """Return the variance of independent displacements at which the smaller half of the eigenvalues is as in replicas.

    Modes raise the larger half; the smaller half tells how far atoms move by themselves.
    """
    scale = float(np.trace(sample.error_covariance.mean(axis=0)) / np.trace(sample.rigid))
    total = second_moment(sample.vector, sample.n_groups)
    seeds = rng.integers(2**63, size=N_PILOT)
    variance = 0.0
    for _ in range(N_ROUNDS):
        whitening = sample.whitening(variance)
        seen = _smaller_half(whitening @ total @ whitening)
        replicas = [sample.replica(variance, whitening, np.random.default_rng(seed)) for seed in seeds]
        ratio = seen / float(np.mean([_smaller_half(one) for one in replicas]))
        before, variance = variance, max((variance + scale) * ratio - scale, 0.0)
        if abs(variance - before) <= STEADY * (variance + scale):
            break
    return variance


def _smaller_half(covariance: Float[np.ndarray, "feature feature"]) -> float:
    """Return the mean of the smaller half of the eigenvalues."""
    eigenvalue = np.linalg.eigvalsh(covariance)
    return float(eigenvalue[: len(eigenvalue) - len(eigenvalue) // 2].mean())


def _root(covariance: Float[np.ndarray, "atom 2 2"]) -> Float[np.ndarray, "atom 2 2"]:
    """Return a matrix for each atom whose product with its transpose is the covariance; zero where it is not known."""
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    value, vector = np.linalg.eigh(known)
    return vector * np.sqrt(np.maximum(value, 0.0))[:, None, :]
