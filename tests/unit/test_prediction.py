"""Predictions of fitted lattice models: exact averages of small systems, known orders, crossings and fields."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp

from tusi.data import storage
from tusi.errors import InputError
from tusi.execution import Executor, arguments_of, call
from tusi.generative.estimation import Pseudolikelihood, observe
from tusi.generative.lattice import (
    HONEYCOMB,
    SQUARE,
    TRIANGULAR,
    enumerate_states,
    ising,
    lattice_system,
    pair_model,
    periodic_sites,
    potts,
    window_sites,
)
from tusi.generative.montecarlo import Samples
from tusi.generative.prediction import (
    Conditions,
    DiagramPlan,
    FittedModel,
    ForecastPlan,
    Measurement,
    PhaseDiagram,
    SimulatedMean,
    ThermodynamicMean,
    Transition,
    UniformOrder,
    find_order,
    find_transition,
    fit_thermodynamic_process,
    fitted_model,
    leave_one_out,
    observables,
    phase_diagram,
    predict_histogram,
    sample_at,
    structure_factor,
)
from tusi.generative.prediction.mixture import mixture_of
from tusi.generative.prediction.refits import SimulatedImages

SITES = periodic_sites(SQUARE, (3, 4))
MODEL = ising(shells=1)
SYSTEM = lattice_system(MODEL, SITES)
STATES = enumerate_states(SYSTEM)
MEASURED = Measurement(system=SYSTEM, sites=SITES, species=MODEL.species, shells=1)
COLUMNS = MEASURED.columns(STATES.species, STATES.statistics)
QUICK = DiagramPlan(sizes=(4, 6), n_samples=120, n_draws=20, refinement=2, burn_in=30, order=UniformOrder(), shells=1)


def known(model, *value, error=0.0):
    return FittedModel(model=model, value=np.array(value), covariance=np.eye(len(value)) * error**2)


def exact(couplings, ratio=1.0):
    """Return the observables from all states."""
    return MEASURED.derive(STATES.probability(couplings) @ COLUMNS, couplings, np.asarray(ratio))


def drawn(couplings, n, rng):
    """Return independent samples of the small system."""
    number = rng.choice(len(STATES.species), size=(4, n), p=STATES.probability(couplings))
    return Samples(
        statistics=STATES.statistics[number], species=STATES.species[number], final=STATES.species[number[:, -1]],
        acceptance=1.0,
    )  # fmt: skip


def test_observables_follow_their_definitions():
    couplings, ratio = np.array([0.35, 0.1]), 1.7
    probability = STATES.probability(couplings)
    energy = STATES.statistics @ couplings
    mean = probability @ energy
    spin = 2.0 * STATES.species.mean(axis=1) - 1.0
    unlike = 1.0 + (STATES.statistics[:, 0] / 24 - 1.0) / 2.0
    up = probability @ STATES.species.mean(axis=1)
    second, fourth = probability @ spin**2, probability @ spin**4
    expected = [
        ratio * mean / 12,
        probability @ (energy - mean) ** 2 / 12,
        up,
        probability @ np.abs(spin),
        12 * (second - (probability @ np.abs(spin)) ** 2),
        1 - fourth / (3 * second**2),
        1 - probability @ unlike / (2 * up * (1 - up)),
    ]
    assert MEASURED.names[-1] == "short-range order 1"
    np.testing.assert_allclose(exact(couplings, ratio), expected, rtol=1e-9)


def test_standard_errors_match_the_spread_of_repeated_samples():
    couplings = np.array([0.3, 0.05])
    rng = np.random.default_rng(1)
    tables = [observables(drawn(couplings, 100, rng), MEASURED, couplings=couplings) for _ in range(150)]
    pull = np.array([(table.value - exact(couplings)) / table.standard_error for table in tables])
    assert np.all(np.abs(pull.mean(axis=0)) < 0.5)
    assert np.all((pull.std(axis=0) > 0.8) & (pull.std(axis=0) < 1.25))
    value, error = tables[0].of("energy")
    assert abs(value - exact(couplings)[0]) < 5 * error
    with pytest.raises(InputError, match="one of energy, specific heat"):
        tables[0].of("colour")
    with pytest.raises(TypeError, match="by name"):
        tables[0][:1]
    none_kept = dataclasses.replace(drawn(couplings, 5, rng), species=np.zeros((4, 0, 12), dtype=np.int8))
    with pytest.raises(InputError, match="keep_species"):
        observables(none_kept, MEASURED, couplings=couplings)


def test_a_mixture_gives_exact_averages_between_its_nodes():
    rng = np.random.default_rng(2)
    nodes = np.array([[0.1, 0.0], [0.3, 0.1], [0.5, 0.0]])
    samples = [drawn(node, 2000, rng) for node in nodes]
    columns = [MEASURED.columns(s.species.reshape(-1, 12), s.statistics.reshape(-1, 2)) for s in samples]
    mixture = mixture_of(nodes, [s.statistics for s in samples], [c.reshape(4, 2000, -1) for c in columns])
    targets = np.array([[0.2, 0.05], [0.4, 0.05], [0.3, 0.1]])
    mean, size = mixture.averages(targets)
    assert np.all((size[:, 0] > 2000) & (size[:, 0] < 24000))
    np.testing.assert_allclose(size[:, 0], size[:, 1])
    exponent = -targets @ mixture.statistics.T - mixture.log_mixture
    found = logsumexp(exponent, axis=1)
    free = np.array([STATES.log_partition(target) for target in targets])
    np.testing.assert_allclose(found - found[0], free - free[0], atol=0.03)
    repeats = [mixture.averages(targets, multiplicity=w)[0] for w in mixture.multiplicities(60, rng=rng)]
    for target, found, error in zip(targets, mean, np.std(repeats, axis=0), strict=True):
        assert np.all(np.abs(found - STATES.probability(target) @ COLUMNS) < 4.5 * error + 1e-9)
        derived = MEASURED.derive(found, target, np.asarray(1.0))
        np.testing.assert_allclose(derived, exact(target), rtol=0.08, atol=0.01)


def test_errors_between_nodes_hold_those_of_the_free_energies():
    rng, nodes = np.random.default_rng(4), np.linspace(0.05, 0.6, 12)[:, None] * [1.0, 0.0]
    target = np.array([[0.33, 0.0]])
    means, errors = [], []
    for _ in range(80):
        samples = [drawn(node, 30, rng) for node in nodes]
        columns = [MEASURED.columns(s.species.reshape(-1, 12), s.statistics.reshape(-1, 2)) for s in samples]
        mixture = mixture_of(nodes, [s.statistics for s in samples], [c.reshape(4, 30, -1) for c in columns])
        means.append(mixture.averages(target)[0][0, 0])
        repeats = [mixture.averages(target, multiplicity=w)[0][0, 0] for w in mixture.multiplicities(20, rng=rng)]
        errors.append(np.std(repeats, ddof=1))
    assert 0.85 < np.sqrt(np.mean(np.square(errors))) / np.std(means, ddof=1) < 1.45


def test_nodes_that_hardly_overlap_are_balanced_without_divergence():
    rng, nodes = np.random.default_rng(5), np.array([[0.05], [2.0], [6.0], [9.0]])
    each = [rng.normal(centre, 1.0, (4, 50, 1)) for centre in (-20.0, -800.0, -1500.0, -1510.0)]
    mixture = mixture_of(nodes, each, each)
    mean, size = mixture.averages(nodes)
    np.testing.assert_allclose(mean[:2, 0], (-20.0, -800.0), atol=3.0)
    assert np.isfinite(mean).all()
    assert np.all(size[:2, 0] < 201)


def checkerboard(sites):
    return (sites.index[:, :2].sum(axis=1) % 2).astype(np.int8)


def test_orders_are_found_by_their_wave():
    rng = np.random.default_rng(3)
    square, triangular = periodic_sites(SQUARE, (6, 6)), periodic_sites(TRIANGULAR, (6, 6))
    honeycomb = periodic_sites(HONEYCOMB, (6, 6))
    three = ((triangular.index[:, 0] - triangular.index[:, 1]) % 3 == 0).astype(np.int8)
    stripes = (square.index[:, 0] % 2).astype(np.int8)

    def noisy(species, flips=0.1):
        return np.stack([species ^ (rng.random(len(species)) < flips) for _ in range(20)]).astype(np.int8)

    for sites, pattern, name, n_arms in (
        (square, checkerboard(square), "wave (1/2, 1/2)", 1),
        (square, stripes, "wave (1/2, 0)", 2),
        (triangular, three, "wave", 1),
        (honeycomb, honeycomb.index[:, 2].astype(np.int8), "wave (0, 0)", 1),
    ):
        order = find_order(noisy(pattern), sites, n_species=2)
        assert order.name.startswith(name)
        assert len(order.wave_vectors) == n_arms
        clean = order.measure(pattern[None], sites, n_species=2)[0]
        random = order.measure(rng.integers(0, 2, (50, len(sites))), sites, n_species=2).mean()
        assert 0.3 < clean < 1.2
        assert random < 0.4 * clean
        shifted = pattern[sites.find((sites.index + [1, 2, 0]) % [6, 6, 2])]
        np.testing.assert_allclose(order.measure(shifted[None], sites, n_species=2)[0], clean, rtol=1e-6)
    up_down = np.repeat(rng.integers(0, 2, (40, 1)), 36, axis=1).astype(np.int8)
    assert find_order(up_down, square, n_species=2) == UniformOrder()
    assert find_order(up_down ^ noisy(stripes, 0.0)[:1], square, n_species=2, conserved=True).name == "wave (1/2, 0)"
    with pytest.raises(InputError, match="multiples of 2"):
        find_order(noisy(stripes), square, n_species=2).measure(
            np.zeros((1, 25), dtype=np.int8), periodic_sites(SQUARE, (5, 5)), n_species=2
        )
    with pytest.raises(InputError, match="a whole periodic cell"):
        structure_factor(np.zeros((1, 9), dtype=np.int8), window_sites(SQUARE, (3, 3)), n_species=2)


def test_species_that_do_not_order_are_left_out():
    """Spins -1, 0, +1: zeros that outnumber the others are no order."""
    rng, sites = np.random.default_rng(6), periodic_sites(SQUARE, (6, 6))
    sign, zero = rng.integers(0, 2, (80, 1)) * 2, rng.random((80, 36)) < 0.6
    order = find_order(np.where(zero, 1, sign), sites, n_species=3)
    random = np.where(rng.random((400, 36)) < 0.6, 1, 2 * rng.integers(0, 2, (400, 36)))
    assert order.measure(random, sites, n_species=3).mean() < 0.15
    assert order.measure(np.full((1, 36), 2), sites, n_species=3)[0] > 0.9
    equal = np.repeat(rng.integers(0, 3, (200, 1)), 36, axis=1)
    assert find_order(equal, sites, n_species=3) == UniformOrder()


def test_uniform_order_treats_all_species_alike():
    sites = periodic_sites(SQUARE, (3, 3))
    equal = np.arange(9).reshape(1, 9) % 3
    for s in range(3):
        np.testing.assert_allclose(UniformOrder().measure(np.full((1, 9), s), sites, n_species=3), 1.0)
    np.testing.assert_allclose(UniformOrder().measure(equal, sites, n_species=3), 0.0, atol=1e-12)


class BackwardExecutor(Executor):
    """Runs the last item first."""

    def map(self, function, items, *, rng=None, progress=None):
        results = [call(function, arguments) for arguments in arguments_of(items, rng)[::-1]]
        if progress is not None:
            progress(len(items), len(items))
        return results[::-1]


def test_phase_diagrams_cover_exact_values_and_do_not_depend_on_the_executor():
    conditions = Conditions(crystal=SQUARE, temperatures=(600.0, 900.0), reference_temperature=300.0)
    model = ising(field=False)
    fitted = known(model, 0.8, error=0.05)
    plan = dataclasses.replace(QUICK, sizes=(4,), n_samples=800, n_draws=200)
    told = []
    diagram, again = (
        phase_diagram(fitted, conditions=conditions, rng=np.random.default_rng(1), plan=plan, **options)
        for options in ({}, {"executor": BackwardExecutor(), "progress": lambda *done: told.append(done)})
    )
    np.testing.assert_array_equal(diagram.draw_value, again.draw_value)
    assert told
    assert diagram.temperature.tolist() == [600.0, 750.0, 900.0]
    sites = periodic_sites(SQUARE, (4, 4))
    states = enumerate_states(lattice_system(model, sites))
    measured = Measurement(system=lattice_system(model, sites), sites=sites, species=model.species, shells=1)
    columns = measured.columns(states.species, states.statistics)

    def truth(coupling, ratio):
        u = np.array([coupling / ratio])
        return measured.derive(states.probability(u) @ columns, u, np.asarray(ratio))

    for k, ratio in enumerate((2.0, 2.5, 3.0)):
        error = diagram.monte_carlo_error[0, k, 0]
        assert np.all(np.abs(diagram.value[0, k, 0] - truth(0.8, ratio)) < 5 * error + 1e-9)
        ends = np.sort([truth(0.8 - 1.96 * 0.05, ratio), truth(0.8 + 1.96 * 0.05, ratio)], axis=0)
        for j in (0, 3, 5, 6):
            low, high = diagram.band[0, k, 0, j]
            wide = np.hypot(ends[1, j] - ends[0, j], 2 * 1.96 * error[j])
            assert 0.75 < (high - low) / wide < 1.3
    back = PhaseDiagram.from_xarray(diagram.to_xarray())
    np.testing.assert_array_equal(back.band, diagram.band)
    with pytest.raises(TypeError, match="cannot be sliced"):
        diagram[:1]


def test_fields_and_compositions_are_what_was_asked_for():
    rng = np.random.default_rng(5)
    field = Conditions(crystal=SQUARE, temperatures=(1.0, 2.0), field="h", fields=(0.0, 0.4))
    diagram = phase_diagram(known(ising(), 0.1, 0.0), conditions=field, rng=rng, plan=QUICK)
    up = diagram.value[-1, :, :, diagram.column("composition up")]
    np.testing.assert_allclose(up[:, 0], 0.5, atol=0.04)
    free = 1 / (1 + np.exp(-2 * 0.4 / np.array([1.0, 2.0])))
    assert np.all(up[[0, -1], 1] > free)
    np.testing.assert_allclose(up[[0, -1], 1], free, atol=0.15)
    kept = Conditions(crystal=SQUARE, temperatures=(1.0, 2.0), compositions=(0.25, 0.5))
    diagram = phase_diagram(known(pair_model(), 0.3), conditions=kept, rng=rng, plan=QUICK)
    np.testing.assert_allclose(diagram.value[1, :, 0, diagram.column("composition B")], 0.25, atol=1e-9)
    assert find_transition(diagram).resolved is False
    plan = dataclasses.replace(QUICK, order=None, sizes=(5,))
    staggered = phase_diagram(
        known(ising(field=False), -0.7), conditions=dataclasses.replace(kept, compositions=()), rng=rng, plan=plan
    )
    assert staggered.order == "wave (1/2, 1/2)"
    assert staggered.sizes == (6,)
    assert "multiples of 2" in staggered.notes[0]


def test_a_transition_between_far_temperatures_is_found():
    """At the first and the last of these the energies of the larger crystal have nothing in common."""
    conditions = Conditions(crystal=SQUARE, temperatures=(0.5, 0.75, 1.25, 2.0, 3.0))
    plan = DiagramPlan(sizes=(8, 16), n_samples=60, n_draws=40, burn_in=40, shells=1, order=UniformOrder())
    diagram = phase_diagram(
        known(ising(field=False), 0.4), conditions=conditions, rng=np.random.default_rng(1), plan=plan
    )
    found = find_transition(diagram)
    pull = (found.value - 0.8 / np.log(1 + np.sqrt(2))) / np.ptp(found.interval) * 3.92
    assert abs(pull) < 2.6
    assert np.ptp(found.interval) < 0.15
    assert np.diff(diagram.temperature).min() < 0.03


def test_a_parting_alloy_has_the_exact_coexistence_curve():
    """Onsager and Yang: m = (1 - sinh(2K)^-4)^(1/8), the compositions are (1 - m) / 2 and (1 + m) / 2."""
    compositions, coupling = (0.06, 0.3), 0.8
    conditions = Conditions(crystal=SQUARE, temperatures=tuple(np.linspace(0.7, 1.2, 4)), compositions=compositions)
    plan = DiagramPlan(sizes=(9, 14), n_samples=80, n_draws=30, burn_in=40, shells=1)
    diagram = phase_diagram(
        known(pair_model(), coupling), conditions=conditions, rng=np.random.default_rng(2), plan=plan
    )
    assert diagram.order == "phase separation"
    assert diagram.sizes == (9, 14)
    assert "coexistence curve" in " ".join(diagram.notes)
    for level, x in enumerate(compositions):
        critical = coupling / np.arcsinh((1 - abs(1 - 2 * x) ** 8) ** -0.25)
        found = find_transition(diagram, level=level)
        assert found.method == "coexistence curve"
        assert found.interval[0] < critical < found.interval[1]
        assert np.ptp(found.interval) < 0.12


def test_conditions_and_couplings_are_checked():
    for options, message in (
        ({"temperatures": (2.0, 1.0)}, "ascending"),
        ({"temperatures": (0.0, 1.0)}, "positive"),
        ({"temperatures": (1.0, np.nan)}, "finite"),
        ({"temperatures": (1.0,), "fields": (0.1,)}, "name of the coupling"),
        ({"temperatures": (1.0,), "compositions": (0.0,)}, "between 0 and 1"),
        ({"temperatures": (1.0,), "field": "h", "fields": (0.1,), "compositions": (0.5,)}, "either"),
        ({"temperatures": (1.0,), "reference_temperature": -3.0}, "in K"),
    ):
        with pytest.raises(InputError, match=message):
            Conditions(crystal=SQUARE, **options)
    model = ising(field=False)
    with pytest.raises(InputError, match="negative eigenvalues"):
        FittedModel(model=model, value=np.array([0.1]), covariance=np.array([[-1.0]]))
    with pytest.raises(InputError, match="finite 1 x 1 matrix"):
        FittedModel(model=model, value=np.array([0.1]), covariance=np.array([[np.nan]]))
    with pytest.raises(InputError, match="finite rows"):
        FittedModel(model=model, value=np.array([0.1]), covariance=np.zeros((1, 1)), draws=np.zeros((1, 1)))
    lost = Conditions(crystal=SQUARE, temperatures=(1.0,), field="h", fields=(0.1,))
    three = Conditions(crystal=SQUARE, temperatures=(1.0,), compositions=(0.5,))
    with pytest.raises(InputError, match="a coupling among"):
        phase_diagram(known(model, 0.1), conditions=lost, rng=np.random.default_rng(1), plan=QUICK)
    with pytest.raises(InputError, match="two species that may sit anywhere"):
        phase_diagram(known(potts(3), 0.1), conditions=three, rng=np.random.default_rng(1), plan=QUICK)
    with pytest.raises(InputError, match="ascending"):
        DiagramPlan(sizes=(8, 4))
    wider = known(model, 0.3, error=0.1).with_model(ising())
    assert wider.value.tolist() == [0.3, 0.0]
    np.testing.assert_allclose(wider.covariance, [[0.01, 0.0], [0.0, 0.0]])
    draws = np.arange(12.0).reshape(12, 1)
    given = FittedModel(model=model, value=np.array([5.5]), covariance=np.array([[12.0]]), draws=draws)
    assert sorted(given.sample(12, rng=np.random.default_rng(1)).ravel()) == list(range(12))
    assert given.sample(30, rng=np.random.default_rng(1)).shape == (30, 1)


def synthetic(critical, *, kind="crossing", noise=1e-4, n_draws=80, spread=0.02):
    """Return a diagram whose Binder cumulants and specific heats are known functions of (T - Tc) L."""
    rng = np.random.default_rng(7)
    sizes, temperature = (16, 24, 32), np.linspace(0.8, 1.2, 33)
    centre = critical + spread * rng.standard_normal(n_draws)

    def curves(at):
        rows = []
        for size in sizes:
            shift = (temperature - at) * size / 4
            binder = 0.61 - 0.35 * np.tanh(shift)
            heat = 1.0 + np.log(size) / (1 + (shift - 0.1) ** 2)
            if kind == "reverse":
                binder = 0.61 + 0.35 * np.tanh(shift)
            if kind == "none":
                binder, heat = 0.5 - 0.4 * temperature + 0 * shift, 1.0 - (temperature - 1) ** 2
            rows.append(np.stack([heat, binder], axis=-1))
        return np.stack(rows)

    each = np.stack([curves(at) for at in centre], axis=1)[:, :, :, None]
    each = each + noise * rng.standard_normal(each.shape)
    value = curves(critical)[:, :, None]
    return PhaseDiagram(
        model="", equation="", parameters=("K",), crystal="square", axis="", temperature_unit="T/T_ref", sizes=sizes,
        order="uniform", observables=("specific heat", "Binder cumulant"), notes=(), temperature=temperature,
        level=np.zeros(1), value=value, monte_carlo_error=np.full(value.shape, noise),
        band=np.stack([value, value], axis=-1), effective_sample_size=np.full(value.shape[:3], 500.0),
        draw=centre[:, None], draw_value=each,
    ), centre  # fmt: skip


def test_transitions_are_found_where_they_are_and_nowhere_else():
    for method in ("Binder crossing", "specific heat"):
        diagram, centre = synthetic(1.0)
        found = find_transition(diagram, method=method)
        assert found.resolved
        np.testing.assert_allclose(found.draws, centre, atol=0.004)
        np.testing.assert_allclose(found.interval, np.quantile(centre, (0.025, 0.975), method="weibull"), atol=0.006)
        low, high = found.interval
        sentence = f"transition at {found.value:.3f} of the reference temperature (95 %: {low:.3f} to {high:.3f})"
        assert str(found) == sentence
        none = find_transition(synthetic(1.0, kind="none")[0], method=method)
        assert not none.resolved
        assert str(none).startswith("no transition resolved: ")
        assert np.isnan(none.value)
        assert find_transition(synthetic(1.0, kind="reverse")[0]).resolved is False
        beyond = find_transition(synthetic(1.19, spread=0.03)[0], method=method)
        assert not beyond.resolved
    diagram, _ = synthetic(1.0)
    slow = dataclasses.replace(diagram, effective_sample_size=np.full((3, 33, 1), 12.0))
    assert "chains are too slow, worth only 12 independent" in find_transition(slow).reason
    apart = np.quantile(find_transition(diagram).draws, (0.025, 0.975), method="weibull")
    two = find_transition(
        dataclasses.replace(
            diagram, sizes=(8, 10), effective_sample_size=diagram.effective_sample_size[:2],
            **{name: getattr(diagram, name)[:2] for name in ("value", "monte_carlo_error", "band", "draw_value")},
        )
    )  # fmt: skip
    assert np.ptp(two.interval) > 1.001 * np.ptp(apart)
    assert np.isnan(two.size_drift)
    assert "show none between" in find_transition(synthetic(1.15, spread=0.05)[0]).reason
    assert Transition.from_xarray(find_transition(diagram).to_xarray()).value == find_transition(diagram).value
    with pytest.raises(InputError, match="a number below 1"):
        find_transition(diagram, level=3)
    parts = {name: getattr(diagram, name)[:1] for name in ("value", "monte_carlo_error", "band", "draw_value")}
    single = dataclasses.replace(diagram, sizes=(16,), effective_sample_size=np.ones((1, 33, 1)), **parts)
    with pytest.raises(InputError, match="at least two sizes"):
        find_transition(single)


class LinearMean(ThermodynamicMean):
    """Mean 2 c + T with a slope of 0.1 x along one coupling."""

    def predict(self, conditions, *, rng):
        return conditions @ np.array([2.0, 1.0]), 0.1 * conditions[:, :1]


def test_a_process_agrees_with_the_plain_formula_and_reverts_to_the_model():
    rng = np.random.default_rng(8)
    measured, wanted = np.array([[0.2, 1.0], [0.5, 1.2], [0.8, 0.9], [0.4, 1.1]]), np.array([[0.3, 1.05], [0.6, 1.0]])
    variance = np.full(4, 0.01**2)
    value = LinearMean().predict(measured, rng=rng)[0] + np.array([0.02, -0.01, 0.03, 0.0])
    process = fit_thermodynamic_process(measured, value, variance=variance, model=LinearMean(), rng=rng)
    scale = np.ptp(measured, axis=0)

    def kernel(a, b, parameter):
        gap = (a[:, None] - b[None]) / scale / parameter[1:]
        return parameter[0] ** 2 * np.exp(-0.5 * (gap**2).sum(-1)) + 0.01 * np.outer(a[:, 0], b[:, 0])

    weights, means, residual = [], [], value - process.mean
    for number, parameter in enumerate(process.hyperparameter):
        factor = cho_factor(kernel(measured, measured, parameter) + np.diag(variance), lower=True)
        solved = cho_solve(factor, residual)
        prior = 0.25 if number == 0 else 0.75 / (len(process.hyperparameter) - 1)
        weights.append(np.log(prior) - 0.5 * residual @ solved - np.log(np.diag(factor[0])).sum())
        means.append(kernel(wanted, measured, parameter) @ solved)
    weight = np.exp(np.array(weights) - max(weights))
    weight /= weight.sum()
    found = process.predict(wanted, rng=rng)
    np.testing.assert_allclose(process.weight, weight, atol=1e-8)
    np.testing.assert_allclose(found.mean - found.model_mean, weight @ np.array(means), atol=1e-7)
    far = process.predict(np.array([[30.0, 1.0], [20.0, 1.0]]), rng=rng)
    assert far.standard_deviation.min() > found.standard_deviation.max()
    assert np.all(found.interval[:, 0] < found.mean) & np.all(found.mean < found.interval[:, 1])
    wrong = fit_thermodynamic_process(
        measured, value + np.array([0.5, -0.5, 0.5, -0.5]), variance=variance, model=LinearMean(), rng=rng
    )
    assert wrong.amplitude > 5 * process.amplitude
    assert wrong.no_discrepancy_probability < 0.01
    assert process.no_discrepancy_probability > 0.2
    for options, message in (({"variance": np.zeros(4)}, "positive"), ({"variance": np.ones(3)}, "4 positive")):
        with pytest.raises(InputError, match=message):
            fit_thermodynamic_process(measured, value, model=LinearMean(), rng=rng, **options)
    with pytest.raises(InputError, match="finite numbers"):
        fit_thermodynamic_process(measured, value * np.nan, variance=variance, model=LinearMean(), rng=rng)


def test_simulated_means_and_their_slopes_match_enumeration():
    model, sites = pair_model(), periodic_sites(SQUARE, (4, 4))
    states = enumerate_states(lattice_system(model, sites))
    states = states.only(states.species.sum(axis=1) == 6)
    fitted = known(model, 0.4, error=0.1)

    def truth(coupling):
        unlike = states.mean(np.array([coupling]))[0] / 32
        return 1 - unlike / (2 * 0.375 * 0.625)

    rng = np.random.default_rng(9)
    plan = dataclasses.replace(SimulatedMean(fitted=fitted, crystal=SQUARE).plan, n_samples=2000)
    mean = SimulatedMean(fitted=fitted, crystal=SQUARE, size=4, plan=plan)
    value, slope = mean.predict(np.array([[0.375, 2.0]]), rng=rng)
    np.testing.assert_allclose(value[0], truth(0.2), atol=0.02)
    np.testing.assert_allclose(abs(slope[0, 0]), 0.1 * (truth(0.25) - truth(0.15)) / 0.2, rtol=0.12)
    energy = dataclasses.replace(mean, observable="energy").predict(np.array([[0.375, 2.0]]), rng=rng)
    np.testing.assert_allclose(energy[0][0], 0.4 * states.mean(np.array([0.2]))[0] / 16, rtol=0.03)
    with pytest.raises(InputError, match="short-range order k"):
        SimulatedMean(fitted=fitted, crystal=SQUARE, observable="colour")
    with pytest.raises(InputError, match="between 0 and 1"):
        mean.predict(np.array([[1.5, 1.0]]), rng=rng)


def image_of(coupling, rng, *, size=14):
    """Return a window of a crystal of P1."""
    sites = periodic_sites(SQUARE, (28, 28))
    conditions = Conditions(crystal=SQUARE, temperatures=(1.0,), compositions=(0.4,))
    species = sample_at(known(pair_model(), coupling), sites, conditions=conditions, rng=rng, n_draws=1, n_sweeps=60)
    assert species.mean() == pytest.approx(0.4, abs=0.5 / 784)
    inside = (sites.index[:, :2] < size).all(axis=1)
    return observe(window_sites(SQUARE, (size, size)), species[0, 0, 0][inside])


def test_forecasts_accept_the_right_couplings_and_reject_others():
    rng = np.random.default_rng(10)
    image = image_of(0.6, rng)
    plan = ForecastPlan(n_samples=150)
    right = predict_histogram(known(pair_model(), 0.6, error=0.05), image, rng=rng, plan=plan)
    wrong = predict_histogram(known(pair_model(), -0.6, error=0.05), image, rng=rng, plan=plan)
    assert wrong.p_value < 0.01 < right.p_value
    assert wrong.squared_distance > right.squared_distance
    np.testing.assert_allclose(right.expected.sum(), right.observed.sum())
    assert np.mean((right.band[:, 0] <= right.observed) & (right.observed <= right.band[:, 1])) > 0.7
    own = predict_histogram(known(pair_model(), 0.6, error=0.15), image, rng=rng, plan=plan, use="own")
    assert own.own
    assert 0.01 < own.p_value <= 1.0
    others = leave_one_out([image, image_of(0.6, rng)], pair_model(), rng=rng, method=Pseudolikelihood(), plan=plan)
    assert all(forecast.p_value > 0.005 for forecast in others)
    with pytest.raises(InputError, match="at least two images"):
        leave_one_out([image], pair_model(), rng=rng)
    vague = dataclasses.replace(image, species_probability=np.full((196, 2), 0.5))
    with pytest.raises(InputError, match="98% certain"):
        predict_histogram(known(pair_model(), 0.6), vague, rng=rng)
    seen = np.arange(196) > 3
    with pytest.raises(InputError, match="every site was seen"):
        predict_histogram(known(pair_model(), 0.6), dataclasses.replace(image, seen=seen), rng=rng)


def test_a_refit_follows_its_own_statistics():
    """A histogram that is the sufficient statistic itself leaves nothing over once the couplings are refitted."""
    rng = np.random.default_rng(12)
    couplings = np.array([0.3, 0.05])
    error = np.linalg.cholesky(np.linalg.inv(np.cov(drawn(couplings, 500, rng).statistics.reshape(-1, 2).T))).T
    nodes = np.vstack([couplings, couplings + 1.8 * error, couplings - 1.8 * error])
    statistics = [drawn(node, 120, rng).statistics for node in nodes]
    counts = [100.0 + each for each in statistics]
    mixture = mixture_of(nodes, statistics, counts, pieces=1)
    world = SimulatedImages(
        nodes=nodes, statistics=mixture.statistics, counts=mixture.columns, log_mixture=mixture.log_mixture
    )
    weight = world.weights(couplings[None])[0]
    centred = mixture.statistics - weight @ mixture.statistics
    spread = (centred * weight[:, None]).T @ centred
    for ratio in (1.0, 0.5):
        fitted = FittedModel(model=MODEL, value=couplings / ratio, covariance=np.linalg.inv(ratio**2 * spread))
        found, _, each = world.refitted(fitted, ratio, rng)
        np.testing.assert_allclose(found, weight)
        left = (each - mixture.columns) @ np.linalg.cholesky(np.linalg.inv(spread))
        assert np.sqrt((left**2).mean(axis=0)).max() < 0.08


def test_known_couplings_forecast_the_same_whether_a_fit_is_allowed_for_or_not():
    rng = np.random.default_rng(11)
    image = image_of(0.3, rng)
    one, other = (
        predict_histogram(known(pair_model(), 0.3), image, rng=np.random.default_rng(1), use=use)
        for use in ("held out", "own")
    )
    np.testing.assert_allclose(one.expected, other.expected)
    assert one.p_value == pytest.approx(other.p_value)


def test_the_command_writes_pictures_numbers_and_summaries(tmp_path, capsys):
    from tusi.cli.phase_diagram import phase_diagram as command
    from tusi.study.files import CLASSES

    options = {"model": "ising", "couplings": "K=0.4", "covariance": "0.0001", "sizes": "4,6", "samples": 60}
    options |= {"temperatures": "0.8:1.6:2", "draws": 4, "workers": 1}
    options["fields"] = "h=0:0.2:2"
    for name in ("d.png", "d.json", "d.h5"):
        command(**options, out=tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert "square lattice" in capsys.readouterr().out
    assert json.loads((tmp_path / "d.json").read_text())["sizes"] == [4, 6]
    stored = storage.load(tmp_path / "d.h5", classes=CLASSES)
    assert stored.value.shape[0] == 2
    for wrong, message in (
        ({"crystal": "glass"}, "one of square"),
        ({"couplings": ""}, "model with couplings"),
        ({"covariance": "1,2"}, "a row of 1"),
        ({"temperatures": "1:2:0.5"}, "LOW:HIGH:N"),
        ({"sizes": "many"}, "numbers"),
        ({"couplings": "J=1"}, "names among"),
    ):
        with pytest.raises(InputError, match=message):
            command(**(options | wrong), out=tmp_path / "x.png")
    with pytest.raises(InputError, match="a folder that exists"):
        command(**options, out=tmp_path / "missing" / "x.png")


def test_a_fit_is_all_that_a_prediction_needs():
    model = pair_model()
    fit = known(model, 0.2, error=0.1)
    assert fitted_model(model, fit).covariance[0, 0] == pytest.approx(0.01)
