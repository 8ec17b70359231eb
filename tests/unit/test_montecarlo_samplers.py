"""Do the samplers draw what the Boltzmann weight says, and are their errors what they say?"""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo import Exchange, HeatBath, Samples, SamplingPlan, draw_samples
from tusi.generative.montecarlo.environments import tabulate_environments
from tusi.generative.montecarlo.exchange import neighbour_pairs

COUPLINGS = np.array([0.7, -0.4, 0.3])
METHODS = ("environments", "clusters")
CLAMPED = 3
STARTS = {
    "two species": [0, 1, 0, 1, 1, 0, 1, 0],
    "pairs only": [0, 1, 0, 1, 1, 0, 1, 0, 0],
    "three species": [0, 1, 0, 1, 2, 2, 1],
    "vacancies": [0, 1, 0, 1, 2, 2],
}


def cells(shape, *steps):
    index = np.arange(np.prod(shape)).reshape(shape)
    corners = [np.roll(index, (-a, -b), (0, 1)).ravel() for a, b in steps]
    return np.column_stack([*corners, *[np.full(index.size, index.size)] * (3 - len(corners))])


def small_system(name):
    """A torus with random tables: pairs, perhaps triangles, fields; disorder, a barred species, a clamped site."""
    shape, n_species = {
        "two species": ((2, 4), 2),
        "pairs only": ((3, 3), 2),
        "three species": ((1, 7), 3),
        "vacancies": ((2, 3), 3),
    }[name]
    rng = np.random.default_rng(5)
    groups = [cells(shape, (0, 0), step) for step in ((0, 1), (1, 0), (1, 1))] + [cells(shape, (0, 0))]
    if shape[0] == 1:
        groups[1:3] = [cells(shape, (0, 0), (0, 2))]
    if name != "pairs only":
        groups.append(cells(shape, (0, 0), (0, 1), (0, 2)) if shape[0] == 1 else cells(shape, (0, 0), (1, 0), (1, 1)))
    members = np.concatenate(groups)
    n_sites = np.prod(shape)
    table = 0.5 * rng.normal(size=(len(groups), n_species**3, 3))
    if name == "vacancies":
        table[:, (np.array(list(itertools.product(range(3), repeat=3))) == 2).any(axis=1)] = 0
    log_weight = np.tile(0.3 * rng.normal(size=n_species), (n_sites, 1))
    log_weight[2] = 0.3 * rng.normal(size=n_species)
    log_weight[0, 1] = log_weight[1, 0] = -np.inf
    return LatticeSystem(
        parameters=("a", "b", "c"),
        n_species=n_species,
        members=members,
        kind=np.repeat(np.arange(len(groups)), n_sites),
        weight=np.where(rng.random(len(members)) < 0.8, 1.0, 0.3),
        table=table,
        log_weight=log_weight,
        free=np.arange(n_sites) != CLAMPED,
    )


def ising(length, *, periodic_steps=((0, 1), (1, 0), (1, 1), (1, -1))):
    index = np.arange(length**2).reshape(length, length)
    members = [np.column_stack([index.ravel(), np.roll(index, (-a, -b), (0, 1)).ravel()]) for a, b in periodic_steps]
    table = np.zeros((2, 4, 2))
    table[0, :, 0] = table[1, :, 1] = [1, -1, -1, 1]
    return LatticeSystem(
        parameters=("near", "next"),
        n_species=2,
        members=np.concatenate(members),
        kind=np.repeat([0, 0, 1, 1], length**2),
        weight=np.ones(4 * length**2),
        table=table,
        log_weight=np.zeros((length**2, 2)),
        free=np.ones(length**2, dtype=bool),
    )


def codes(system, species):
    return species.astype(np.int64) @ system.n_species ** np.arange(system.n_sites)


