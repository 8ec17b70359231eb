"""Cluster moves and tempering draw from the distribution that full enumeration gives, and forget fast at Tc."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.generative.lattice import SQUARE, TRIANGULAR, blume_capel, ising, lattice_system, periodic_sites, potts
from tusi.generative.lattice.exact import enumerate_states
from tusi.generative.lattice.named import triangle_model
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo import HeatBath, SamplingPlan, SwendsenWang, Tempering, Wolff, draw_samples
from tusi.generative.montecarlo.tempering import temper

SAMPLERS = [SwendsenWang(), Wolff(), Wolff(n_clusters=3)]


def chi_squared(system, couplings, samples):
    """Return the scaled deviation of the states' frequencies, about standard normal, spaced samples assumed."""
    start = samples.final[0]
    states = enumerate_states(system, clamped=start)
    expected = states.probability(couplings)
    base = system.n_species ** np.arange(system.n_sites)
    known, seen = (
        states.species.astype(np.int64) @ base,
        samples.species.reshape(-1, system.n_sites).astype(np.int64) @ base,
    )
    order = np.argsort(known)
    place = np.searchsorted(known[order], seen)
    assert (known[order][np.minimum(place, len(known) - 1)] == seen).all(), "a state that cannot be"
    counts = np.bincount(order[place], minlength=len(known))
    common = expected * len(seen) > 5
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * len(seen)
    filled = wanted > 1
    statistic = ((observed - wanted)[filled] ** 2 / wanted[filled]).sum()
    dof = filled.sum() - 1
    return (statistic - dof) / np.sqrt(2 * dof)


