"""Sliding transforms against the slow obvious way, and unmixing against known mixtures."""

import dataclasses
import itertools
import json

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tusi.cli.unmix import summary_of, write_unmixing
from tusi.cli.unmix import unmix as unmix_command
from tusi.data import make_grid, storage
from tusi.datasets.phases import HEXAGONAL_PHASE, SQUARE_PHASE, PhasesRecipe, simulate_phases
from tusi.errors import ConvergenceError, InputError
from tusi.plot.canvas import new_figure
from tusi.plot.unmixing import draw_unmixing, size_of_unmixing
from tusi.structure.sliding import (
    FourierTransform,
    RadonTransform,
    SlidingWindows,
    StructureTensor,
    apply,
    sliding_fft,
    sliding_transform,
    windows_for,
)
from tusi.structure.unmixing import (
    BayesianUnmixing,
    FeatureNoise,
    IndependentComponents,
    LinearMixture,
    NonNegativeMatrix,
    PrincipalComponents,
    SimplexVertices,
    constrained_abundances,
    filter_image,
    find_vertices,
    unmix,
    unmix_bayesian,
    unmix_image,
)
from tusi.structure.unmixing.image import MIXING
from tusi.structure.unmixing.posterior import shortest_interval
from tusi.structure.unmixing.tiles import measure_spots
from tusi.study.files import CLASSES


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- sliding transforms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [2**23, 8 * 8 * 12 * 5])
def test_spectra_are_those_of_each_window(monkeypatch, block_bytes):
    """Not square, neither image nor windows nor steps; in one block and in many."""
    monkeypatch.setattr(apply, "BLOCK_BYTES", block_bytes)
    image, windows = rng().standard_normal((31, 50)) + 7.0, SlidingWindows(size=(8, 12), step=(3, 5))
    found = sliding_fft(make_grid(image, pixel_size=0.5), windows, part="complex")
    assert found.dims == ("y", "x", "ky", "kx")
    assert found.shape == (8, 8, 8, 12)
    assert float(found.y[2]) == 0.5 * (6 + 3.5)
    assert float(found.x[3]) == 0.5 * (15 + 5.5)
    assert (float(found.ky[0]), float(found.kx[0])) == (-1.0, -1.0)
    weight = np.outer(np.sin(np.pi * np.arange(8) / 8) ** 2, np.sin(np.pi * np.arange(12) / 12) ** 2)
    values = found.values
    for i, j in itertools.product(range(8), range(8)):
        patch = image[3 * i : 3 * i + 8, 5 * j : 5 * j + 12]
        faded = (patch - (patch * weight).sum() / weight.sum()) * weight
        assert np.allclose(values[i, j], np.fft.fftshift(np.fft.fft2(faded)))


def test_amplitude_and_power_belong_to_the_complex_transform():
    grid, windows = make_grid(rng().standard_normal((20, 30))), SlidingWindows(size=10)
    whole = sliding_fft(grid, windows, part="complex").values
    assert np.allclose(sliding_fft(grid, windows).values, np.abs(whole))
    assert np.allclose(sliding_fft(grid, windows, part="power").values, np.abs(whole) ** 2)


def test_amplitude_of_a_crystal_does_not_change_with_the_window():
    y, x = np.mgrid[:60, :90]
    image = np.cos(2 * np.pi * (y / 6.3 + x / 9.1)) + 0.5 * np.cos(2 * np.pi * x / 3.7) + 4.0
    spectra = sliding_fft(make_grid(image), SlidingWindows(size=(30, 40), step=1)).values
    strong = spectra.mean(axis=(0, 1)) > 0.3 * spectra.max()
    assert spectra[..., strong].std(axis=(0, 1)).max() < 0.01 * spectra.max()


def test_transforms_are_lazy_and_the_same_for_dask():
    image, windows = rng().standard_normal((40, 56)), SlidingWindows(size=16, step=8)
    plain = sliding_fft(make_grid(image), windows)
    assert isinstance(plain.data, da.Array)
    lazy = make_grid(image).copy(data=da.from_array(image, chunks=(13, 17)))
    assert np.array_equal(sliding_fft(lazy, windows).values, plain.values)


