"""The distortions of the frames of a stack, from atoms that all of them show."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.distortion.lattices import FEWEST, distortion_of
from tusi.structure.distortion.prior import DistortionPrior, Waves
from tusi.structure.distortion.regression import AxisPosterior, Displacements, regress
from tusi.structure.distortion.result import Distortion


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StackDistortion:
    """What the frames of a stack disagree in, and what they may share.

    Attributes
    ----------
    frames
        Distortion of each frame against the mean of all.
    atoms
        Mean positions after correction; their covariance is that of the measurement.
    remaining
        The mean of the frames' distortions, which no comparison of frames can show: zero, with the uncertainty that
        distortions of this size leave in a mean of so many. `remaining.correct(atoms)` adds it to the covariances.
    """

    frames: tuple[Distortion, ...]
    atoms: Atoms
    remaining: Distortion


def fit_stack_distortion(frames: Sequence[Atoms], *, prior: DistortionPrior | None = None) -> StackDistortion:
    """Learn how each frame of a stack is distorted against the mean of all, from the atoms that they share.

    Row k of every table is the same atom; atoms that a frame lacks are NaN and take no part in the fit. The frames'
    distortions are independent Gaussian processes with common amplitudes and correlation lengths, and each frame has a
    shift and a uniform strain of its own. Differences between frames do not depend on where the atoms really are, so no
    lattice is needed: defects and interfaces may be anywhere. What all frames share stays in the mean.

    Parameters
    ----------
    frames
        Atoms of two or more frames, matched.
    prior
        What is believed of the distortions.

    Returns
    -------
    StackDistortion
        Distortions, mean atoms, and what remains.

    Raises
    ------
    InputError
        Fewer than two frames, tables of different lengths, or too few atoms in all frames.

    References
    ----------
    .. [1] M. Ziatdinov et al., arXiv:2009.05635: Gaussian processes for distortions in atomically resolved images.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> true = rng.uniform(0, 100, (80, 2))
    >>> frames = [Atoms.at(true + [0.0, a], length_unit="pixel") for a in (-1.0, 1.0)]
    >>> stack = fit_stack_distortion(frames, prior=DistortionPrior(shortest=1.0, shortest_scan=0, most_waves=4))
    >>> bool(np.abs(stack.frames[1].correct(frames[1]).position - true).max() < 0.1)
    True
    """
    prior = prior or DistortionPrior()
    _check(frames)
    position = np.stack([frame.position for frame in frames])
    shared = np.flatnonzero(np.isfinite(position).all(axis=(0, 2)))
    if len(shared) < FEWEST:
        raise InputError("frames", expected=f"at least {FEWEST} atoms that all frames show", got=str(len(shared)))
    mean = position[:, shared].mean(axis=0)
    spacing = float(np.median(cKDTree(mean).query(mean, k=2)[0][:, 1]))
    waves = Waves.around(mean, spacing=spacing, prior=prior)
    contrast = _contrasts(len(frames))
    noise = np.stack([np.nan_to_num(frame.covariance[shared]) for frame in frames]).mean(axis=0)
    found = [
        regress(
            Displacements(
                waves=waves.at(mean),
                fixed=waves.uniform(mean),
                value=(contrast @ position[:, shared, axis]).T,
                variance=noise[:, axis, axis],
            ),
            waves,
            spacing=spacing,
            prior=prior,
        )
        for axis in (0, 1)
    ]  # fmt: skip
    covariance = np.stack([one.covariance for one in found])
    distortions = tuple(
        distortion_of(
            found,
            waves,
            mean=np.stack([one.mean @ contrast[:, k] for one in found]),
            covariance=covariance * (1 - 1 / len(frames)),
            length_unit=frames[0].length_unit,
        )
        for k in range(len(frames))
    )
    return StackDistortion(
        frames=distortions,
        atoms=_mean_atoms(frames, distortions),
        remaining=_remaining(found, waves, n_frames=len(frames), length_unit=frames[0].length_unit),
    )


def _contrasts(n_frames: int) -> Float[np.ndarray, "contrast frame"]:
    """Return orthonormal differences between frames: what the mean position of an atom does not enter."""
    whole = np.eye(n_frames) - 1.0 / n_frames
    return np.linalg.svd(whole)[2][: n_frames - 1]


def _mean_atoms(frames: Sequence[Atoms], distortions: Sequence[Distortion]) -> Atoms:
    """Return the mean of the corrected atoms over the frames that show them, with the error of that mean."""
    corrected = np.stack([own.correct(frame).position for own, frame in zip(distortions, frames, strict=True)])
    covariance = np.stack([frame.covariance for frame in frames])
    seen: Bool[np.ndarray, "frame atom"] = np.isfinite(corrected[:, :, 0] + corrected[:, :, 1])
    count = seen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        position = np.nan_to_num(corrected).sum(axis=0) / count[:, None]
        spread = (seen[:, :, None, None] * np.nan_to_num(covariance)).sum(axis=0) / count[:, None, None] ** 2
    return dataclasses.replace(frames[0], position=position, covariance=spread)


def _remaining(found: Sequence[AxisPosterior], waves: Waves, *, n_frames: int, length_unit: str) -> Distortion:
    """Return the mean of the frames' distortions as their prior knows it."""
    variance = np.exp(np.stack([waves.log_variances(one.parameters)[0] for one in found])) / n_frames
    return distortion_of(
        found,
        waves,
        mean=np.zeros_like(variance),
        covariance=variance[:, :, None] * np.eye(variance.shape[1]),
        length_unit=length_unit,
    )


def _check(frames: Sequence[Atoms]) -> None:
    if len(frames) < 2:
        raise InputError(
            "frames", expected="at least two", got=str(len(frames)),
            then="One frame needs a lattice: call `fit_distortion`.",
        )  # fmt: skip
    if len({len(frame) for frame in frames}) > 1:
        raise InputError(
            "frames", expected="the same atoms in the same rows", got="tables of different lengths",
            then="Match the atoms of each frame to those of one frame; NaN where one is missing.",
        )  # fmt: skip
    if len({frame.length_unit for frame in frames}) > 1:
        raise InputError("frames", expected="one length unit", got="angstrom and pixel")
