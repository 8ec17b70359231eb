"""Images have the statistics that their acquisition states."""

import numpy as np
import pytest

from tusi.data import pixel_size_of
from tusi.errors import InputError
from tusi.imaging import Acquisition, Contamination, Detector, Display, Distortion, Scene, acquire

SCENE = Scene(
    position=np.array([[12.0, 11.0], [20.5, 22.3]]),
    amplitude=np.array([1.0, 1.8]),
    width=np.array([2.5, 2.5]),
    shape=(32, 32),
)


def test_counts_are_poisson_around_the_stated_mean():
    rng = np.random.default_rng(0)
    acquisition = Acquisition(dose=200)
    mean = 200 * (0.01 + 0.1 * SCENE.render())
    counts = np.array([acquire(SCENE, acquisition, rng=rng).values for _ in range(600)])
    z = (counts.mean(axis=0) - mean) / np.sqrt(mean / 600)
    assert abs(z.mean()) < 4 / 32
    assert z.std() == pytest.approx(1, abs=0.09)
    assert (counts.var(axis=0) / mean).mean() == pytest.approx(1, abs=0.01)


def test_detector_scales_the_mean_and_the_variance():
    rng = np.random.default_rng(1)
    detector = Detector(gain=3.0, offset=50.0, read_variance=40.0)
    acquisition = Acquisition(dose=500, detector=detector)
    images = np.array([acquire(SCENE, acquisition, rng=rng).values for _ in range(400)])
    mean = 50 + 3 * 500 * (0.01 + 0.1 * SCENE.render())
    assert (images.mean(axis=0) - mean).mean() == pytest.approx(0, abs=0.2)
    assert (images.var(axis=0) / detector.noise.variance(mean)).mean() == pytest.approx(1, abs=0.01)


def test_blur_widens_spots_and_keeps_their_integral():
    bright = Acquisition(dose=1e8, background_fraction=0.0)
    sharp = acquire(SCENE, bright, rng=np.random.default_rng(2)).values
    blurred = acquire(
        SCENE, Acquisition(dose=1e8, background_fraction=0.0, blur=1.5), rng=np.random.default_rng(2)
    ).values
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=1e-3)
    assert blurred.max() / sharp.max() == pytest.approx(2.5**2 / (2.5**2 + 1.5**2), rel=0.02)


def test_line_jitter_moves_rows_by_its_rms():
    """The centre of mass of each row of a vertical bar is displaced by minus the jitter."""
    rows = np.arange(-20.0, 420.0)
    bar = Scene(
        position=np.stack([rows, np.full(len(rows), 30.0)], axis=1),
        amplitude=np.ones(len(rows)),
        width=np.full(len(rows), 2.0),
        shape=(400, 61),
    )
    acquisition = Acquisition(dose=1e7, background_fraction=0.0, line_jitter=0.4)
    image = acquire(bar, acquisition, rng=np.random.default_rng(3)).values
    centre = image @ np.arange(61) / image.sum(axis=1) - 30
    assert centre.std() == pytest.approx(0.4, rel=0.12)
    assert abs(np.corrcoef(centre[1:], centre[:-1])[0, 1]) < 0.17


def test_a_display_rounds_clips_and_says_so():
    display = Display(smoothing=1.0, clipping=(1.0, 99.0), bits=8)
    grid = acquire(SCENE, Acquisition(dose=300, display=display), rng=np.random.default_rng(4))
    values = grid.values
    assert grid.attrs["display_bits"] == 8
    assert (values.min(), values.max()) == (0, 255)
    np.testing.assert_array_equal(values, np.rint(values))
    assert (values == 255).mean() == pytest.approx(0.01, abs=0.004)


def test_contamination_raises_and_dims_smoothly():
    film = Contamination(background=0.5, correlation_length=40.0)
    clear = np.zeros((0, 2))
    scene = Scene(position=clear, amplitude=clear[:, 0], width=clear[:, 0], shape=(64, 64))
    acquisition = Acquisition(dose=1e6, contamination=film, background_fraction=0.2)
    image = acquire(scene, acquisition, rng=np.random.default_rng(5)).values / 1e6 - 0.2
    assert 0.01 < image.std() < 0.15
    assert np.abs(np.diff(image, axis=0)).max() < 0.02


def test_pixel_size_reaches_the_grid_and_the_same_stream_gives_the_same_image():
    acquisition = Acquisition(dose=50, line_jitter=0.2, pixel_size=0.13)
    first = acquire(SCENE, acquisition, rng=np.random.default_rng(6))
    second = acquire(SCENE, acquisition, rng=np.random.default_rng(6))
    assert pixel_size_of(first) == pytest.approx(0.13)
    np.testing.assert_array_equal(first.values, second.values)


def test_settings_print_as_code():
    acquisition = Acquisition(dose=300, detector=Detector(gain=2.0), display=Display(smoothing=1.5))
    assert eval(repr(acquisition)) == acquisition
    assert eval(repr(Distortion(drift=(0.1, 0.0)))) == Distortion(drift=(0.1, 0.0))


def test_impossible_settings_are_refused():
    with pytest.raises(InputError, match="`dose`: expected electrons per pixel above zero; got 0"):
        Acquisition(dose=0)
    with pytest.raises(InputError, match="`line_jitter`: expected a number >= 0"):
        Acquisition(dose=1, line_jitter=-1)
    with pytest.raises(InputError, match="`detector`: expected gain > 0"):
        Detector(gain=0)
    with pytest.raises(InputError, match="`display`: expected smoothing >= 0"):
        Display(clipping=(50, 10))