def test_radon_transform_finds_the_direction_of_stripes():
    y, x = np.mgrid[:48, :48]
    for angle in (0.0, 40.0, 115.0):
        slope = np.deg2rad(angle)
        stripes = np.cos(2 * np.pi * (y * np.cos(slope) - x * np.sin(slope)) / 6.0)
        found = sliding_transform(make_grid(stripes), SlidingWindows(size=24), transform=RadonTransform(n_angles=36))
        strength = found.std("offset").values
        assert (found.angle.values[strength.argmax(axis=-1)] == angle).all()


def test_structure_tensor_and_own_function():
    y, x = np.mgrid[:24, :32]
    found = sliding_transform(make_grid(2.0 * y + 1.0 * x), SlidingWindows(size=8), transform=StructureTensor())
    assert np.allclose(found.values, [4.0, 2.0, 1.0])
    grid = make_grid(rng().standard_normal((24, 32)))
    own = sliding_transform(grid, SlidingWindows(size=8), transform=lambda patches: patches[:, ::4, 0])
    assert own.dims == ("y", "x", "feature_0")
    with pytest.raises(InputError, match="`transform`: expected a function that returns a row for each"):
        sliding_transform(grid, SlidingWindows(size=8), transform=lambda patches: np.zeros(3))
    with pytest.raises(InputError, match="`transform`: expected a Transform or a function"):
        sliding_transform(grid, SlidingWindows(size=8), transform=3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("choice", "said"),
    [({"size": 2}, "`size`: expected at least 4"), ({"step": 0}, "`step`: expected at least 1"),
     ({"taper": "soft"}, "`taper`: expected a name of a window function"), ({"size": (8,)}, "`size`: expected one"),
     ({"size": 8.5}, "`size`: expected one or two whole numbers")],
)  # fmt: skip
def test_windows_refuse_what_cannot_be(choice, said):
    with pytest.raises(InputError, match=said):
        SlidingWindows(**choice)


def test_images_are_checked():
    with pytest.raises(InputError, match="`size`: expected windows inside the image of 20 x 30"):
        sliding_fft(make_grid(np.zeros((20, 30))), SlidingWindows(size=24))
    with pytest.raises(InputError, match=r"`grid`: expected one image"):
        sliding_fft(make_grid(np.zeros((20, 30))).isel(y=0))
    with pytest.raises(InputError, match="`part`: expected one of"):
        FourierTransform(part="real")
    assert windows_for(make_grid(np.zeros((128, 128)))).shape == (24, 24)


def test_shared_power_counts_how_noise_repeats():
    """Var of the mean power of white noise over windows, against that of independent ones."""
    windows, means, single = SlidingWindows(size=16, step=4), [], []
    for seed in range(60):
        power = sliding_fft(make_grid(rng(seed).standard_normal((64, 64))), windows, part="power").values[..., 4, 11]
        means.append(power.mean())
        single.append(power.var())
    n = 13 * 13
    found = np.var(means) * n / np.mean(single)
    assert 0.5 < found / windows.shared_power < 1.2


def test_interface_shares_are_those_of_random_straight_interfaces():
    windows, source = SlidingWindows(size=(16, 24)), rng(4)
    y, x = np.indices(windows.shape)
    squared = windows.weight**2 / (windows.weight**2).sum()
    shares = []
    while len(shares) < 9000:
        angle, place = source.uniform(0, np.pi), source.uniform(-20, 30)
        below = y * np.cos(angle) + x * np.sin(angle) < place
        if below.any() and not below.all():
            shares.append(squared[below].sum())
    either = np.concatenate([shares, 1.0 - np.array(shares)])
    expected = np.quantile(either, np.linspace(0, 1, 17))[1:-1]
    assert np.allclose(windows.interface_shares[1:-1], expected, atol=0.03)
    assert np.diff(windows.interface_shares).min() > 0


# ---- components ----------------------------------------------------------------------------------------------------


def mixed_data(n=400, noise=0.0, seed=0):
    source = rng(seed)
    members = np.abs(source.standard_normal((3, 12))) + 0.2
    abundance = source.dirichlet(np.ones(3), n)
    return abundance @ members + noise * source.standard_normal((n, 12)), members, abundance


