"""DirectLiNGAM: order, knowledge, errors, units, and what it declines to say."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from tusi.causal import CausalTable, Knowledge
from tusi.causal.bootstrap import BlockBootstrap, bootstrap_graph
from tusi.causal.functional import DirectLingam, gaussianity
from tusi.causal.functional.deconvolution import Sources, deconvolved
from tusi.causal.functional.direction import likelihood_ratios, preference_p_value
from tusi.causal.functional.order import causal_order
from tusi.datasets.causal_fields import FieldRecipe, Tail, linear_fields, random_field
from tusi.datasets.causal_noise import measured
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Layout

CHAIN = np.array([[0, 0.8, 0], [0, 0, -0.7], [0, 0, 0]])
NAMES = ("strain", "angle", "charge")


def chain(tail: Tail = "laplace", seed=0, shape=(32, 32), smoothing=0.0):
    recipe = FieldRecipe(shape=shape, tail=tail, smoothing=smoothing, periodic=False)
    return linear_fields(CHAIN, recipe, rng=np.random.default_rng(seed), names=NAMES)


def test_chain_with_its_coefficients():
    found = DirectLingam().find(chain(shape=(64, 64)))
    assert found.order == NAMES
    assert np.abs(found.coefficient - CHAIN).max() < 4 * np.nanmax(found.coefficient_error)
    assert np.array_equal(found.decided, CHAIN != 0)
    assert found.disturbance.shape == (4096, 3)


def test_units_and_order_of_columns_decide_nothing():
    table = chain()
    scale = np.array([1e-6, 40.0, 1e3])
    found = DirectLingam().find(table)
    scaled = DirectLingam().find(table.replace_values(table.value * scale + 5.0))
    assert scaled.order == found.order
    assert np.allclose(scaled.coefficient, found.coefficient * scale[None, :] / scale[:, None])
    turned = DirectLingam().find(table.select(NAMES[::-1]))
    assert turned.order == found.order
    assert np.allclose(turned.effect[::-1, ::-1], found.effect)


def test_gaussian_data_are_not_identifiable():
    found = DirectLingam().find(chain("normal", seed=3))
    assert not found.identifiable
    assert not found.decided.any()
    assert not found.graph.arrow.any()
    assert found.graph.undecided.any()
    assert "Not identifiable" in found.graph.notes[1]


def test_knowledge_decides_where_data_cannot():
    table = chain("normal", seed=3)
    found = DirectLingam().find(table, knowledge=Knowledge(tiers=(("strain",), ("angle",), ("charge",))))
    assert np.array_equal(found.decided, CHAIN != 0)
    assert found.order == NAMES


def test_knowledge_overrules_data():
    known = Knowledge(tiers=(("charge",), ("angle",)), forbidden=(("angle", "strain"),))
    found = DirectLingam().find(chain(), knowledge=known)
    assert found.order.index("charge") < found.order.index("angle")
    assert found.coefficient[1, 0] == found.coefficient[1, 2] == 0
    weak = DirectLingam().find(chain(), knowledge=Knowledge(required=(("strain", "charge"),)))
    assert weak.coefficient[0, 2] != 0
    with pytest.raises(InputError, match="without a cycle"):
        DirectLingam().find(chain(), knowledge=Knowledge(required=(("strain", "angle"), ("angle", "strain"))))


def test_known_errors_leave_coefficients_as_they_are():
    rng = np.random.default_rng(5)
    noisy = measured(chain(shape=(64, 64)), {"strain": 0.5, "angle": 0.5}, rng=rng)
    known = Knowledge(tiers=tuple((name,) for name in NAMES))
    found = DirectLingam().find(noisy, knowledge=known)
    assert np.abs(found.coefficient - CHAIN).max() < 0.12
    unknown = dataclasses.replace(noisy, error_covariance=np.zeros_like(noisy.error_covariance))
    assert DirectLingam().find(unknown, knowledge=known).coefficient[0, 1] < 0.7


SHAPES = {
    "laplace": lambda rng, n: rng.laplace(size=(2, n)) / np.sqrt(2),
    "uniform": lambda rng, n: rng.uniform(-1, 1, (2, n)) * np.sqrt(3),
    "skewed": lambda rng, n: rng.exponential(size=(2, n)) - 1,
}


def noisy_pair(shape, n_rows, rng, noise=0.7):
    """A cause that is measured with error, and its effect; the covariance of their errors; standardised."""
    cause, disturbance = SHAPES[shape](rng, n_rows)
    value = np.stack([cause + noise * rng.standard_normal(n_rows), 0.8 * cause + 0.3 * disturbance])
    value -= value.mean(axis=1, keepdims=True)
    scale = value.std(axis=1)
    return value / scale[:, None], np.diag([noise**2, 0.0]) / np.outer(scale, scale)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_known_errors_do_not_turn_likelihood_ratios_round(shape):
    value, error = noisy_pair(shape, 8000, np.random.default_rng(6))
    plain, behind = likelihood_ratios(value, np.zeros((2, 2))), likelihood_ratios(value, error)
    assert behind[0, 1] == -behind[1, 0]
    assert behind[0, 1] > 0.001
    assert plain[0, 1] < behind[0, 1] - 0.001
    p_values = [preference_p_value(value[way], error[way][:, way], block=np.arange(8000) // 320)
                for way in ([0, 1], [1, 0])]  # fmt: skip
    assert p_values[0] < 0.05
    assert sum(p_values) == pytest.approx(1)


def test_likelihood_of_sources_behind_errors_grows_to_that_of_the_true_ones():
    rng = np.random.default_rng(8)
    true = Sources(share=np.array([[0.5, 0.5], [0.9, 0.1]]), mean=np.array([[-1.0, 1.0], [0.0, 0.0]]),
                   variance=np.array([[0.1, 0.1], [0.2, 3.0]]))  # fmt: skip
    error = np.array([[0.3, -0.2], [-0.2, 0.4]])
    parts = np.stack([rng.random(4000) < share for share in true.share[:, 1]]).astype(int)
    exact = np.stack([rng.normal(true.mean[k, own], np.sqrt(true.variance[k, own])) for k, own in enumerate(parts)])
    value = exact + rng.multivariate_normal([0, 0], error, 4000).T
    found = deconvolved(value, error)
    better = found.improved(value, error, count=np.ones(4000))
    assert better.log_density(value, error).mean() >= found.log_density(value, error).mean()
    assert found.log_density(value, error).mean() > true.log_density(value, error).mean() - 0.002
    grid = np.stack(np.meshgrid(*[np.linspace(-12, 12, 241)] * 2)).reshape(2, -1)
    assert np.exp(true.log_density(grid, error)).sum() * 0.01 == pytest.approx(1, abs=1e-6)


def test_likelihood_ratios_are_antisymmetric_and_see_uniform_causes():
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, 5000)
    value = np.stack([x, x + rng.uniform(-1, 1, 5000)])
    standard = (value - value.mean(axis=1, keepdims=True)) / value.std(axis=1, keepdims=True)
    ratio = likelihood_ratios(standard, np.zeros((2, 2)))
    assert ratio[0, 1] == -ratio[1, 0] > 0


def test_order_follows_tiers_through_others():
    allowed = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    order = causal_order(np.random.default_rng(8).standard_normal((3, 100)), np.zeros((3, 3)), allowed=allowed)
    assert order == (2, 1, 0)


def test_gaussianity_keeps_its_level_on_smooth_fields():
    recipe, layout = FieldRecipe(shape=(40, 40), smoothing=2.0, periodic=False), Layout.grid((40, 40))
    rng = np.random.default_rng(9)
    p_values = [gaussianity(random_field(recipe, rng=rng).ravel(), layout=layout) for _ in range(150)]
    assert np.mean(np.array(p_values) < 0.05) < 0.12
    rows = np.array([random_field(recipe, rng=rng).ravel() for _ in range(60)])
    assert np.mean([stats.normaltest(one).pvalue < 0.05 for one in rows]) > 0.4


def test_gaussianity_says_nothing_of_constants_and_few_samples():
    assert gaussianity(np.ones(64), layout=Layout.grid((8, 8))) == 1
    assert gaussianity(np.random.default_rng(0).laplace(size=9), layout=Layout.grid((3, 3))) == 1


def test_agrees_with_published_normality_test_on_independent_rows():
    value = np.random.default_rng(10).gamma(20.0, size=3000)
    ours = gaussianity(value, layout=Layout.grid((50, 60)))
    assert np.log(ours) == pytest.approx(np.log(stats.normaltest(value).pvalue), rel=0.15)


def test_bootstrap_gives_probabilities():
    plan = BlockBootstrap(n_resamples=6)
    graph = bootstrap_graph(chain(), DirectLingam().graph_of, rng=np.random.default_rng(11), bootstrap=plan)
    assert graph.arrow[0, 1] > 0.6
    assert graph.arrow[1, 0] == 0
    assert len(graph.notes) == 1


def test_detrending_keeps_coefficients():
    found = DirectLingam(detrending=AdaptiveHighPass()).find(chain(shape=(64, 64), smoothing=1.0))
    assert abs(found.coefficient[0, 1] - 0.8) < 0.1


def test_bad_tables_are_named():
    layout = Layout.grid((4, 4))
    x = np.arange(16.0) ** 2
    with pytest.raises(InputError, match="at least two variables"):
        DirectLingam().find(CausalTable.of({"x": x}, layout=layout))
    with pytest.raises(InputError, match="constant flat"):
        DirectLingam().find(CausalTable.of({"x": x, "flat": np.ones(16)}, layout=layout))
    with pytest.raises(InputError, match="none follows from the others"):
        DirectLingam().find(CausalTable.of({"x": x, "twice": 2 * x}, layout=layout))
    with pytest.raises(InputError, match="probability"):
        DirectLingam(level=2.0)
