"""The distortion of the scan: learned from a lattice or a stack, with errors that hold."""

import dataclasses

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure import register_lattice
from tusi.structure.distortion import Distortion, DistortionPrior, fit_distortion, fit_stack_distortion
from tusi.structure.distortion.prior import Waves
from tusi.structure.distortion.regression import Displacements, _Evidence

SPACING, NOISE = 16.0, 0.03
QUICK = DistortionPrior(most_waves=8, shortest_scan=2.0)


def smooth(rng, position, *, length, amplitude):
    """A random field of both coordinates, as a sum of random waves."""
    wave, phase = rng.normal(0, 1 / length, (200, 2)), rng.uniform(0, 2 * np.pi, 200)
    return amplitude * np.sqrt(2 / 200) * np.cos(position @ wave.T + phase).sum(axis=1)


def crystal(side):
    row, column = np.mgrid[:side, :side]
    return SPACING * np.stack([row.ravel(), column.ravel()], axis=1) + 20.0


def world(seed, *, side=14, noise=NOISE, amplitude=1.0):
    """Ideal places, their distortion, and atoms that show both with an error."""
    rng = np.random.default_rng(seed)
    ideal = crystal(side)
    shift = np.stack([smooth(rng, ideal, length=80.0, amplitude=amplitude) for _ in (0, 1)], axis=1)
    shift += np.stack([smooth(rng, ideal * [1, 0], length=40.0, amplitude=0.2) for _ in (0, 1)], axis=1)
    return ideal, shift, measured(ideal + shift, noise, rng)


def measured(position, noise, rng):
    return dataclasses.replace(
        Atoms.at(position + noise * rng.standard_normal(position.shape), length_unit="pixel"),
        covariance=np.broadcast_to(max(noise, 1e-3) ** 2 * np.eye(2), (len(position), 2, 2)),
        intensity=np.ones(len(position)),
    )


def nonuniform(field, ideal):
    """What a shift and a uniform strain leave of a field."""
    design = np.concatenate([np.ones((len(ideal), 1)), ideal], axis=1)
    return field - design @ np.linalg.lstsq(design, field, rcond=None)[0]


def test_gradient_of_the_evidence_is_its_slope():
    ideal, _, atoms = world(1, side=9)
    prior = DistortionPrior(most_waves=5, shortest_scan=3.0)
    waves = Waves.around(atoms.position, spacing=SPACING, prior=prior)
    data = Displacements(
        waves=waves.at(atoms.position), fixed=waves.uniform(ideal), value=atoms.position, variance=np.full(81, NOISE**2)
    )
    evidence, place = _Evidence(data=data, waves=waves), np.log([1.0, 70.0, 0.3, 60.0, 0.02])
    slope = [(evidence(place + step)[0] - evidence(place - step)[0]) / 2e-5 for step in 1e-5 * np.eye(len(place))]
    np.testing.assert_allclose(evidence(place)[1], slope, rtol=1e-4, atol=1e-4)