def test_principal_components_are_those_of_the_covariance():
    data, _, _ = mixed_data(noise=0.1)
    found = unmix(data, PrincipalComponents(n_components=2), rng=rng())
    value = np.linalg.eigvalsh(np.cov(data.T, bias=True))[::-1]
    assert np.allclose(found.abundance.var(axis=0), value[:2])
    assert found.explained == pytest.approx(value[:2].sum() / value.sum())
    assert isinstance(LinearMixture.from_xarray(found.to_xarray()), LinearMixture)


def test_non_negative_matrices_are_recovered():
    """Each component is alone in some feature and some row, so that the solution is unique."""
    source = rng(1)
    component = np.abs(source.standard_normal((3, 15))) * np.repeat(np.eye(3), 5, axis=1) + np.eye(3, 15)
    weight = np.vstack([source.dirichlet(np.full(3, 0.5), 150), np.eye(3)])
    found = unmix(weight @ component, NonNegativeMatrix(n_components=3), rng=source)
    assert found.explained > 0.9999
    assert (found.component >= 0).all()
    unit = component / np.linalg.norm(component, axis=1, keepdims=True)
    assert (found.component @ unit.T).max(axis=0).min() > 0.999
    with pytest.raises(InputError, match="`data`: expected no negative values"):
        unmix(-component, NonNegativeMatrix(n_components=2), rng=source)


def test_independent_sources_are_recovered():
    source = rng(2)
    signals = np.column_stack([source.uniform(-1, 1, 3000), source.laplace(size=3000), source.choice([-1, 1], 3000)])
    found = unmix(signals @ source.standard_normal((3, 6)), IndependentComponents(n_components=3), rng=source)
    matched = np.abs(np.corrcoef(signals.T, found.abundance.T)[:3, 3:])
    assert matched.max(axis=1).min() > 0.99
    with pytest.raises(ConvergenceError, match="still turn after 1 steps") as stopped:
        unmix(signals, IndependentComponents(n_components=3, n_steps=1), rng=source)
    assert stopped.value.result.component.shape == (3, 3)
    with pytest.raises(InputError, match="`n_components`: expected no more components than the data have"):
        unmix(signals[:, :1] * np.ones(3), IndependentComponents(n_components=2), rng=source)


def test_n_findr_finds_the_largest_simplex_by_enumeration():
    for seed in range(3):
        data = rng(seed).standard_normal((25, 2))
        chosen = find_vertices(data, 3)

        def volume(rows, data=data):
            return abs(np.linalg.det(np.column_stack([np.ones(3), data[list(rows)]])))

        best = max(volume(rows) for rows in itertools.combinations(range(25), 3))
        assert volume(chosen) >= 0.9 * best
        for k, other in itertools.product(range(3), range(25)):  # no single replacement makes it larger
            assert volume([other if i == k else one for i, one in enumerate(chosen)]) <= volume(chosen) * (1 + 1e-9)
    data, _, _ = mixed_data()
    pure = np.vstack([data, mixed_data()[1]])
    assert sorted(find_vertices(pure, 3).tolist()) == [400, 401, 402]
    assert unmix(pure, SimplexVertices(n_components=3), rng=rng()).explained > 1 - 1e-9


def test_constrained_abundances_meet_the_conditions_of_optimality():
    source = rng(3)
    members = source.standard_normal((5, 20))
    data = source.dirichlet(np.full(5, 0.4), 300) @ members + 0.7 * source.standard_normal((300, 20))
    variance = source.uniform(0.5, 2.0, data.shape)
    for given in (None, variance[0], variance):
        found = constrained_abundances(data, members, variance=given)
        assert found.min() >= 0
        assert np.allclose(found.sum(axis=1), 1)
        gradient = ((found @ members - data) / (1.0 if given is None else given)) @ members.T
        level = (gradient * found).sum(axis=1, keepdims=True)
        assert (gradient - level).min() > -1e-8
    assert 0.1 < (found == 0).mean() < 0.6


# ---- Bayesian unmixing ---------------------------------------------------------------------------------------------