def exact(system, start, *, canonical):
    """All states by code, and their probabilities given the clamped site, perhaps given the composition."""
    n_states = system.n_species**system.n_sites
    states = np.arange(n_states)[:, None] // system.n_species ** np.arange(system.n_sites) % system.n_species
    possible = states[:, CLAMPED] == start[CLAMPED]
    if canonical:
        possible &= (np.sort(states, axis=1) == np.sort(start)).all(axis=1)
    weight = np.where(possible, np.exp(-system.energy(states, COUPLINGS)), 0.0)
    return states, weight / weight.sum()


def fit_p_value(count, expected):
    """Probability of a worse chi-square; rare cells count together."""
    rare = expected < 8
    count = np.append(count[~rare], count[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    real = expected > 0
    assert (count[~real] == 0).all()
    return chi2.sf(((count - expected)[real] ** 2 / expected[real]).sum(), real.sum() - 1)


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize(
    "sampler",
    [HeatBath(method=method) for method in METHODS]
    + [Exchange(reach=reach, method=method) for reach in ("any", "neighbours") for method in METHODS],
    ids=repr,
)
def test_the_distribution_is_that_of_full_enumeration(name, sampler):
    system, start = small_system(name), np.array(STARTS[name])
    states, probability = exact(system, start, canonical=isinstance(sampler, Exchange))
    plan = SamplingPlan(n_samples=8000, n_chains=3, burn_in=50, spacing=8, keep_species=True, start=start)
    samples = draw_samples(system, COUPLINGS, rng=np.random.default_rng(3), sampler=sampler, plan=plan)
    count = np.bincount(codes(system, samples.species).ravel(), minlength=len(states))
    assert count[probability == 0].sum() == 0
    assert fit_p_value(count, probability * count.sum()) > 1e-3
    assert np.allclose(system.statistics(samples.species), samples.statistics)
    error = samples.mean - probability @ system.statistics(states)
    assert (np.abs(error) < 4 * samples.standard_error).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reach", ["any", "neighbours"])
@pytest.mark.parametrize("name", ["two species", "vacancies"])
def test_single_exchanges_have_the_metropolis_rates_and_detailed_balance(name, reach, method):
    system, start = small_system(name), np.array(STARTS[name])
    states, probability = exact(system, start, canonical=True)
    energy = system.energy(states, COUPLINGS)
    free = np.flatnonzero(system.free)
    pairs = np.array(list(itertools.combinations(free, 2))) if reach == "any" else neighbour_pairs(system)
    rates = np.zeros((len(states), len(states)))
    for state in np.flatnonzero(probability):
        chosen = pairs[states[state, pairs[:, 0]] != states[state, pairs[:, 1]]] if reach == "any" else pairs
        for a, b in chosen:
            moved = states[state].copy()
            moved[[a, b]] = moved[[b, a]]
            other = codes(system, moved)
            if other != state:
                rates[state, other] += min(1.0, np.exp(energy[state] - energy[other])) / len(chosen)
        rates[state, state] = 1 - rates[state].sum()
    flow = probability[:, None] * rates
    assert np.allclose(flow, flow.T)
    plan = SamplingPlan(n_samples=60000, n_chains=1, burn_in=0, keep_species=True, start=start)
    sampler = Exchange(reach=reach, attempts=1, method=method)
    path = codes(
        system, draw_samples(system, COUPLINGS, rng=np.random.default_rng(8), sampler=sampler, plan=plan).species[0]
    )
    count = np.zeros_like(rates)
    np.add.at(count, (path[:-1], path[1:]), 1)
    assert count[rates == 0].sum() == 0
    p_values = [fit_p_value(count[k], rates[k] * count[k].sum()) for k in np.flatnonzero(count.sum(axis=1) > 200)]
    assert min(p_values) > 1e-3 / len(p_values)


@pytest.mark.parametrize("change", ["weight", "log_weight", "free"])
def test_tables_hold_the_conditional_energies_of_every_site(change):
    system, rng = ising(6), np.random.default_rng(4)
    some = rng.random(36) < 0.3
    values = {
        "weight": np.where(rng.random(144) < 0.2, 0.4, 1.0),
        "log_weight": np.where(some[:, None], [0.3, -0.2], 0.0),
        "free": ~some,
    }
    system, couplings = dataclasses.replace(system, **{change: values[change]}), np.array([-0.3, 0.2])
    environments = tabulate_environments(system, couplings)
    assert len(environments.offset) < system.free.sum()
    species = rng.integers(0, 2, size=36)
    sites = environments.order[: system.free.sum()]
    expected = system.site_statistics(species, sites) @ couplings - system.log_weight[sites]
    state, which = environments.arrange(species), environments.place_class
    code = environments.offset[which] + (environments.stride[which] * state[environments.neighbours]).sum(axis=1)
    assert np.allclose(environments.energy[code], expected)


def test_neighbours_that_act_alike_share_a_digit():
    system = ising(6)
    environments = tabulate_environments(system, np.array([-0.3, -0.1]))
    assert len(environments.energy) == 25
    hot = tabulate_environments(system, np.zeros(2))
    assert np.array_equal(hot.thresholds, np.full((25, 1), 2**31))


def test_too_many_environments_fall_back_to_clusters(monkeypatch):
    monkeypatch.setattr("tusi.generative.montecarlo.environments.MOST_CODES", 20)
    system, plan = ising(4), SamplingPlan(n_samples=3, n_chains=1)
    chosen = [
        draw_samples(system, np.array([0.1, 0.0]), rng=np.random.default_rng(2), sampler=HeatBath(method=m), plan=plan)
        for m in ("automatic", "clusters")
    ]
    assert np.array_equal(chosen[0].statistics, chosen[1].statistics)
    with pytest.raises(InputError, match="expected a system with few local environments"):
        draw_samples(system, np.zeros(2), rng=np.random.default_rng(2), sampler=HeatBath(method="environments"))


@pytest.mark.parametrize("sampler", [HeatBath(), Exchange()], ids=repr)
def test_only_the_generator_decides_and_the_output_is_as_long_as_planned(sampler):
    system = small_system("two species")
    plan = SamplingPlan(
        n_samples=7, n_chains=3, burn_in=0, spacing=2, keep_species=True, start=np.array(STARTS["two species"])
    )
    first, again, other = (
        draw_samples(system, COUPLINGS, rng=np.random.default_rng(seed), sampler=sampler, plan=plan)
        for seed in (1, 1, 2)
    )
    assert first.statistics.shape == (3, 7, 3)
    assert first.species.shape == (3, 7, system.n_sites)
    assert np.array_equal(first.species, again.species)
    assert not np.array_equal(first.species, other.species)
    assert not np.array_equal(first.species[0], first.species[1])
    assert np.array_equal(first.final, first.species[:, -1])
    assert 0 < first.acceptance <= 1


def test_a_composition_of_one_species_stays():
    system, start = ising(4), np.ones(16, dtype=int)
    samples = draw_samples(
        system,
        np.zeros(2),
        rng=np.random.default_rng(1),
        sampler=Exchange(),
        plan=SamplingPlan(n_samples=5, start=start),
    )
    assert (samples.final == 1).all()
    assert samples.acceptance == 0
    assert np.array_equal(samples.r_hat, [1, 1])


@pytest.mark.parametrize("persistence", [-0.4, 0.0, 0.5, 0.9])
def test_effective_size_and_standard_error_of_known_series(persistence):
    rng, n_replicas, n_samples = np.random.default_rng(11), 150, 1500
    series = np.empty((n_replicas, 4, n_samples))
    series[..., 0] = rng.normal(size=(n_replicas, 4))
    noise = np.sqrt(1 - persistence**2) * rng.normal(size=series.shape)
    for k in range(1, n_samples):
        series[..., k] = persistence * series[..., k - 1] + noise[..., k]
    results = [chains(one[:, :, None]) for one in series]
    size = np.mean([1 / one.effective_sample_size[0] for one in results])
    assert size * 4 * n_samples * (1 - persistence) / (1 + persistence) == pytest.approx(1, abs=0.06)
    scores = [one.mean[0] / one.standard_error[0] for one in results]
    assert np.std(scores) == pytest.approx(1, abs=0.16)
    assert np.median([one.r_hat[0] for one in results]) < 1.02


def test_chains_that_disagree_are_told():
    rng = np.random.default_rng(2)
    apart = chains(rng.normal(size=(2, 4000, 1)) + np.array([-1, 1])[:, None, None])
    assert apart.r_hat[0] == pytest.approx(np.sqrt(1 + 4 / 3), rel=0.02)
    assert apart.effective_sample_size[0] < 10
    drifting = chains(rng.normal(size=(1, 4000, 1)) + np.linspace(-2, 2, 4000)[:, None])
    assert drifting.r_hat[0] > 1.3


def test_rounding_is_not_taken_for_change():
    sums = chains(1000 + 1e-10 * np.random.default_rng(1).normal(size=(2, 100, 1)))
    assert (sums.r_hat[0], sums.effective_sample_size[0]) == (1, 200)
    still = chains(np.zeros((2, 100, 1)))
    assert (still.r_hat[0], still.effective_sample_size[0], still.standard_error[0]) == (1, 200, 0)
    assert chains(np.zeros((2, 3, 1))).effective_sample_size[0] == 2


def chains(statistics):
    nothing = np.zeros((len(statistics), 0, 1), dtype=np.int8)
    return Samples(
        statistics=statistics, species=nothing, final=np.zeros((len(statistics), 1), dtype=np.int8), acceptance=1.0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"couplings": np.zeros(3)}, "`couplings`: expected one for each of near, next"),
        ({"couplings": np.array([0.0, np.nan])}, "`couplings`: expected finite numbers"),
        ({"start": np.zeros(15, dtype=int)}, "`start`: expected an array of 4 chains x 16 sites"),
        ({"start": np.full(16, 2)}, "`start`: expected whole numbers from 0 to 1"),
        ({"start": np.full(16, 0.5)}, "`start`: expected whole numbers"),
        ({"sampler": Exchange()}, "`start`: expected an arrangement, whose composition"),
        ({"free": np.zeros(16, dtype=bool)}, "`system`: expected at least one free site"),
        ({"free": np.arange(16) > 0}, "`start`: expected an arrangement, which says what the clamped sites hold"),
        ({"barred": 3, "start": np.zeros(16, dtype=int)}, "`start`: expected species that their free sites may hold"),
    ],
)
def test_bad_input_is_refused(change, message):
    system = ising(4).with_free(change.get("free", np.ones(16, dtype=bool)))
    if "barred" in change:
        system = system.with_evidence(np.where(np.arange(16)[:, None] == change["barred"], [-np.inf, 0.0], 0.0))
    with pytest.raises(InputError, match=message):
        draw_samples(
            system,
            change.get("couplings", np.zeros(2)),
            rng=np.random.default_rng(1),
            sampler=change.get("sampler"),
            plan=SamplingPlan(n_samples=2, start=change.get("start")),
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SamplingPlan(n_samples=0), "`n_samples`: expected a whole number, at least 1; got 0"),
        (lambda: SamplingPlan(spacing=1.5), "`spacing`: expected a whole number"),
        (lambda: SamplingPlan(burn_in=-1), "`burn_in`"),
        (lambda: HeatBath(method="fast"), '`method`: expected "automatic"'),
        (lambda: Exchange(reach="far"), '`reach`: expected "any"'),
        (lambda: Exchange(attempts=0), "`attempts`: expected at least 1"),
        (lambda: chains(np.zeros((2, 3))), "`statistics`: expected an array"),
    ],
)
def test_bad_choices_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
