"""What equations on a graph say: interventions, counterfactuals, effects and what noise does not survive."""

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.bootstrap import BlockBootstrap
from tusi.causal.structural import (
    Contrast,
    Linear,
    Refuters,
    Spline,
    StructuralModel,
    Structure,
    average_effect,
    diagnose,
    mediation,
    refute,
)
from tusi.causal.structural.disturbance import NoiseCovariance, projected_out
from tusi.causal.structural.intervals import effects_of_draws
from tusi.data import CausalGraph
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_graphs import coefficients_of_standardised
from tusi.datasets.causal_models import tanh_world
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Layout, PairLags, Polynomial

CHAIN = np.array([[0, 0.8, 0.3], [0, 0, 0.5], [0, 0, 0]])
NAMES = ("x", "m", "y")
SMALL = FieldRecipe(shape=(32, 32))


def chain_table(seed=0, recipe=SMALL, **more):
    return linear_fields(CHAIN, recipe, rng=np.random.default_rng(seed), names=NAMES, **more)


def exact_table(n=64):
    """Return x and y = 2 x + 1 without noise."""
    x = np.random.default_rng(1).standard_normal(n)
    return CausalTable.of({"x": x, "y": 2 * x + 1}, layout=Layout.grid((8, n // 8)))


def test_linear_interventions_are_what_algebra_says():
    table = chain_table()
    model = StructuralModel.fit(table, Structure.of(CHAIN != 0, names=NAMES))
    slope = np.zeros((3, 3))
    for j, mechanism in enumerate(model.mechanisms):
        if mechanism is not None:
            slope[CHAIN[:, j] != 0, j] = mechanism.slope
    total = np.linalg.inv(np.eye(3) - slope)[0, 2]
    assert model.do({"x": 2.0}).mean("y") - model.do({"x": -1.0}).mean("y") == pytest.approx(3 * total)
    assert model.do(shift={"x": 1.0}).mean("y") - table.column("y").mean() == pytest.approx(total)
    cut = model.do({"m": 0.0})
    assert cut.column("x") == pytest.approx(table.column("x"))
    assert np.corrcoef(cut.column("x"), table.column("y") - cut.column("y"))[0, 1] > 0.5


def test_a_counterfactual_that_sets_what_happened_changes_nothing():
    for mechanism in (Linear(), Spline()):
        table = chain_table()
        model = StructuralModel.fit(table, Structure.of(CHAIN != 0, names=NAMES, mechanism=mechanism))
        row = np.array([17])
        again = model.counterfactual(row, {"m": float(table.column("m")[17])})
        assert again.value[0] == pytest.approx(table.value[17], abs=1e-12)


def test_counterfactuals_of_the_tanh_world():
    for recipe in (FieldRecipe(), FieldRecipe(periodic=False, tail="student")):
        world = tanh_world(recipe, rng=np.random.default_rng(3))
        names = world.table.names
        arrows = [("cause", "mediator"), ("cause", "outcome"), ("mediator", "outcome")]
        wrong, right = (
            StructuralModel.fit(world.table, Structure.of(arrows, names=names, mechanism=one))
            for one in (Linear(), Spline())
        )
        truth = world.under({"cause": 1.0})["outcome"]
        error = [np.sqrt(np.mean((one.do({"cause": 1.0}).column("outcome") - truth) ** 2)) for one in (wrong, right)]
        assert error[1] <= 0.02 < error[0]
        assert right.do({"cause": 1.0}).mean("outcome") == pytest.approx(truth.mean(), abs=0.01)


def test_units_decide_nothing():
    table = chain_table()
    scale = np.array([1e-6, 1.0, 1e4])
    other = table.replace_values(table.value * scale)
    for mechanism in (Linear(), Spline()):
        structure = Structure.of(CHAIN != 0, names=NAMES, mechanism=mechanism)
        one, same = (StructuralModel.fit(each, structure) for each in (table, other))
        assert same.do({"x": 1e-6}).mean("y") / 1e4 == pytest.approx(one.do({"x": 1.0}).mean("y"), rel=1e-6)
    structure = Structure.of(CHAIN != 0, names=NAMES)
    one, same = (refute(each, structure, rng=np.random.default_rng(0)) for each in (table, other))
    assert [edge.any_pair for edge in one] == [edge.any_pair for edge in same]


def test_noise_on_the_cause_is_allowed_for():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(10_000)
    seen = {"x": x + 0.7 * rng.standard_normal(10_000), "y": 0.5 * x + 0.5 * rng.standard_normal(10_000)}
    layout = Layout.grid((100, 100))
    structure = Structure.of([("x", "y")], names=("x", "y"))
    question = Contrast(cause="x", effect="y", low=0.0, high=1.0)
    known, unknown = (
        average_effect(CausalTable.of(seen, layout=layout, error=error), question, structure=structure, rng=rng)
        for error in ({"x": 0.7}, {})
    )
    assert known.estimate == pytest.approx(0.5, abs=0.03)
    assert unknown.estimate == pytest.approx(0.5 / 1.49, abs=0.03)
    assert known.standard_error > unknown.standard_error


def test_images_have_constants_of_their_own():
    """Slopes within images are not those between images (Simpson)."""
    rng = np.random.default_rng(0)
    layout = Layout.grid((16, 16), n_images=4)
    level = np.repeat([0.0, 1.0, 2.0, 3.0], 256)
    x = level + rng.standard_normal(1024)
    table = CausalTable.of(
        {"x": x, "y": 6 * level - 0.25 * (x - level) + 0.1 * rng.standard_normal(1024)}, layout=layout
    )
    within, pooled = (
        StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y"), intercepts=one))
        for one in ("image", "common")
    )
    assert within.do(shift={"x": 1.0}).mean("y") - table.column("y").mean() == pytest.approx(-0.25, abs=0.02)
    assert pooled.do(shift={"x": 1.0}).mean("y") - table.column("y").mean() > 1.0


@pytest.mark.parametrize("smoothing", [0.0, 2.0])
def test_intervals_are_as_wide_as_effects_scatter(smoothing):
    recipe = FieldRecipe(shape=(40, 40), smoothing=smoothing)
    structure = Structure.of(CHAIN != 0, names=NAMES)
    question = Contrast(cause="x", effect="y", low=0.0, high=1.0)
    rng = np.random.default_rng(5)
    found = [mediation(chain_table(k, recipe), question, structure=structure, rng=rng) for k in range(60)]
    for part, truth in (("total", 0.7), ("direct", 0.3), ("indirect", 0.4)):
        effects = [getattr(one, part) for one in found]
        assert np.mean([one.interval[0] < truth < one.interval[1] for one in effects]) >= 0.86
        stated = np.sqrt(np.mean([one.standard_error**2 for one in effects]))
        assert stated / np.std([one.estimate for one in effects]) == pytest.approx(1.0, abs=0.3)


def test_blocks_and_autocovariances_agree_on_rough_fields():
    table = chain_table(2)
    structure = Structure.of(CHAIN != 0, names=NAMES)
    question = Contrast(cause="x", effect="y", low=0.0, high=1.0)
    plans = (None, BlockBootstrap(n_resamples=100))
    one, other = (
        average_effect(table, question, structure=structure, rng=np.random.default_rng(0), bootstrap=plan)
        for plan in plans
    )
    assert other.estimate == pytest.approx(one.estimate)
    assert other.standard_error / one.standard_error == pytest.approx(1.0, abs=0.3)


def test_parts_of_a_nonlinear_effect():
    """Held mediators leave the direct tanh alone."""
    world = tanh_world(FieldRecipe(shape=(48, 48)), rng=np.random.default_rng(0))
    arrows = [("cause", "mediator"), ("cause", "outcome"), ("mediator", "outcome")]
    structure = Structure.of(arrows, names=world.table.names, mechanism=Spline())
    question = Contrast(cause="cause", effect="outcome", low=-1.0, high=1.0)
    found = mediation(
        world.table, question, structure=structure, rng=np.random.default_rng(1),
        bootstrap=BlockBootstrap(n_resamples=20),
    )  # fmt: skip
    assert found.direct.estimate == pytest.approx(0.2 * np.tanh(1.0), abs=0.02)
    assert found.direct.estimate + found.indirect.estimate == pytest.approx(found.total.estimate)
    assert "by way of mediator" in str(found)


def test_wrong_forms_are_seen_in_the_noise():
    x, e = np.random.default_rng(0).standard_normal((2, 1600))
    table = CausalTable.of({"x": x, "y": x**2 + x + e}, layout=Layout.grid((40, 40)))
    linear, smooth = (
        diagnose(
            StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y"), mechanism=one)),
            rng=np.random.default_rng(1),
        )[0]
        for one in (Linear(), Spline())
    )
    assert linear.p_value < 0.001
    assert "try `Spline()`" in str(linear)
    assert smooth.p_value > 0.05
    assert smooth.explained == pytest.approx(0.75, abs=0.05)


def test_noise_does_not_survive_and_effects_do():
    rng = np.random.default_rng(0)
    recipe = FieldRecipe(shape=(10, 29))
    noise = linear_fields(np.zeros((8, 8)), recipe, rng=rng)
    every = Structure.of(np.triu(np.ones((8, 8), dtype=bool), 1), names=noise.names)
    assert sum(one.survived for one in refute(noise, every, rng=rng, refuters=Refuters(n_surrogates=99))) <= 2
    effect = coefficients_of_standardised(np.diag([0.5] * 2, 1))
    table = linear_fields(effect, recipe, rng=rng)
    found = refute(table, Structure.of(effect != 0, names=table.names), rng=rng)
    assert all(one.survived for one in found)
    assert "survives" in str(found[0])


def test_effects_that_one_half_does_not_have_are_refuted():
    """An effect of opposite sign in two images is none of both."""
    x, e = np.random.default_rng(0).standard_normal((2, 2048))
    sign = np.repeat([1.0, -0.6], 1024)
    table = CausalTable.of({"x": x, "y": 0.8 * sign * x + e}, layout=Layout.grid((32, 32), n_images=2))
    found = refute(table, Structure.of([("x", "y")], names=("x", "y")), rng=np.random.default_rng(1))[0]
    assert found.any_pair <= 0.05
    assert not found.survived
    assert "one half" in str(found)


def test_errors_shared_through_a_noisy_common_cause_do_not_survive():
    """x and y have a common cause that is measured with error: what it leaves is not an effect."""
    rng = np.random.default_rng(0)
    z, ex, ey, error = rng.standard_normal((4, 4096))
    columns = {"z": z + 0.6 * error, "x": z + 0.5 * ex, "y": z + 0.5 * ey}
    structure = Structure.of([("z", "x"), ("z", "y"), ("x", "y")], names=("z", "x", "y"))
    layout = Layout.grid((64, 64))
    known, unknown = (
        refute(CausalTable.of(columns, layout=layout, error=error), structure, rng=rng)[2] for error in ({"z": 0.6}, {})
    )
    assert (known.cause, known.effect) == ("x", "y")
    assert unknown.survived
    assert known.strength < 0.01 < unknown.strength


def test_graphs_become_structures():
    graph = CausalGraph.of_arrows({("x", "m"): 0.9, ("m", "y"): 0.4}, names=NAMES)
    assert Structure.of(graph).edges == (("x", "m"),)
    assert Structure.of(graph, threshold=0.3).edges == (("x", "m"), ("m", "y"))
    either = CausalGraph.of(names=("x", "y"), method="test", arrow=np.array([[0, 0.5], [0.5, 0]]))
    assert Structure.of(either).edges == ()
    undecided = CausalGraph.of(names=("x", "y"), method="test", undecided=np.array([[0, 0.9], [0.9, 0]]))
    structure = Structure.of(undecided)
    assert structure.edges == ()
    assert "x -- y" in structure.notes[0]
    assert "x -- y" in str(StructuralModel.fit(exact_table(), structure))


def test_equations_are_printed():
    model = StructuralModel.fit(chain_table(), Structure.of(CHAIN != 0, names=NAMES, mechanism=Spline()))
    assert [line.split(" = ")[0] for line in model.equations] == list(NAMES)
    assert "f(x)" in model.equations[1]
    far = StructuralModel.fit(exact_table(), Structure.of([("x", "y")], names=("x", "y"))).do({"x": 50.0})
    assert "beyond all that was seen" in far.notes[0]
    assert far.quantile("y", 0.5) == pytest.approx(101.0)


def test_flattened_splines_are_noted():
    exact = exact_table()
    columns = {"x": exact.column("x"), "y": exact.column("y")}
    table = CausalTable.of(columns, layout=exact.layout, error={"x": 0.5})
    model = StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y"), mechanism=Spline()))
    assert "is error" in model.notes[0]


def test_mistakes_are_named():
    with pytest.raises(InputError, match="a circle among x, y"):
        Structure.of([("x", "y"), ("y", "x")], names=("x", "y"))
    with pytest.raises(InputError, match="one of x, y"):
        Structure.of([("x", "z")], names=("x", "y"))
    with pytest.raises(InputError, match="where equations are not linear"):
        Structure.of([("x", "y")], names=("x", "y"), mechanism=Spline(), detrending=AdaptiveHighPass())
    structure = Structure.of([("x", "y")], names=("x", "y"))
    table = exact_table()
    model = StructuralModel.fit(table, structure)
    with pytest.raises(InputError, match="to set or to shift"):
        model.do({})
    with pytest.raises(InputError, match="one of x, y"):
        model.do({"z": 1.0})
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="none that there are"):
        mediation(table, Contrast(cause="x", effect="y"), structure=structure, rng=rng)
    with pytest.raises(InputError, match="at least 16 blocks"):
        average_effect(
            table, Contrast(cause="x", effect="y"), structure=structure, rng=rng, bootstrap=BlockBootstrap(side=4)
        )
    with pytest.raises(InputError, match="both values or none"):
        Contrast(cause="x", effect="y", low=1.0)
    with pytest.raises(InputError, match="p-values at the level"):
        Refuters(n_surrogates=5)
    flat = CausalTable.of(
        {"x": np.repeat([0.0, 1.0], 32), "y": np.arange(64.0)}, layout=Layout.grid((8, 4), n_images=2)
    )
    with pytest.raises(InputError, match="constant x"):
        StructuralModel.fit(flat, structure)
    smooth = Structure.of([("x", "y")], names=("x", "y"), mechanism=Spline(), intercepts="common")
    with pytest.raises(InputError, match="three values"):
        StructuralModel.fit(flat, smooth)


def smooth_covariance(shape, width=1.2):
    """Return the covariance of all pairs of sites, and that at each lag of a padded raster."""
    layout = Layout.grid(shape)
    square = ((layout.cell[:, None] - layout.cell[None]) ** 2).sum(axis=-1)
    lags = PairLags(layout)
    y, x = (np.fft.fftfreq(n, 1 / n) for n in lags.share[0].shape)
    return lags, np.exp(-square / (4 * width**2)), np.exp(-(y[:, None] ** 2 + x**2) / (4 * width**2))


def test_what_a_fit_takes_out_of_lag_sums_is_exact():
    """The same as M C M' written out, for the fit and the mean of the image."""
    lags, full, by_lag = smooth_covariance((7, 9))
    cause = np.random.default_rng(0).standard_normal((63, 2))
    cause -= cause.mean(axis=0)
    kept = np.eye(63) - 1 / 63 - cause @ np.linalg.solve(cause.T @ cause, cause.T)
    noise = NoiseCovariance(lags=lags, covariance=(by_lag,), weight=lags.share)
    taken = noise._taken_out(np.linalg.qr(cause)[0], np.eye(2))[0]
    lost = full - kept @ full @ kept
    for lag in ((0, 0), (0, 1), (2, -3)):
        pairs = (lags.layout.cell[None] - lags.layout.cell[:, None] == lag).all(axis=-1)
        assert taken[lag] == pytest.approx(lost[pairs].sum(), abs=1e-9)


def test_degrees_of_freedom_are_those_of_the_quadratic_form():
    lags, full, by_lag = smooth_covariance((24, 24))
    weights = np.linalg.cholesky(full + 1e-9 * np.eye(576)) @ np.random.default_rng(0).standard_normal((576, 1))
    fade = np.clip(2 - np.hypot(*np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in by_lag.shape])).T / 5.0, 0, 1)
    noise = NoiseCovariance(lags=lags, covariance=(by_lag * fade,), weight=(lags.share[0] * fade,))
    step = lags.layout.cell[:, None] - lags.layout.cell[None]
    sums = lags.sums(weights[:, 0])[0] * noise.weight[0]
    form, covariance = sums[step[..., 0], step[..., 1]], (by_lag * fade)[step[..., 0], step[..., 1]]
    product = form @ covariance
    exact = np.trace(product) ** 2 / np.trace(product @ product)
    assert noise.freedom(weights) == pytest.approx(exact, rel=0.25)
    assert noise.of_sums(weights)[0, 0] == pytest.approx(float(weights[:, 0] @ covariance @ weights[:, 0]))