def test_shortest_intervals_hold_their_probability():
    centre, spread = np.array([0.5, 0.02, 1.3, -4.0, 0.5]), np.array([0.05, 0.1, 0.2, 0.3, 3.0])
    grid = np.linspace(0, 1, 200_001)
    for mean, width, (low, high) in zip(centre, spread, shortest_interval(centre, spread, level=0.9), strict=True):
        log_density = -0.5 * ((grid - mean) / width) ** 2
        density = np.exp(log_density - log_density.max())
        inside = (grid >= low) & (grid <= high)
        assert density[inside].sum() / density.sum() == pytest.approx(0.9, abs=2e-3)
        assert density[inside].min() >= density[~inside].max() * 0.98


@pytest.mark.parametrize("kind", ["pure", "mixed"])
def test_intervals_cover(kind):
    source = rng(5)
    members, n = source.random((3, 12)), 900
    pure = np.eye(3)[np.arange(n) % 3]
    truth = pure if kind == "pure" else np.vstack([pure[:300], source.dirichlet(np.ones(3), n - 300)])
    data = truth @ members + 0.03 * source.standard_normal((n, 12))
    found = unmix_bayesian(data, rng=source, settings=BayesianUnmixing(numbers=(3,)))
    order = min(itertools.permutations(range(3)), key=lambda p: ((found.abundance[:, p] - truth) ** 2).sum())
    rows = slice(None) if kind == "pure" else slice(300, None)
    low, high = found.low[rows][:, order], found.high[rows][:, order]
    assert 0.87 < ((low <= truth[rows]) & (truth[rows] <= high)).mean() < 0.94
    assert np.allclose(found.abundance.sum(axis=1), 1)
    if kind == "pure":
        assert np.sqrt(found.noise_factor.mean()) == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize("n_phases", [1, 3])
def test_evidence_counts_end_members(n_phases):
    source = rng(10 + n_phases)
    members = source.random((n_phases, 10))
    labels = source.integers(n_phases, size=250)
    share = np.where(source.random(250) < 0.2, source.random(250), 1.0)[:, None]
    truth = share * np.eye(n_phases)[labels] + (1 - share) * np.eye(n_phases)[source.integers(n_phases, size=250)]
    found = unmix_bayesian(truth @ members + 0.05 * source.standard_normal((250, 10)), rng=source)
    assert found.n_end_members == n_phases
    assert found.number_probability.sum() == pytest.approx(1)
    assert found.inside.max() == n_phases - 1


def test_traces_of_another_end_member_do_not_move_one():
    """Half of the windows hold a share below what one window resolves: a mean of them all would be off."""
    source = rng(12)
    members = np.array([[4.0, 1.0, 0.0, 2.0], [0.0, 1.0, 3.0, 2.0]])
    trace = np.where(source.random(400) < 0.5, 0.0, source.random(400) ** 4)
    own = np.arange(400) % 2
    truth = (1 - trace)[:, None] * np.eye(2)[own] + trace[:, None] * np.eye(2)[1 - own]
    data = truth @ members + 0.1 * source.standard_normal((400, 4))
    even, shares = (
        np.array([0.0, 1.0]),
        np.concatenate([np.linspace(0, 1, 9) ** 4 / 2, 1 - np.linspace(0, 1, 9)[-2::-1] ** 4 / 2]),
    )
    miss = []
    for expected in (even, shares):
        found = unmix_bayesian(data, rng=rng(), settings=BayesianUnmixing(numbers=(2,)), edge_shares=expected)
        order = np.argsort(-found.end_member[:, 0])
        miss.append((found.end_member[order] - members)[:, [0, 2]] @ np.array([1.0, -1.0]))
    assert (np.abs(miss[1]) < 0.6 * np.abs(miss[0])).all()


def test_a_strange_window_is_unexplained_and_no_end_member():
    source = rng(6)
    data = np.eye(2)[np.arange(100) % 2] @ source.random((2, 8)) + 0.02 * source.standard_normal((100, 8))
    data[17] += source.standard_normal(8)
    found = unmix_bayesian(data, rng=source)
    assert found.n_end_members == 2
    assert found.unexplained.nonzero()[0].tolist() == [17]


