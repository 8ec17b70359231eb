"""Samples in an image: how many they are worth, what trends take, and what chance would give."""

import numpy as np
import pytest
from scipy import ndimage

from tusi.errors import InputError
from tusi.inference.spatial import (
    AdaptiveHighPass,
    Centring,
    HighPass,
    Layout,
    PairLags,
    Polynomial,
    centred,
    effective_sample_size,
    phase_surrogates,
    torus_shifts,
)
from tusi.inference.spatial.lags import REACH

DETRENDINGS = (Centring(), Centring(within=False), Polynomial(degree=3), HighPass(scale=12.0), AdaptiveHighPass())


def smooth_columns(shape, n, rng, *, width=1.5):
    """White noise smoothed on a larger raster, one column for each field."""
    noise = rng.standard_normal((n, shape[0] + 20, shape[1] + 20))
    return np.stack([ndimage.gaussian_filter(one, width)[10:-10, 10:-10].ravel() for one in noise], axis=1)


def size_pair_by_pair(x, y, layout):
    """The definition: one more than the inverse variance of the correlation, from a loop over all pairs of rows."""
    total = 0.0
    for image in range(layout.n_images):
        rows, shape = layout.rows(image), layout.shape(image)
        sums = {}
        for i in rows:
            for j in rows:
                lag = tuple(layout.cell[i] - layout.cell[j])
                one = sums.setdefault(lag, [0.0, 0.0, 0])
                one[0] += x[i] * x[j]
                one[1] += y[i] * y[j]
                one[2] += 1
        for (down, right), (first, second, count) in sums.items():
            if (down / shape[0]) ** 2 + (right / shape[1]) ** 2 <= REACH**2:
                total += first * second / count
    return 1 + (x @ x) * (y @ y) / total


@pytest.mark.parametrize("centring", ["image", "common"])
def test_size_is_that_of_the_slow_sum_over_pairs_of_scattered_rows(centring):
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 9, (90, 2))
    layout = Layout.of_positions(position, np.repeat([0, 1], [50, 40]))
    x, y = (np.sin(position[:, 0] / 2) + 0.5 * rng.standard_normal(90) for _ in range(2))
    fast = effective_sample_size(x, y, layout=layout, centring=centring)
    x, y = (centred(one, layout=layout, centring=centring) for one in (x, y))
    slow = size_pair_by_pair(x, y, layout)
    assert fast == pytest.approx(slow, rel=1e-9)
    assert fast < 80


def test_size_of_smooth_fields_is_that_of_their_known_correlation():
    """Gaussian smoothing of width s gives correlations exp(-h^2 / 4 s^2), and n / n_eff = 2 pi s^2 far from borders."""
    rng = np.random.default_rng(1)
    grid = Layout.grid((64, 64))
    found = [effective_sample_size(*smooth_columns((64, 64), 2, rng, width=1.5).T, layout=grid) for _ in range(30)]
    assert np.median(found) == pytest.approx(64**2 / (2 * np.pi * 1.5**2), rel=0.08)


def test_size_ignores_units_order_of_rows_and_where_images_lie():
    rng = np.random.default_rng(2)
    x, y = smooth_columns((12, 14), 2, rng).T
    layout = Layout.of_lattice(np.indices((12, 14)).reshape(2, -1).T - 5, np.repeat([0, 1], 84))
    expected = effective_sample_size(x, y, layout=layout)
    order = rng.permutation(len(layout))
    moved = Layout(cell=layout.cell[order] + 3, image=1 - layout.image[order])
    assert (
        effective_sample_size(-7e5 * x[order] + 3, 1e-4 * y[order], layout=moved) != expected
    )  # larger raster, longer reach
    moved = Layout(cell=layout.cell[order], image=1 - layout.image[order])
    assert effective_sample_size(-7e5 * x[order] + 3, 1e-4 * y[order], layout=moved) == pytest.approx(expected)


def test_size_of_a_constant_is_not_a_number_and_bad_values_are_refused():
    grid = Layout.grid((3, 3))
    assert np.isnan(effective_sample_size(np.ones(9), np.arange(9.0), layout=grid))
    with pytest.raises(InputError, match="a finite value for each of 9 rows"):
        effective_sample_size(np.full(9, np.nan), np.arange(9.0), layout=grid)
    with pytest.raises(InputError, match="one for each of 9 rows"):
        PairLags(grid).sums(np.ones(4))