def test_intervals_behind_known_errors_are_those_of_fieller():
    """Closed form for one slope of independent rows; the interval is skew, and a straight error bar is not."""
    rng = np.random.default_rng(2)
    n = 400
    x, u, e = rng.standard_normal((3, n))
    table = CausalTable.of({"x": x + 1.5 * u, "y": x + 0.3 * e}, layout=Layout.grid((20, 20)), error={"x": 1.5})
    structure = Structure.of([("x", "y")], names=("x", "y"))
    question = Contrast(cause="x", effect="y", low=0.0, high=1.0)
    found = average_effect(table, question, structure=structure, rng=rng)
    seen, effect = (table.value - table.value.mean(axis=0)).T
    square, moment = seen @ seen, seen @ seen - n * 2.25
    product = float(seen @ effect)
    slope = product / moment
    rest = float((effect - slope * seen) @ (effect - slope * seen)) / n - slope**2 * 2.25
    quadratic = np.array([
        moment**2 - 1.96**2 * (2.25 * square + n * 2.25**2), -2 * product * moment, product**2 - 1.96**2 * rest * square
    ])  # fmt: skip
    low, high = np.sort(np.roots(quadratic))
    assert found.estimate == pytest.approx(slope)
    assert found.interval == pytest.approx((low, high), rel=0.06)
    assert high - slope > 1.1 * (slope - low)