def test_scale_of_the_data_does_not_matter():
    data, _, _ = mixed_data(noise=0.05)
    data[:60] = data[0]
    data[:60] += 0.05 * rng().standard_normal((60, 12))
    small, large = (
        unmix_bayesian(scale * data, rng=rng(), settings=BayesianUnmixing(numbers=(2,))) for scale in (1.0, 1e6)
    )
    assert np.allclose(small.abundance, large.abundance, atol=1e-6)
    assert np.allclose(1e6 * small.end_member, large.end_member)


@pytest.mark.parametrize(
    ("data", "said"),
    [(np.full((20, 3), np.nan), "`data`: expected finite values"), (np.zeros(5), "`data`: expected a row for each"),
     (np.zeros((4, 3)), "`data`: expected at least 8 windows")],
)  # fmt: skip
def test_unmixing_refuses_bad_data(data, said):
    with pytest.raises(InputError, match=said):
        unmix_bayesian(data, rng=rng())


def test_choices_are_checked():
    with pytest.raises(InputError, match="`numbers`: expected rising numbers from 1"):
        BayesianUnmixing(numbers=(2, 1))
    with pytest.raises(InputError, match="`level`: expected a probability"):
        BayesianUnmixing(level=1.0)
    with pytest.raises(InputError, match="`noise`: expected noise of data of shape"):
        unmix_bayesian(rng().random((20, 3)), rng=rng(), noise=FeatureNoise.uniform((10, 3)))
    with pytest.raises(InputError, match="`numbers`: expected at most 10"):
        unmix_bayesian(rng().random((20, 3)), rng=rng(), settings=BayesianUnmixing(numbers=(40,)))
    with pytest.raises(InputError, match="`edge_shares`: expected quantiles that rise from 0 to 1"):
        unmix_bayesian(rng().random((20, 3)), rng=rng(), edge_shares=np.array([0.0, 0.5]))
    with pytest.raises(InputError, match="`n_components`: expected 1 to 4"):
        find_vertices(np.zeros((30, 3)), 5)
    with pytest.raises(InputError, match="`end_members`: expected rows like those of the data"):
        constrained_abundances(np.zeros((3, 4)), np.zeros((2, 5)))


# ---- images --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_grains():
    y, x = np.mgrid[:144, :192]
    image = np.where(x < 96, np.cos(2 * np.pi * (x + 0.3 * y) / 6.0), np.cos(2 * np.pi * y / 5.0))
    grid = make_grid(image + 0.5 * rng(7).standard_normal(image.shape), pixel_size=0.2)
    return grid, unmix_image(grid, rng=rng(8), windows=SlidingWindows(size=32, step=16))


def test_two_grains_are_found(two_grains, tmp_path):
    grid, found = two_grains
    assert found.mixture.n_end_members == 2
    maps = found.maps()
    assert isinstance(maps, xr.Dataset)
    inside = maps.inside.values
    left, right = inside[:, :5], inside[:, 6:]
    assert (left == left[0, 0]).mean() > 0.9
    assert (right == right[0, -1]).mean() > 0.9
    assert (inside[:, 5] < 0).all()
    assert np.allclose(maps.abundance.sel(x=maps.x[5]), 0.5, atol=0.15)
    assert found.noise_deviation == pytest.approx(0.5, rel=0.05)
    table = found.descriptors()
    assert table.length_unit == "angstrom"
    assert table.names == ("abundance_1", "abundance_2")
    write_unmixing(found, grid, out=tmp_path / "found.h5")
    again = storage.load(tmp_path / "found.h5", classes=CLASSES)
    assert np.array_equal(again.mixture.abundance, found.mixture.abundance)
    assert again.windows == found.windows
    assert summary_of(again) == summary_of(found)


def test_filtered_images_show_their_own_grain(two_grains):
    grid, found = two_grains
    left = int(found.maps().inside.values[0, 0])
    own, other = found.filtered(grid, left).values, found.filtered(grid, 1 - left).values
    assert own.shape == grid.shape
    assert own[:, :80].std() > 5 * own[:, 112:].std()
    assert other[:, 112:].std() > 5 * other[:, :80].std()
    with pytest.raises(InputError, match="`end_member`: expected 0 to 1"):
        found.filtered(grid, 2)
    with pytest.raises(InputError, match="`mask`: expected shape"):
        filter_image(grid, found.windows, mask=np.ones((3, 3)))


