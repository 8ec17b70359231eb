"""Stacks and scan pairs of known distortion: what is left is the noise, and it is as large as stated."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from tusi.data import NoiseModel, make_grid
from tusi.datasets.localisation import Disorder
from tusi.datasets.stacks import StackRecipe, rotation, simulate_stack
from tusi.errors import CalibrationWarning, IdentifiabilityWarning, InputError
from tusi.finding import find_atoms, localisation_bound
from tusi.finding.matching import match_positions
from tusi.finding.restoration import (
    FrameFlag,
    NonRigid,
    Rigid,
    correct_scan_pair,
    estimate_exposure,
    estimate_row_jitter,
    register_stack,
    restore_frames,
    stack_frames,
)
from tusi.finding.restoration.displacement import turn_of
from tusi.finding.restoration.scan import FrameScan, ScanModel
from tusi.numerics.tensor_splines import TensorSplines
from tusi.numerics.warping import (
    remaining_noise,
    sample,
    sample_moved,
    scan_places,
    shift_rows,
    spline_coefficients,
    whole_move,
)

COUNTS = NoiseModel()
SHAPE, LARGER = (128, 128), (144, 144)
PERFECT = Disorder(amplitude_spread=0.0, dopant_fraction=0.0, vacancy_fraction=0.0, displacement=0.0)


def residuals(world, restored, target):
    """Errors of the good atoms (without their mean), the errors over what is stated, and the bound's variances."""
    finding = find_atoms(restored.image, noise=restored.noise)
    atoms = restored.with_registration(finding)
    pairs = match_positions(atoms.position, target, 4.0)
    pairs = pairs[atoms.flags[pairs[:, 0]] == 0]
    error = atoms.position[pairs[:, 0]] - target[pairs[:, 1]]
    error -= error.mean(axis=0)
    stated = np.sqrt(np.diagonal(atoms.covariance[pairs[:, 0]], axis1=1, axis2=2))
    n_frames = len(world.scan_angles)
    bound = localisation_bound(
        world.truth.position,
        n_frames * world.truth.intensity / (2 * np.pi * world.width**2),
        width=world.width,
        background=n_frames * world.background,
        shape=world.movie.shape[1:],
    )
    return error, error / stated, np.diagonal(bound, axis1=1, axis2=2)[pairs[:, 1]]


def check(errors, scores, bounds, *, most=1.2):
    assert np.sqrt((errors**2).mean() / bounds.mean()) < most
    assert 0.85 < scores.std() < 1.15
    assert 0.91 < (np.abs(scores) < 1.96).mean() < 0.985


def test_what_a_stack_leaves_is_the_noise_and_as_large_as_stated():
    recipe = StackRecipe(
        scan_angles=(0.0,) * 6, shape=SHAPE, distortion=1.0, jump=4.0, line_jitter=0.15, correlation_length=100.0
    )
    parts = []
    for seed in range(2):
        world = simulate_stack(recipe, rng=np.random.default_rng(seed))
        restored = register_stack(world.movie, noise=COUNTS)
        parts.append(residuals(world, restored, world.shared_position))
        assert restored.displacement.row_deviation == pytest.approx(0.15 * np.sqrt(5 / 6), rel=0.12)
        assert "have in common" in restored.warnings[0]
    errors, scores, bounds = (np.concatenate(part) for part in zip(*parts, strict=True))
    check(errors, scores, bounds)


def test_what_a_pair_leaves_is_the_noise_and_as_large_as_stated():
    recipe = StackRecipe(
        scan_angles=(0.0, 90.0), shape=LARGER, drift=(3.0, -2.0), wander=0.8, line_jitter=0.15, dose=1000.0
    )
    parts = []
    for seed in range(2):
        world = simulate_stack(recipe, rng=np.random.default_rng(seed))
        assert world.displacement.std(axis=1).max() > 0.5
        restored = correct_scan_pair(world.movie, scan_angles=world.scan_angles, noise=COUNTS)
        parts.append(residuals(world, restored, world.truth.position))
        assert restored.resolved
    errors, scores, bounds = (np.concatenate(part) for part in zip(*parts, strict=True))
    check(errors, scores, bounds, most=1.25)


def test_other_angles_and_more_images_serve_too():
    recipe = StackRecipe(scan_angles=(10.0, 100.0, 190.0), shape=SHAPE, drift=(2.0, 2.0), wander=0.5, dose=1000.0)
    world = simulate_stack(recipe, rng=np.random.default_rng(1))
    restored = correct_scan_pair(world.movie, scan_angles=world.scan_angles, noise=COUNTS)
    errors, scores, bounds = residuals(world, restored, world.truth.position)
    assert np.sqrt((errors**2).mean() / bounds.mean()) < 1.3
    assert 0.8 < scores.std() < 1.2