def test_outliers_do_not_bend_functions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(900)
    y = np.tanh(x) + 0.1 * rng.standard_normal(900)
    y[::30] += 20.0
    table = CausalTable.of({"x": x, "y": y}, layout=Layout.grid((30, 30)))
    model = StructuralModel.fit(table, Structure.of([("x", "y")], names=("x", "y"), mechanism=Spline()))
    change = model.do({"x": 1.0}).mean("y") - model.do({"x": -1.0}).mean("y")
    assert change == pytest.approx(2 * np.tanh(1.0), abs=0.06)


def test_what_detrending_takes_out_is_found():
    layout = Layout.grid((12, 15), n_images=2)
    basis = projected_out(Polynomial(degree=2), layout, rng=np.random.default_rng(0))
    assert basis.shape == (360, 10)
    assert basis.T @ basis == pytest.approx(np.eye(10), abs=1e-9)
    field = np.random.default_rng(1).standard_normal((360, 1))
    left = Polynomial(degree=2)(field, layout).value
    assert basis.T @ left == pytest.approx(np.zeros((10, 1)), abs=1e-9)
    assert projected_out(None, layout, rng=np.random.default_rng(0)).shape == (360, 0)
    assert projected_out(AdaptiveHighPass(), Layout.grid((32, 32)), rng=np.random.default_rng(0)).shape == (1024, 0)


