"""The noise of one image is found from that image: small versions of the full calibration in tests/science."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tusi.data import make_grid
from tusi.datasets import localisation_world
from tusi.errors import InputError, ScarceDataWarning
from tusi.imaging import Acquisition, Detector, Display, estimate_noise
from tusi.imaging.clipping import clipped_pixels, continue_clipped

SHAPE = (384, 384)


@pytest.mark.parametrize(("pattern", "dose"), [("square", 100), ("honeycomb", 1000)])
def test_counts_have_unit_gain_and_white_noise(pattern, dose):
    acquisition = Acquisition(dose=dose, line_jitter=0.25)
    world = localisation_world(pattern, dose=acquisition, rng=np.random.default_rng(1), shape=SHAPE)
    noise = estimate_noise(world.grid)
    mean = float(world.grid.mean())
    assert noise.gain == pytest.approx(1, abs=0.1)
    assert noise.correlation_area == pytest.approx(1, abs=0.1)
    assert float(noise.variance(np.array(mean))) == pytest.approx(mean, rel=0.08)


def test_a_detector_with_gain_offset_and_read_noise():
    detector = Detector(gain=4.0, offset=200.0, read_variance=120.0)
    acquisition = Acquisition(dose=1000, detector=detector)
    world = localisation_world("square", dose=acquisition, rng=np.random.default_rng(2), shape=SHAPE)
    noise = estimate_noise(world.grid)
    assert noise.gain == pytest.approx(4, rel=0.1)
    for level in (240.0, 330.0, 500.0):
        found, true = noise.variance(np.array(level)), detector.noise.variance(np.array(level))
        assert float(found / true) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(("pattern", "smoothing"), [("square", 1.0), ("honeycomb", 1.5), ("honeycomb", 2.0)])
def test_a_filtered_display_does_not_hide_its_noise(pattern, smoothing):
    display = Display(smoothing=smoothing)
    world = localisation_world(
        pattern, dose=Acquisition(dose=300, display=display), rng=np.random.default_rng(3), shape=SHAPE
    )
    counts = localisation_world(pattern, dose=Acquisition(dose=300), rng=np.random.default_rng(3), shape=SHAPE).grid
    noise = estimate_noise(world.grid)
    level = np.array(float(world.grid.mean()))
    area = 4 * np.pi * smoothing**2
    assert noise.correlation_area == pytest.approx(area, rel=0.2)
    assert 0.75 < float(noise.variance(level)) / display_noise(counts.values, display) < 1.35


def display_noise(counts: np.ndarray, display: Display) -> float:
    """Return the mean variance of a display's pixel: Poisson noise behind the filter, in grey levels squared."""
    black, white = np.percentile(gaussian_filter(counts, display.smoothing), display.clipping)
    return (255 / (white - black)) ** 2 * counts.mean() / (4 * np.pi * display.smoothing**2) + 1 / 12


def test_line_jitter_is_not_taken_for_noise():
    calm, shaken = (
        estimate_noise(
            localisation_world(
                "square",
                dose=Acquisition(dose=3000, line_jitter=jitter),
                rng=np.random.default_rng(4),
                shape=SHAPE,
            ).grid
        )
        for jitter in (0.0, 0.5)
    )
    assert shaken.gain == pytest.approx(calm.gain, rel=0.12)


def test_scaling_an_image_scales_its_noise():
    grid = localisation_world("square", dose=300, rng=np.random.default_rng(5), shape=(256, 256)).grid
    plain, scaled = estimate_noise(grid), estimate_noise(grid * 7.0)
    assert scaled.gain == pytest.approx(7 * plain.gain, rel=0.02)
    assert scaled.correlation_area == pytest.approx(plain.correlation_area, rel=0.02)


@pytest.mark.parametrize("level", [0.0, 17.0])
def test_a_constant_image_has_the_noise_of_rounding_and_a_warning(level):
    with pytest.warns(ScarceDataWarning, match="noise cannot be measured: the image is constant"):
        noise = estimate_noise(make_grid(np.full((64, 64), level)))
    assert noise.gain == 0
    assert noise.read_variance == pytest.approx(1 / 12)


def test_a_small_image_is_measured_from_neighbours_with_a_warning():
    counts = np.random.default_rng(6).normal(10, 2, size=(30, 40))
    with pytest.warns(ScarceDataWarning, match="the image is small"):
        noise = estimate_noise(make_grid(counts))
    assert noise.read_variance == pytest.approx(4, rel=0.25)


def test_nan_pixels_are_refused():
    image = np.ones((64, 64))
    image[3, 4] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite pixels"):
        estimate_noise(make_grid(image))


def test_clipped_tops_are_continued_beyond_the_limit():
    y, x = np.mgrid[:128, :128]
    hills = 100 * np.sin(2 * np.pi * x / 15.3) * np.sin(2 * np.pi * y / 17.1)
    cut = np.clip(hills, None, 97.0)
    low, high = clipped_pixels(cut)
    assert not low.any()
    assert high.sum() == (hills >= 97).sum()
    assert np.abs(continue_clipped(cut) - hills)[16:-16, 16:-16].max() < 1.5
    counts = np.random.default_rng(7).poisson(0.5, size=(128, 128)).astype(float)
    assert continue_clipped(counts) is counts
