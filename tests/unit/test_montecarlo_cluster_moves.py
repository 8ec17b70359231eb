"""Cluster moves and tempering draw from the distribution that full enumeration gives, and forget fast at Tc."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.generative.lattice import SQUARE, blume_capel, ising, lattice_system, periodic_sites, potts
from tusi.generative.lattice.exact import enumerate_states
from tusi.generative.lattice.named import triangle_model
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo import HeatBath, SamplingPlan, SwendsenWang, Wolff, draw_samples

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