def test_what_detrending_took_out_of_noise_is_put_back():
    """From the exact mean of the residuals' lag sums to the variance of sums that are free of trends."""
    lags, full, _ = smooth_covariance((20, 20), width=1.5)
    basis = projected_out(Polynomial(degree=4), lags.layout, rng=np.random.default_rng(0))
    kept = np.eye(400) - 1 / 400 - basis @ basis.T
    step = lags.layout.cell[:, None] - lags.layout.cell[None]
    sums = np.zeros(lags.share[0].shape)
    np.add.at(sums, (step[..., 0], step[..., 1]), kept @ full @ kept)
    residual = NoiseCovariance(lags=lags, covariance=(sums * lags.share[0],), weight=lags.share)
    root = np.linalg.cholesky(full + 1e-9 * np.eye(400))
    used = kept @ root @ np.random.default_rng(1).standard_normal((400, 40))
    exact = np.trace(used.T @ full @ used)
    mixtures = np.random.default_rng(2).choice((-1.0, 1.0), size=(14, 8)) / 8**0.5
    corrected = [residual._corrected(basis, used[:, :4], sketch) for sketch in (np.eye(14), mixtures)]
    without, back, sketched = (np.trace(one.of_sums(used)) / exact for one in (residual, *corrected))
    assert without < 0.85
    assert back == pytest.approx(1.0, abs=0.05)
    assert sketched == pytest.approx(back, abs=0.12)


def test_few_resamples_cover_as_much_as_many():
    """A new number falls between two order statistics of as many equal ones with the chance that their ranks say."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((61, 4000))
    found = effects_of_draws(draws[0], draws[1:], level=0.9)
    inside = [one.interval[0] < one.estimate < one.interval[1] for one in found]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.012)