def graph(tables, *, n_species, seed=0, field=0.4, n_sites=6, weights=True):
    """Build a random graph with quenched weights of both signs, random fields, a barred species and a clamped site."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(n_sites) for j in range(i + 1, n_sites) if rng.random() < 0.6])
    log_weight = field * rng.normal(size=(n_sites, n_species))
    log_weight[1, 0] = -np.inf
    free = np.ones(n_sites, bool)
    free[2] = False
    return LatticeSystem(
        parameters=tuple(f"w{k}" for k in range(len(tables))),
        n_species=n_species,
        members=np.tile(pairs, (len(tables), 1)),
        kind=np.repeat(np.arange(len(tables)), len(pairs)),
        weight=rng.choice([-1.0, 1.0, 0.6], size=len(pairs) * len(tables))
        if weights
        else np.ones(len(pairs) * len(tables)),
        table=np.stack([np.eye(len(tables))[k] * np.ravel(t)[:, None] for k, t in enumerate(tables)]),
        log_weight=log_weight,
        free=free,
    )


def systems():
    rng = np.random.default_rng(5)
    start = np.array([1, 1, 1, 0, 0, 1], dtype=np.int8)
    unlike = 1.0 - np.eye(2)
    yield "signed bonds, fields, a clamped site", graph([unlike], n_species=2), [0.9], start
    yield "lattice gas", graph([[0, 0, 0, 1.0]], n_species=2, seed=3), [-0.8], start
    yield "Potts", graph([1.0 - np.eye(3)], n_species=3, seed=1), [0.8], start
    yield "any pair energy", graph([rng.normal(size=(3, 3)), 1.0 - np.eye(3)], n_species=3, seed=2), [0.5, -0.4], start
    yield "frustrated torus", lattice_system(ising(), periodic_sites(SQUARE, (3, 3))), [-0.3, 0.2], None
    model = blume_capel()
    sites = periodic_sites(SQUARE, (2, 3))
    yield "Blume-Capel", lattice_system(model, sites), model.couplings(K=0.3, D=0.2, h=0.15), None
    yield "Potts torus", lattice_system(potts(3), sites), [-0.4], None


CASES = list(systems())


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize(
    ("system", "couplings", "start"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_states_occur_as_often_as_enumeration_says(system, couplings, start, sampler):
    plan = SamplingPlan(n_samples=8000, n_chains=2, burn_in=20, spacing=5, keep_species=True, start=start)
    samples = draw_samples(system, np.array(couplings), rng=np.random.default_rng(11), sampler=sampler, plan=plan)
    assert abs(chi_squared(system, np.array(couplings), samples)) < 5
    kept = system.statistics(samples.species)
    np.testing.assert_allclose(samples.statistics, kept, atol=1e-9)
    assert (samples.final == samples.species[:, -1]).all()


def test_clusters_forget_faster_than_the_heat_bath_at_tc():
    system = lattice_system(ising(field=False), periodic_sites(SQUARE, (64, 64)))
    tc = np.array([np.log(1 + np.sqrt(2)) / 2])
    start = np.ones(64 * 64, dtype=np.int8)
    times = {}
    for name, sampler in (("SwendsenWang", SwendsenWang()), ("Wolff", Wolff()), ("HeatBath", HeatBath())):
        plan = SamplingPlan(n_samples=600, n_chains=2, burn_in=100, start=start)
        samples = draw_samples(system, tc, rng=np.random.default_rng(4), sampler=sampler, plan=plan)
        times[name] = 1200 / samples.effective_sample_size[0]
    assert times["SwendsenWang"] < 12
    assert times["Wolff"] < 6
    assert times["HeatBath"] > 5 * times["SwendsenWang"]


def test_clusters_at_clamped_sites_stay():
    system = lattice_system(ising(field=False), periodic_sites(SQUARE, (8, 8)))
    free = np.ones(64, bool)
    free[0] = False
    start = np.ones(64, dtype=np.int8)
    for sampler in (SwendsenWang(), Wolff()):
        plan = SamplingPlan(n_samples=200, burn_in=20, spacing=2, start=start, keep_species=True)
        rng = np.random.default_rng(4)
        samples = draw_samples(system.with_free(free), np.array([1.0]), rng=rng, sampler=sampler, plan=plan)
        assert samples.species[:, :, 0].all()
        assert samples.species.mean() > 0.99


@pytest.mark.parametrize("sampler", [SwendsenWang(), Wolff()], ids=repr)
def test_what_clusters_cannot_move_is_refused(sampler):
    system = lattice_system(triangle_model(), periodic_sites(TRIANGULAR, (3, 3)))
    with pytest.raises(InputError, match=f"{type(sampler).__name__} can move; got a term that ties 3 sites.*HeatBath"):
        draw_samples(system, np.ones(2), rng=np.random.default_rng(0), sampler=sampler)


def test_number_of_clusters_is_checked():
    with pytest.raises(InputError, match=r"n_clusters.*at least 1"):
        Wolff(n_clusters=0)


def two_valleys():
    """Build two strongly tied rings in opposite random fields: two deep valleys, a frustrated bond between them."""
    pairs = np.array(
        [(i, (i + 1) % 4) for i in range(4)] + [(4 + i, 4 + (i + 1) % 4) for i in range(4)] + [(0, 4), (2, 6)]
    )
    log_weight = np.zeros((8, 2))
    log_weight[:4, 1], log_weight[4:, 0] = 0.15, 0.1
    return LatticeSystem(
        parameters=("unlike",),
        n_species=2,
        members=pairs,
        kind=np.zeros(10, int),
        weight=np.array([1.0] * 8 + [0.1, -0.05]),
        table=np.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 4, 1),
        log_weight=log_weight,
        free=np.ones(8, bool),
    )


def test_tempering_crosses_barriers_that_the_heat_bath_does_not():
    system, couplings = two_valleys(), np.array([6.0])
    start = np.zeros((8,), dtype=np.int8)
    states = enumerate_states(system)
    ones = states.probability(couplings) @ (states.species[:, :4].mean(axis=1) > 0.5)
    plan = SamplingPlan(n_samples=2500, n_chains=2, burn_in=50, keep_species=True, start=start)
    rng = np.random.default_rng(6)
    rungs = temper(system, couplings, rng=rng, plan=plan, sampler=Tempering(ladder=4, hottest=0.15))
    for factor, samples in zip(rungs.factors, rungs.samples, strict=True):
        high = samples.species[:, :, :4].mean(axis=2) > 0.5
        expected = states.probability(factor * couplings) @ (states.species[:, :4].mean(axis=1) > 0.5)
        assert abs(high.mean() - expected) < 0.05
        assert abs(samples.mean - states.mean(factor * couplings))[0] < 5 * samples.standard_error[0] + 1e-3
    assert rungs.swaps.min() > 0.2
    stuck = draw_samples(system, couplings, rng=rng, sampler=HeatBath(), plan=plan)
    assert abs((stuck.species[:, :, :4].mean(axis=2) > 0.5).mean() - ones) > 0.3


@pytest.mark.parametrize("inner", [HeatBath(), SwendsenWang()], ids=repr)
def test_tempering_is_exact_where_sites_are_barred_and_clamped(inner):
    _, system, couplings, start = CASES[0]
    couplings = 2.5 * np.array(couplings)
    plan = SamplingPlan(n_samples=600, n_chains=24, burn_in=20, spacing=2, keep_species=True, start=start)
    sampler = Tempering(ladder=(1, 0.4), inner=inner)
    samples = draw_samples(system, couplings, rng=np.random.default_rng(8), sampler=sampler, plan=plan)
    assert abs(chi_squared(system, couplings, samples)) < 5
    np.testing.assert_allclose(samples.statistics, system.statistics(samples.species), atol=1e-9)


@pytest.mark.parametrize("ladder", [1, (1.0,), (0.9, 0.5), (1.0, 1.0), (1.0, -0.1), (1.0, float("nan"))])
def test_ladder_is_checked(ladder):
    with pytest.raises(InputError, match=r"ladder.*begin with 1 and fall"):
        Tempering(ladder=ladder)