def place_errors(world, restored):
    """Errors of each used frame's mean displacement, without those that all share."""
    used = restored.displacement.flags == 0
    error = (restored.displacement.coefficient.mean(axis=2) - world.displacement.mean(axis=1))[used]
    return error - error.mean(axis=0)


def test_frames_are_not_put_a_lattice_vector_away():
    recipe = StackRecipe(scan_angles=(0.0,) * 7, shape=SHAPE, jump=12.0, dose=60.0)
    world = simulate_stack(recipe, rng=np.random.default_rng(3))
    with pytest.warns(IdentifiabilityWarning, match="may lie a lattice vector away"):
        restored = register_stack(world.movie, registration=Rigid(), noise=COUNTS)
    error = place_errors(world, restored)
    assert np.abs(error).max() < 0.2
    assert restored.displacement.hop_probability.min() < 0.01
    variance = np.array([np.diag(one) for one in restored.displacement.covariance])
    assert 0.6 < np.sqrt((error**2 / variance).mean()) < 1.5


def test_frames_that_share_a_third_are_joined():
    recipe = StackRecipe(scan_angles=(0.0,) * 7, shape=LARGER, jump=30.0, dose=300.0)
    world = simulate_stack(recipe, rng=np.random.default_rng(3))
    assert np.ptp(world.displacement.mean(axis=1), axis=0).max() > 60
    restored = register_stack(world.movie, registration=Rigid(), noise=COUNTS)
    assert np.abs(place_errors(world, restored)).max() < 0.1
    assert restored.displacement.hop_probability.max() < 0.01


def test_a_lattice_vector_is_never_missed_in_silence():
    recipe = StackRecipe(
        scan_angles=(0.0, 90.0), shape=SHAPE, drift=(3.0, -2.0), wander=0.8, line_jitter=0.15, dose=1000.0
    )
    perfect = dataclasses.replace(recipe, disorder=PERFECT)
    for seed in (104, 116):
        world = simulate_stack(recipe, rng=np.random.default_rng(seed))
        restored = correct_scan_pair(world.movie, scan_angles=world.scan_angles, noise=COUNTS)
        middle = np.array([scan_error(world, restored, frame) for frame in range(2)])
        assert np.abs(middle[1] - middle[0]).max() < 0.5
        assert restored.displacement.hop_probability.max() < 0.01
    world = simulate_stack(perfect, rng=np.random.default_rng(7))
    with pytest.warns(IdentifiabilityWarning, match="2 of 2 frames may lie a lattice vector away"):
        restored = correct_scan_pair(world.movie, scan_angles=world.scan_angles, noise=COUNTS)
    assert restored.displacement.hop_probability.min() > 0.1
    assert any("lattice vector away" in note for note in restored.warnings)


def scan_error(world, restored, frame):
    """Median error of where the restored scan puts the columns that a frame shows."""
    centre = 0.5 * (np.array(world.movie.shape[1:]) - 1)
    turn = rotation(world.scan_angles[frame])
    seen = (world.truth.position - centre - world.displacement[frame]) @ turn + centre
    position, _ = restored.displacement.to_reference(frame, seen)
    return np.median(position - world.truth.position, axis=0)


def test_each_frame_s_displacement_is_as_uncertain_as_stated():
    recipe = StackRecipe(scan_angles=(0.0,) * 6, shape=SHAPE, distortion=1.0, correlation_length=120.0, dose=100.0)
    scores = []
    for seed in range(1):
        world = simulate_stack(recipe, rng=np.random.default_rng(10 + seed))
        restored = register_stack(world.movie, registration=NonRigid(row_jitter=False), noise=COUNTS)
        inner = ((world.truth.position > 12) & (world.truth.position < SHAPE[0] - 13)).all(axis=1)
        truth = world.displacement[:, inner] - world.displacement[:, inner].mean(axis=0)
        for frame, expected in enumerate(truth):
            seen = restored.displacement.to_frame(frame, world.truth.position[inner])
            position, covariance = restored.displacement.to_reference(frame, seen)
            error = position - seen - expected
            scores.append(error / np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)))
    scores = np.concatenate(scores)
    assert 0.75 < scores.std() < 1.25
    assert (np.abs(scores) < 1.96).mean() > 0.9