@pytest.mark.parametrize("detrending", DETRENDINGS, ids=str)
def test_detrending_is_one_linear_map_for_all_columns(detrending):
    rng = np.random.default_rng(3)
    layout = Layout.grid((20, 24), n_images=2)
    x, y = np.concatenate([smooth_columns((20, 24), 2, rng) for _ in range(2)]).T
    left = detrending(np.stack([x, y, 2 * x - 3 * y], axis=1), layout).value
    assert np.allclose(left[:, 2], 2 * left[:, 0] - 3 * left[:, 1], atol=1e-9 * np.abs(left).max())
    assert np.abs(left[:, 0]).max() > 1e-3


@pytest.mark.parametrize("detrending", DETRENDINGS, ids=str)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_white_noise_grows_by_the_stated_gain(detrending, missing):
    rng = np.random.default_rng(4)
    layout = Layout.grid((40, 40))
    layout = Layout(cell=layout.cell[(kept := rng.random(1600) >= missing)], image=layout.image[kept])
    signal = smooth_columns((40, 40), 3, rng)[kept]
    noise = 1e-4 * signal.std() * rng.standard_normal((len(layout), 12))
    left = detrending(np.concatenate([signal, signal[:, :1] + noise, signal[:, :1]], axis=1), layout)
    grown = (left.value[:, 3:-1] - left.value[:, -1:]).var() / noise.var()
    assert grown == pytest.approx(left.noise_gain[0], rel=0.25 if missing else 0.1)


@pytest.mark.parametrize(("degree", "freedom"), [(1, 2), (2, 5), (3, 9), (4, 14)])
def test_polynomials_take_themselves_out_of_each_image(degree, freedom):
    layout = Layout.grid((9, 11), n_images=2)
    y, x = layout.cell.T / 10.0
    trend = (1 + layout.image) * (y - 0.7 * x) ** degree + layout.image
    left = Polynomial(degree=degree)(trend[:, None], layout)
    assert np.abs(left.value).max() < 1e-9
    assert left.freedom == 2 * freedom + 1
    with pytest.raises(InputError, match="1, 2, 3 or 4"):
        Polynomial(degree=5)


def test_small_and_empty_images_pass_through_every_detrending():
    layout = Layout(cell=np.array([[0, 0], [0, 0], [0, 1], [1, 1], [0, 0]]), image=np.array([0, 1, 1, 1, 2]))
    value = np.stack([np.arange(5.0), np.full(5, 3.0)], axis=1)
    for detrending in DETRENDINGS:
        left = detrending(value, layout)
        assert np.isfinite(left.value).all()
        assert (left.value[:, 1] == 0).all()


@pytest.mark.parametrize("detrending", [HighPass(scale=20.0), AdaptiveHighPass(scale=20.0)], ids=str)
def test_long_waves_go_and_short_ones_stay(detrending):
    rng = np.random.default_rng(5)
    y, x = np.indices((48, 48))
    long, short = np.sin(2 * np.pi * (y + 0.4 * x) / 40.0), rng.standard_normal((48, 48))
    left = detrending(np.stack([long.ravel(), short.ravel()], axis=1), Layout.grid((48, 48)))
    inside = [
        np.corrcoef(left.value[:, 1], short.ravel()[left.kept])[0, 1],
        left.value[:, 0].std() / left.value[:, 1].std(),
    ]
    assert inside[0] > 0.9
    assert inside[1] < 0.05
    with pytest.raises(InputError, match="more than two distances"):
        HighPass(scale=1.0)


def test_evening_makes_smooth_fields_worth_more_samples():
    columns = smooth_columns((48, 48), 2, np.random.default_rng(6), width=2.0)
    grid = Layout.grid((48, 48))
    left = AdaptiveHighPass()(columns, grid)
    assert effective_sample_size(*left.value.T, layout=left.layout) > 2 * effective_sample_size(*columns.T, layout=grid)