def test_errors_of_mixing_fall_with_the_share():
    """Windows without noise over interfaces: squared misses of linear mixing over their stated variance."""
    recipe = PhasesRecipe(phases=(SQUARE_PHASE, HEXAGONAL_PHASE), shape=(288, 288), snr=1e8)
    world, windows = simulate_phases(recipe, rng=rng(11)), SlidingWindows(size=48, step=8)
    power, truth, inside = measure_spots(world.grid, windows).power, world.abundance(windows), world.inside(windows)
    members = np.stack([power[inside == k].mean(axis=0) for k in (0, 1)])
    stated = dataclasses.replace(FeatureNoise.uniform(power.shape), mixing=MIXING).mixing_variance(truth, members)
    less = truth.min(axis=1)
    ratio = [
        float(((power - truth @ members)[rows] ** 2 / stated[rows]).mean())
        for rows in ((less > 1e-4) & (less < 1e-3), less > 0.1)
    ]
    assert 0.03 < min(ratio) < max(ratio) < 1.5
    assert max(ratio) < 4 * min(ratio)


def test_noise_of_counts_follows_the_brightness():
    y, x = np.mgrid[:192, :192]
    mean = (20 + 160 * x / 192) * (1 + 0.5 * np.cos(2 * np.pi * y / 6))
    found = measure_spots(make_grid(rng(9).poisson(mean).astype(float)), SlidingWindows(size=24))
    scale = found.noise_scale.reshape(15, 15).mean(axis=0)
    expected = 20 + 160 * (12 + 12 * np.arange(15)) / 192
    assert np.allclose(scale / scale.mean(), expected / expected.mean(), rtol=0.12)


def test_images_without_spots_are_refused():
    with pytest.raises(InputError, match="`grid`: expected an image with periodic structure"):
        unmix_image(make_grid(rng(3).standard_normal((128, 128))), rng=rng(), windows=SlidingWindows(size=32))
    with pytest.raises(InputError, match="`grid`: expected finite values"):
        unmix_image(make_grid(np.full((64, 64), np.nan)), rng=rng())
    with pytest.raises(InputError, match="`grid`: expected an image with contrast"):
        unmix_image(make_grid(np.ones((96, 96))), rng=rng())


def test_pictures_fit_the_shape_of_the_image(two_grains):
    grid, found = two_grains
    wide = grid.isel(y=slice(0, 40))
    (_, tall_height), (_, wide_height) = (size_of_unmixing(found, grid=one) for one in (grid, wide))
    assert wide_height != tall_height
    for one in (grid, wide):
        figure = draw_unmixing(new_figure(*size_of_unmixing(found, grid=one)), found, grid=one)
        titles = [axes.get_title() for axes in figure.axes]
        assert sum(title.startswith("what phase") for title in titles) == 2


def test_the_command_writes_what_was_asked_for(two_grains, tmp_path, monkeypatch, capsys):
    grid, found = two_grains
    monkeypatch.setenv("COLUMNS", "200")
    np.save(tmp_path / "grains.npy", grid.values)
    for name in ("phases.json", "phases.nc", "phases.png"):
        unmix_command(str(tmp_path / "grains.npy"), window=32, pixel_size=0.2, out=tmp_path / name)
    said = capsys.readouterr().out
    assert "2 phases (probability 1 among 1 to" in said
    summary = json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))
    assert summary["n_phases"] == 2
    assert sum(summary["windows_inside"]) + summary["windows_mixed"] + summary["windows_unexplained"] == 88
    maps = xr.load_dataset(tmp_path / "phases.nc", engine="h5netcdf")
    assert maps.abundance.shape == (*found.shape, 2)
    assert (tmp_path / "phases.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="`out`: expected a name ending in"):
        unmix_command(str(tmp_path / "grains.npy"), out=tmp_path / "phases.txt")