@pytest.mark.filterwarnings("ignore::tusi.errors.IdentifiabilityWarning")
def test_dose_and_background_of_each_frame_are_found_and_a_dask_movie_gives_the_same():
    recipe = StackRecipe(scan_angles=(0.0,) * 4, shape=(96, 96), jump=2.0, dose=1000.0)
    movie = simulate_stack(recipe, rng=np.random.default_rng(4)).movie
    dose = np.array([1.0, 0.5, 1.5, 1.0])[:, None, None]
    movie = movie * dose + np.array([0.0, 20.0, 0.0, 0.0])[:, None, None]
    movie.attrs["fast_axis"] = "x"
    restored = register_stack(movie, registration=Rigid(), noise=COUNTS)
    assert restored.displacement.dose == pytest.approx(dose.ravel(), abs=0.02)
    assert np.ptp(restored.displacement.background[[0, 2, 3]]) < 5
    assert restored.displacement.background[1] - restored.displacement.background[0] == pytest.approx(20, abs=4)
    told = []
    lazy = register_stack(
        movie.chunk({"frame": 3}), registration=Rigid(), noise=COUNTS, progress=lambda *step: told.append(step)
    )
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {most for _, most in told} == {80 * 4}
    xr.testing.assert_identical(lazy.image, restored.image)


def test_row_jitter_of_one_image_is_found_and_as_uncertain_as_stated():
    recipe = StackRecipe(scan_angles=(0.0,), shape=SHAPE, dose=3000.0, line_jitter=0.3, turn=20.0)
    scores, left = [], []
    for seed in range(3):
        world = simulate_stack(recipe, rng=np.random.default_rng(seed))
        jitter = estimate_row_jitter(world.movie.isel(frame=0, drop=True), noise=COUNTS)
        assert jitter.deviation == pytest.approx(0.3, rel=0.2)
        error = jitter.shift - world.row_shift[0]
        scores.append(error / np.sqrt(jitter.variance))
        left.append(error.std())
    assert np.mean(left) < 0.2
    assert 0.8 < np.concatenate(scores).std() < 1.2


def test_dose_comes_from_the_noise():
    recipe = StackRecipe(scan_angles=(0.0,), shape=SHAPE, dose=500.0)
    frame = simulate_stack(recipe, rng=np.random.default_rng(3)).movie.isel(frame=0, drop=True)
    exposure = estimate_exposure(frame.copy(data=3.0 * frame.values))
    assert exposure.electrons == pytest.approx(float(frame.mean()), rel=0.3)
    assert float(exposure.background.mean()) == pytest.approx(15.0, rel=0.3)


def test_frames_are_restored_when_asked_for():
    recipe = StackRecipe(scan_angles=(0.0,) * 3, shape=(96, 96), jump=3.0, distortion=0.5, dose=3000.0)
    movie = simulate_stack(recipe, rng=np.random.default_rng(4)).movie
    restored = register_stack(movie, noise=COUNTS)
    frames = restore_frames(movie.chunk({"frame": 2}), restored)
    assert frames.chunks is not None
    inner = frames.sel(y=restored.image.y, x=restored.image.x)
    assert np.abs(inner.mean("frame") - restored.image).max() < 0.02 * float(restored.image.max())
    with pytest.raises(InputError, match="3 frames"):
        restore_frames(movie[:2], restored)


def test_a_constant_frame_is_left_out():
    recipe = StackRecipe(scan_angles=(0.0,) * 4, shape=(96, 96), dose=1000.0)
    movie = simulate_stack(recipe, rng=np.random.default_rng(5)).movie
    movie[2] = 7.0
    with pytest.warns(CalibrationWarning, match="1 of 4 frames do not agree"):
        restored = register_stack(movie, registration=Rigid(), noise=COUNTS)
    assert restored.displacement.flags.tolist() == [0, 0, int(FrameFlag.CONSTANT), 0]
    assert restored.noise.gain * restored.noise.correlation_area == pytest.approx(1 / 3, rel=0.02)


def noise_images(n, seed=0):
    rng = np.random.default_rng(seed)
    return [make_grid(rng.poisson(50.0, size=(64, 64)).astype(float)) for _ in range(n)]