def test_evidence_is_that_of_the_process_written_out():
    """Against the density of a normal distribution with the waves' covariance, up to the flat prior's constant."""
    _, _, atoms = world(1, side=6)
    prior = DistortionPrior(most_waves=4, shortest_scan=3.0)
    waves = Waves.around(atoms.position, spacing=SPACING, prior=prior)
    data = Displacements(
        waves=waves.at(atoms.position), fixed=np.empty((36, 0)), value=atoms.position[:, :1] - 60.0,
        variance=np.full(36, NOISE**2),
    )  # fmt: skip
    evidence = _Evidence(data=data, waves=waves)

    def plain(parameters):
        prior_variance = np.exp(waves.log_variances(parameters[:-1])[0])
        covariance = (data.waves * prior_variance) @ data.waves.T + (NOISE**2 + parameters[-1] ** 2) * np.eye(36)
        _, logarithm = np.linalg.slogdet(covariance)
        return 0.5 * (data.value[:, 0] @ np.linalg.solve(covariance, data.value[:, 0]) + logarithm)

    one, other = np.array([1.0, 70.0, 0.3, 60.0, 0.02]), np.array([0.5, 60.0, 0.6, 90.0, 0.1])
    difference = evidence(np.log(one))[0] - evidence(np.log(other))[0]
    assert difference == pytest.approx(plain(one) - plain(other), rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_distortion_is_found_and_its_error_is_the_stated_one(seed):
    ideal, shift, atoms = world(seed)
    found = fit_distortion(atoms, register_lattice(atoms), prior=QUICK)
    bent = nonuniform(shift, ideal)
    value, covariance = found.at(ideal + shift - bent)
    error = value - bent
    assert np.sqrt((error**2).mean()) < 0.75 * NOISE
    pull = error / np.sqrt(np.stack([covariance[:, 0, 0], covariance[:, 1, 1]], axis=1))
    assert 0.7 < np.sqrt((pull**2).mean()) < 1.4


def test_corrected_atoms_are_where_they_were_and_say_how_surely():
    ideal, shift, atoms = world(3)
    corrected = fit_distortion(atoms, register_lattice(atoms), prior=QUICK).correct(atoms)
    error = corrected.position - (ideal + shift - nonuniform(shift, ideal))
    assert np.sqrt((error**2).mean()) < 1.3 * NOISE
    assert (corrected.covariance[:, 0, 0] > atoms.covariance[:, 0, 0]).all()
    inside = np.abs(error) < 1.96 * np.sqrt(np.stack([corrected.covariance[:, k, k] for k in (0, 1)], axis=1))
    assert 0.9 < inside.mean() < 0.99


def test_a_perfect_crystal_has_no_distortion():
    rng = np.random.default_rng(4)
    atoms = measured(crystal(12), NOISE, rng)
    found = fit_distortion(atoms, register_lattice(atoms), prior=QUICK)
    assert np.abs(found.at(atoms.position)[0]).max() < NOISE


def test_disorder_of_each_atom_is_not_taken_for_distortion():
    ideal, shift, atoms = world(5, noise=0.15)
    claimed = dataclasses.replace(atoms, covariance=atoms.covariance * (0.05 / 0.15) ** 2)
    found = fit_distortion(claimed, register_lattice(claimed), prior=QUICK)
    np.testing.assert_allclose(found.disorder, np.sqrt(0.15**2 - 0.05**2), rtol=0.2)
    bent = nonuniform(shift, ideal)
    assert np.sqrt(((found.at(ideal + shift - bent)[0] - bent) ** 2).mean()) < 0.1


def test_uniform_strain_stays_with_the_lattice():
    _, _, atoms = world(6, side=10)
    strained = dataclasses.replace(atoms, position=atoms.position @ np.array([[1.02, 0.01], [0.0, 0.99]]))
    prior = dataclasses.replace(QUICK, shortest_scan=0.0)
    one, other = (fit_distortion(own, register_lattice(own), prior=prior) for own in (atoms, strained))
    np.testing.assert_allclose(one.at(atoms.position)[0], other.at(strained.position)[0], atol=0.05)


def test_frames_of_a_stack_tell_what_they_do_not_share():
    rng = np.random.default_rng(7)
    true = rng.uniform(0, 200, (150, 2))
    shifts = [
        np.stack([smooth(rng, true, length=70.0, amplitude=0.8) for _ in (0, 1)], axis=1) + rng.normal(0, 2, 2)
        for _ in range(4)
    ]
    frames = [measured(true + shift, NOISE, rng) for shift in shifts]
    prior = DistortionPrior(shortest=2.0, most_waves=8, shortest_scan=0.0)
    stack = fit_stack_distortion(frames, prior=prior)
    mean = np.mean(shifts, axis=0)
    for shift, found in zip(shifts, stack.frames, strict=True):
        value, covariance = found.at(true + mean)
        error = value - (shift - mean)
        assert np.sqrt((error**2).mean()) < NOISE
        pull = error / np.sqrt(np.stack([covariance[:, k, k] for k in (0, 1)], axis=1))
        assert 0.6 < np.sqrt((pull**2).mean()) < 1.6
    error = stack.atoms.position - (true + mean)
    assert np.sqrt((error**2).mean()) < 1.2 * NOISE / 2
    np.testing.assert_allclose(stack.atoms.covariance[:, 0, 0], NOISE**2 / 4, rtol=0.3)
    sure = stack.remaining.correct(stack.atoms)
    shared = nonuniform(mean, true) / np.sqrt(np.stack([sure.covariance[:, k, k] for k in (0, 1)], axis=1))
    assert 0.2 < np.sqrt((shared**2).mean()) < 2.5


def test_atoms_that_a_frame_lacks_are_averaged_over_the_others():
    rng = np.random.default_rng(8)
    true = rng.uniform(0, 100, (60, 2))
    frames = [measured(true, NOISE, rng) for _ in range(3)]
    lost = frames[0].position.copy()
    lost[5] = np.nan
    frames[0] = dataclasses.replace(frames[0], position=lost)
    stack = fit_stack_distortion(frames, prior=DistortionPrior(shortest_scan=0.0, most_waves=4))
    assert np.isfinite(stack.atoms.position).all()
    assert stack.atoms.covariance[5, 0, 0] > stack.atoms.covariance[6, 0, 0]


def test_distortions_round_trip():
    _, _, atoms = world(1, side=8)
    found = fit_distortion(atoms, register_lattice(atoms), prior=DistortionPrior(most_waves=4, shortest_scan=0.0))
    back = Distortion.from_xarray(found.to_xarray())
    np.testing.assert_array_equal(back.at(atoms.position)[0], found.at(atoms.position)[0])
    assert np.isnan(back.scan_amplitude).all()


def test_what_is_missing_or_wrong_is_named():
    _, _, atoms = world(1, side=8)
    lattice = register_lattice(atoms)
    with pytest.warns(ScarceDataWarning, match="too few atoms"):
        nothing = fit_distortion(atoms, lattice[:9])
    value, covariance = nothing.at(atoms.position)
    assert (value == 0).all()
    assert np.isnan(covariance[:, 0, 0]).all()
    with pytest.raises(InputError, match="the lattice of these atoms"):
        fit_distortion(atoms[:9], lattice)
    with pytest.raises(InputError, match="at least two; got 1"):
        fit_stack_distortion([atoms])
    with pytest.raises(InputError, match="the same atoms in the same rows"):
        fit_stack_distortion([atoms, atoms[:9]])
    with pytest.raises(InputError, match="at least 16 atoms that all frames show; got 9"):
        fit_stack_distortion([atoms[:9], atoms[:9]])
    for wrong, message in (({"shortest": 0}, "a positive length"), ({"most_waves": 1}, "at least 2")):
        with pytest.raises(InputError, match=message):
            DistortionPrior(**wrong)
