"""The noise estimate against known truth over dose, filter and lattice, with seeds fixed in advance."""

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tusi.datasets import AlloyRecipe, localisation_world, simulate_alloy
from tusi.imaging import Acquisition, Detector, Display, estimate_noise

SHAPE = (512, 512)
SEEDS = range(8)

pytestmark = pytest.mark.science


def emit(line: str) -> None:
    """Write one row of the table; shown by `pytest -rP`."""
    sys.stdout.write(line + "\n")


@pytest.mark.parametrize("dose", [30, 100, 300, 1000, 3000])
@pytest.mark.parametrize("pattern", ["square", "triangular", "honeycomb", "dumbbell"])
def test_gain_and_whiteness_of_counts(pattern, dose):
    acquisition = Acquisition(dose=dose, line_jitter=0.25)
    noises, levels = [], []
    for seed in SEEDS:
        grid = localisation_world(pattern, dose=acquisition, rng=np.random.default_rng(seed), shape=SHAPE).grid
        noises.append(estimate_noise(grid))
        levels.append(float(grid.mean()))
    gain = np.array([noise.gain for noise in noises])
    area = np.array([noise.correlation_area for noise in noises])
    ratio = [float(noise.variance(np.array(level))) / level for noise, level in zip(noises, levels, strict=True)]
    emit(
        f"{pattern} {dose}: gain {gain.mean():.3f} +- {gain.std():.3f}, area {area.max():.3f} at most, "
        f"variance {np.mean(ratio):.3f}"
    )
    assert gain.mean() == pytest.approx(1, abs=0.1)
    assert area.max() < 1.1 + 0.05
    assert np.mean(ratio) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dose", [100, 1000])
def test_read_noise_is_seen(dose):
    detector = Detector(gain=3.0, read_variance=0.1 * dose)
    acquisition = Acquisition(dose=dose, detector=detector)
    worlds = [localisation_world("square", dose=acquisition, rng=np.random.default_rng(s), shape=SHAPE) for s in SEEDS]
    noises = [estimate_noise(world.grid) for world in worlds]
    emit(f"{dose}: gain {[round(n.gain, 2) for n in noises]}, read {[round(n.read_variance, 1) for n in noises]}")
    assert np.mean([noise.gain for noise in noises]) == pytest.approx(3, rel=0.1)
    assert np.mean([noise.read_variance for noise in noises]) == pytest.approx(0.1 * dose, rel=0.4)


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 1.5, 2.0, 2.5])
@pytest.mark.parametrize("dose", [100, 300])
def test_displays_like_the_real_pictures(dose, smoothing):
    display = Display(smoothing=smoothing)
    area = max(4 * np.pi * smoothing**2, 1.0)
    variance, correlation = [], []
    for seed in SEEDS:
        recipe = AlloyRecipe(composition=0.55, disorder=0.03, intensity_spread=0.1)
        plain = Acquisition(dose=dose, line_jitter=0.2)
        counts = simulate_alloy(recipe, plain, rng=np.random.default_rng(seed)).grid.values
        shown = Acquisition(dose=dose, line_jitter=0.2, display=display)
        grid = simulate_alloy(recipe, shown, rng=np.random.default_rng(seed)).grid
        smooth = gaussian_filter(counts, smoothing) if smoothing else counts
        black, white = np.percentile(smooth, display.clipping)
        true = (255 / (white - black)) ** 2 * counts.mean() / area + 1 / 12
        noise = estimate_noise(grid)
        variance.append(float(noise.variance(np.array(float(grid.mean())))) / true)
        correlation.append(noise.correlation_area / area)
    emit(
        f"dose {dose}, filter {smoothing}: variance / true {np.round(variance, 2)}, area / true "
        f"{np.mean(correlation):.2f}"
    )
    assert np.mean(correlation) == pytest.approx(1, abs=0.2)
    assert 0.75 < np.mean(variance) < 1.35
    assert min(variance) > 0.6