def test_a_wave_does_not_decide_what_it_counts():
    """Were a wave's own power in its spectrum, noise would grow by 4 % other than stated: it would choose its gain."""
    rng = np.random.default_rng(12)
    grid, ratio = Layout.grid((40, 40)), []
    for _ in range(12):
        smooth, noise = smooth_columns((40, 40), 1, rng, width=2.0)[:, 0], rng.standard_normal(1600)
        smooth, noise = smooth / smooth.std(), 0.4 * noise
        left = AdaptiveHighPass()(np.stack([smooth + noise, 1e-9 * smooth], axis=1), grid)
        grown = (left.value[:, 0] - 1e9 * left.value[:, 1]).var()
        ratio.append(grown / (0.16 * left.noise_gain[0]))
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)


def test_detrended_rows_are_counted_from_zero():
    left = AdaptiveHighPass()(smooth_columns((48, 40), 1, np.random.default_rng(13), width=2.0), Layout.grid((48, 40)))
    assert (left.layout.cell.min(axis=0) == 0).all()
    assert left.layout.shape(0)[0] - left.layout.shape(0)[1] == 8


def test_shifts_of_a_full_raster_are_rolls_and_never_none():
    grid = Layout.grid((3, 4), n_images=2)
    field = np.arange(24.0)
    rolls = {tuple(np.roll(field[:12].reshape(3, 4), (i, j), (0, 1)).ravel()) for i in range(3) for j in range(4)}
    shifted = field[torus_shifts(grid, n=60, rng=np.random.default_rng(7))]
    assert {tuple(one[:12]) for one in shifted} == rolls - {tuple(field[:12])}
    assert {tuple(one[12:] - 12) for one in shifted} == rolls - {tuple(field[:12])}
    with pytest.raises(InputError, match="at least one surrogate"):
        torus_shifts(grid, n=0, rng=np.random.default_rng(7))


def test_shifts_with_gaps_take_the_nearest_row():
    cell = np.array([[0, 0], [0, 1], [0, 3], [1, 0], [1, 1], [1, 3]])
    layout = Layout(cell=cell, image=np.zeros(6, dtype=int))
    shifted = torus_shifts(layout, n=40, rng=np.random.default_rng(8))
    for source in shifted:
        assert any(
            all(np.abs((cell[row] + lag) % (2, 4) - cell[one]).sum() <= 1 for row, one in enumerate(source))
            for lag in np.indices((2, 4)).reshape(2, -1).T
        )


def test_phase_surrogates_keep_values_correlation_and_coherence():
    rng = np.random.default_rng(9)
    field = smooth_columns((32, 32), 1, rng)[:, 0]
    heavy, grid = np.sign(field) * np.abs(field) ** 3, Layout.grid((32, 32))
    drawn = phase_surrogates(heavy, layout=grid, n=30, rng=rng)
    assert (np.sort(drawn, axis=1) == np.sort(heavy)).all()
    steps = [np.corrcoef(one.reshape(32, 32)[1:].ravel(), one.reshape(32, 32)[:-1].ravel())[0, 1] for one in drawn]
    own = np.corrcoef(heavy.reshape(32, 32)[1:].ravel(), heavy.reshape(32, 32)[:-1].ravel())[0, 1]
    assert np.mean(steps) == pytest.approx(own, abs=0.07)
    assert np.abs(np.mean([np.corrcoef(one, heavy)[0, 1] for one in drawn])) < 0.1
    pair = np.stack([field, 0.6 * field + 0.8 * smooth_columns((32, 32), 1, rng)[:, 0]], axis=1)
    both = phase_surrogates(pair, layout=grid, n=40, rng=rng, adjust=False)
    kept = [np.corrcoef(both[k, :, 0], both[k, :, 1])[0, 1] for k in range(40)]
    assert np.mean(kept) == pytest.approx(np.corrcoef(pair[:, 0], pair[:, 1])[0, 1], abs=0.06)
    assert both.var() == pytest.approx(pair.var(), rel=0.15)
    with pytest.raises(InputError, match="finite values of 1024 rows"):
        phase_surrogates(np.full(1024, np.inf), layout=grid, n=1, rng=rng)
