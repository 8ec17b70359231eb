"""The distortion of one frame, from the atoms of a crystal that should be periodic."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Lattice
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure.distortion.prior import DistortionPrior, Waves
from tusi.structure.distortion.regression import AxisPosterior, Displacements, regress
from tusi.structure.distortion.result import Distortion

FEWEST = 16
"""Atoms on sites without which nothing is fitted."""


def fit_distortion(atoms: Atoms, lattice: Lattice, *, prior: DistortionPrior | None = None) -> Distortion:
    """Learn the smooth distortion of one frame from its atoms and the lattice that they should sit on.

    Each atom is where its site is, plus the distortion there, plus its own error. Lattice vectors and the place of each
    basis site are unknown and fitted along; the distortion is a Gaussian process in standing waves, so that the cost is
    linear in the number of atoms; its amplitudes and correlation lengths, and a disorder of each atom by itself, have
    the largest marginal likelihood. A uniform strain cannot be told from a uniform distortion and stays with the
    lattice. Real slow strain is taken for distortion: use two scan angles to tell them apart.

    Parameters
    ----------
    atoms
        Atoms of one frame; covariances that are not known count as zero, the disorder takes their place.
    lattice
        The lattice that `atoms` was registered to; its largest domain is used.
    prior
        What is believed of the distortion.

    Returns
    -------
    Distortion
        Zero, with its prior as uncertainty and a `ScarceDataWarning`, where too few atoms sit on the lattice.

    Raises
    ------
    InputError
        A lattice of other atoms.

    References
    ----------
    .. [1] M. Ziatdinov et al., arXiv:2009.05635: Gaussian processes for distortions in atomically resolved images.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:12, :12] * 10.0
    >>> bent = np.stack([y.ravel(), x.ravel() + 0.5 * np.sin(y.ravel() / 30)], axis=1)
    >>> atoms = Atoms.at(bent, length_unit="pixel", intensity=np.ones(144))
    >>> distortion = fit_distortion(atoms, register_lattice(atoms))
    >>> straight = distortion.correct(atoms).position.reshape(12, 12, 2)
    >>> bend = np.abs(np.diff(straight[:, 6, 1], n=2)).max()
    >>> bool(bend < 0.001 < np.abs(np.diff(bent.reshape(12, 12, 2)[:, 6, 1], n=2)).max())
    True
    """
    prior = prior or DistortionPrior()
    if len(lattice) and lattice.atom.max() >= len(atoms):
        raise InputError("lattice", expected="the lattice of these atoms", got="one that refers to more atoms")
    domain = int(np.bincount(lattice.domain).argmax()) if len(lattice) else 0
    site = np.flatnonzero((lattice.atom >= 0) & (lattice.domain == domain))
    site = site[np.isfinite(atoms.position[lattice.atom[site]]).all(axis=1)]
    if len(site) < FEWEST:
        warnings.warn("too few atoms on a lattice to learn its distortion", ScarceDataWarning, stacklevel=2)
        return _nothing(atoms.length_unit)
    row = lattice.atom[site]
    position, index = atoms.position[row], lattice.index[site]
    vectors = lattice.vectors[domain]
    spacing = float(np.linalg.norm(vectors, axis=1).min())
    kinds = (index[:, 2:] == np.unique(index[:, 2])).astype(float)
    fixed = np.concatenate([index[:, :2] - index[:, :2].mean(axis=0), kinds], axis=1)
    variance = np.nan_to_num(np.stack([atoms.covariance[row, k, k] for k in (0, 1)], axis=1))
    seen = _Seen(position=position, fixed=fixed, variance=variance, spacing=spacing)
    first = seen.distortion(position, prior, length_unit=atoms.length_unit)
    return seen.distortion(first.correct(atoms[row]).position, prior, length_unit=atoms.length_unit)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """Atoms where they are seen, and the functions that their lattice adds to the distortion."""

    position: Float[np.ndarray, "atom 2"]
    fixed: Float[np.ndarray, "atom fixed"]
    variance: Float[np.ndarray, "atom 2"]
    spacing: float

    def distortion(self, true: Float[np.ndarray, "atom 2"], prior: DistortionPrior, *, length_unit: str) -> Distortion:
        """Return the distortion as a function of where the atoms truly are, as far as that is known by now."""
        waves = Waves.around(true, spacing=self.spacing, prior=prior)
        values = waves.at(true)
        found = [
            regress(
                Displacements(
                    waves=values,
                    fixed=self.fixed,
                    value=self.position[:, axis : axis + 1],
                    variance=self.variance[:, axis],
                ),
                waves,
                spacing=self.spacing,
                prior=prior,
            )
            for axis in (0, 1)
        ]
        n_waves = values.shape[1]
        return distortion_of(
            found,
            waves,
            mean=np.stack([one.mean[:n_waves, 0] for one in found]),
            covariance=np.stack([one.covariance[:n_waves, :n_waves] for one in found]),
            length_unit=length_unit,
        )


def distortion_of(
    found: Sequence[AxisPosterior],
    waves: Waves,
    *,
    mean: Float[np.ndarray, "2 coefficient"],
    covariance: Float[np.ndarray, "2 coefficient coefficient"],
    length_unit: str,
) -> Distortion:
    """Return coefficients of both axes as a distortion; where they lack the uniform part, it is zero."""
    missing = waves.affine.shape[1] + 3 - mean.shape[1]
    parameters = np.array([[*one.parameters, np.nan, np.nan][:4] for one in found])
    return Distortion(
        origin=waves.origin,
        side=waves.side,
        affine=waves.affine,
        coefficient=np.pad(mean, ((0, 0), (0, missing))),
        covariance=np.pad(covariance, ((0, 0), (0, missing), (0, missing))),
        amplitude=parameters[:, 0],
        correlation_length=parameters[:, 1],
        scan_amplitude=parameters[:, 2],
        scan_length=parameters[:, 3],
        disorder=np.array([one.disorder for one in found]),
        log_evidence=sum(one.log_evidence for one in found),
        n_field=waves.n_field,
        n_scan=waves.n_scan,
        length_unit=length_unit,
    )


def _nothing(length_unit: str) -> Distortion:
    """Return a distortion of which nothing is known: zero everywhere, of unknown variance."""
    unknown = np.full(2, np.nan)
    return Distortion(
        origin=np.zeros(2), side=np.ones(2), affine=np.zeros((3, 1)),
        coefficient=np.zeros((2, 4)), covariance=np.full((2, 4, 4), np.nan),
        amplitude=unknown, correlation_length=unknown, scan_amplitude=unknown, scan_length=unknown, disorder=unknown,
        log_evidence=float("nan"), n_field=(1, 1), n_scan=0, length_unit=length_unit,
    )  # fmt: skip