def test_impossible_input_is_refused():
    images = noise_images(3)
    movie = stack_frames(images)
    with pytest.raises(InputError, match="One frame cannot tell strain from drift"):
        register_stack(movie[:1])
    with pytest.raises(InputError, match=r"dimensions \(frame, y, x\)"):
        register_stack(images[0])
    with pytest.raises(InputError, match="none that agree by more than chance"):
        register_stack(movie, noise=COUNTS)
    with pytest.raises(InputError, match="no more than chance"):
        correct_scan_pair(images[:2], scan_angles=(0, 90), noise=COUNTS)
    with pytest.raises(InputError, match="two frames that are not constant"):
        register_stack(movie * 0.0 + 1.0)
    bad = movie.copy()
    bad[1, 3, 4] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite pixels in frame 1"):
        register_stack(bad)
    with pytest.raises(InputError, match="cannot tell strain from drift"):
        correct_scan_pair(images[:2], scan_angles=(0, 180))
    with pytest.raises(InputError, match="2 finite angles"):
        correct_scan_pair(images[:2], scan_angles=(0,))
    with pytest.raises(InputError, match="shape"):
        stack_frames([images[0], images[1][:32]])
    with pytest.raises(InputError, match="image 2: constant"):
        correct_scan_pair([*images[:2], images[1] * 0.0], scan_angles=(0, 90, 0))
    with pytest.raises(InputError, match="fast_axis"):
        register_stack(movie.assign_attrs(fast_axis="y"), noise=COUNTS)
    with pytest.raises(InputError, match="fast_axis 'y' in image 1"):
        correct_scan_pair([images[0], images[1].assign_attrs(fast_axis="y")], scan_angles=(0, 90))
    recorded = [image.assign_attrs(scan_angle=angle) for image, angle in zip(images, (5.0, 95.0), strict=False)]
    with pytest.raises(InputError, match="image 1 turned by 90 degrees"):
        correct_scan_pair(recorded, scan_angles=(0, -90))
    with pytest.raises(InputError, match="no more than chance"):
        correct_scan_pair(recorded, scan_angles=(0, 90), noise=COUNTS)
    with pytest.raises(InputError, match="two images or more"):
        correct_scan_pair(images[:1], scan_angles=(0,))
    hole = images[1].copy()
    hole[0, 0] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite pixels in frame 1"):
        correct_scan_pair([images[0], hole], scan_angles=(0, 90))
    with pytest.raises(InputError, match="constant"):
        correct_scan_pair([images[0], images[1] * 0.0], scan_angles=(0, 90))


def test_sums_of_products_agree_with_the_dense_ones():
    rng = np.random.default_rng(0)
    splines = TensorSplines.over((9, 12), (2, 3))
    dense = np.einsum("ya,xb->yxab", splines.along_y, splines.along_x).reshape(108, -1)
    weight = rng.random((9, 12))
    assert splines.products(weight) == pytest.approx(dense.T @ (weight.ravel()[:, None] * dense))
    assert splines.projection(weight) == pytest.approx(dense.T @ weight.ravel())
    rows = (weight.ravel()[:, None] * dense).reshape(9, 12, -1).sum(axis=1)
    assert splines.row_products(weight) == pytest.approx(rows.T)
    assert splines.field(np.ones(splines.n_functions)) == pytest.approx(np.ones((9, 12)))


def test_the_scan_is_inverted():
    model = ScanModel.over((40, 50), (3, 0))
    rng = np.random.default_rng(1)
    scan = dataclasses.replace(
        FrameScan.at_rest(model, turn_of(30.0), np.array([1.0, -2.0])), coefficient=rng.normal(size=(2, 6))
    )
    place = scan.places()
    back = scan_places(scan.displacement, scan.turn, (40, 50))
    seen = np.isfinite(back[0])
    row, column = back[:, seen]
    for axis in range(2):
        line = np.array([np.interp(column, np.arange(50), one) for one in place[axis]])
        across = [np.interp(r, np.arange(40), line[:, k]) for k, r in enumerate(row)]
        assert across == pytest.approx(np.nonzero(seen)[axis], abs=2e-2)


@pytest.mark.parametrize("move", [(0.0, 0.0), (2.3, -1.6), (-3.0, 0.5), (0.25, 9.0), (-12.0, 0.0)])
def test_all_pixels_moved_alike_are_what_each_one_s_place_says(move):
    rng = np.random.default_rng(3)
    spline, known = spline_coefficients(rng.normal(size=(11, 9))), rng.random((11, 9)) < 0.5
    place = np.mgrid[:11, :9] + np.array(move)[:, None, None]
    expected = np.empty((3, 11, 9))
    sample(spline, spline, place, expected)
    for along, one in zip((None, 0, 1), expected, strict=True):
        assert sample_moved(spline, np.array(move), slope_along=along) == pytest.approx(one, abs=1e-12, nan_ok=True)
    nearest = np.floor(place + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < np.array([11, 9])[:, None, None])).all(axis=0)
    assert (whole_move(known, np.array(move)) == (inside & known[tuple(np.where(inside, nearest, 0))])).all()


def test_interpolation_leaves_the_stated_noise():
    noise = np.random.default_rng(2).normal(size=(400, 400))
    for fraction in (0.25, 0.5):
        moved = shift_rows(noise, np.full(400, fraction))
        assert moved.var() == pytest.approx(float(remaining_noise(np.array(fraction))), rel=0.02)


def test_the_simulated_scan_turns_as_the_restored_one():
    assert rotation(33.0) == pytest.approx(turn_of(33.0))
