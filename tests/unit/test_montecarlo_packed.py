"""Bit-packed replicas: each draws from the distribution that enumeration gives, and none knows of another."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.generative.lattice import SQUARE, TRIANGULAR, blume_capel, ising, lattice_system, periodic_sites, window_sites
from tusi.generative.lattice.exact import enumerate_states
from tusi.generative.lattice.named import triangle_model
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo import PackedIsing, SamplingPlan, draw_samples


def open_graph(seed=4, n_sites=7):
    """Build a lattice gas on a random graph: bonds of two strengths, random fields, a barred and a clamped site."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(n_sites) for j in range(i + 1, n_sites) if rng.random() < 0.6])
    kind = rng.integers(0, 2, size=len(pairs))
    table = np.zeros((2, 4, 2))
    table[0, :, 0], table[1, :, 1] = [0.0, 1.0, 1.0, 0.0], [0.2, 0.0, 0.3, 1.0]
    log_weight = 0.5 * rng.normal(size=(n_sites, 2))
    log_weight[1, 0] = -np.inf
    free = np.ones(n_sites, bool)
    free[2] = False
    return LatticeSystem(
        parameters=("unlike", "both"),
        n_species=2,
        members=pairs,
        kind=kind,
        weight=rng.choice([1.0, 1.0, -0.5], size=len(pairs)),
        table=table,
        log_weight=log_weight,
        free=free,
    )


CASES = {
    "open graph": (open_graph(), [0.7, -0.9], np.array([0, 1, 1, 0, 1, 0, 0], dtype=np.int8)),
    "field": (lattice_system(ising(), periodic_sites(SQUARE, (3, 3))), [0.25, 0.2], None),
    "second shell": (lattice_system(ising(shells=2), periodic_sites(TRIANGULAR, (3, 3))), [0.1, -0.15, 0.1], None),
    "without couplings": (lattice_system(ising(), periodic_sites(SQUARE, (2, 3))), [0.0, 0.0], None),
}


@pytest.mark.parametrize(("system", "couplings", "start"), CASES.values(), ids=CASES)
def test_states_occur_as_often_as_enumeration_says(system, couplings, start):
    couplings = np.array(couplings)
    plan = SamplingPlan(n_samples=50, burn_in=30, spacing=10, keep_species=True, start=start)
    samples = draw_samples(
        system, couplings, rng=np.random.default_rng(2), sampler=PackedIsing(n_replicas=600), plan=plan
    )
    assert samples.species.shape == (600, 50, system.n_sites)
    np.testing.assert_allclose(samples.statistics, system.statistics(samples.species), atol=1e-9)
    assert (samples.final == samples.species[:, -1]).all()
    states = enumerate_states(system, clamped=samples.final[0])
    place = 2 ** np.arange(system.n_sites)
    expected = np.zeros(2**system.n_sites)
    expected[states.species.astype(np.int64) @ place] = states.probability(couplings)
    seen = np.bincount((samples.species.astype(np.int64) @ place).ravel(), minlength=len(expected)) / 30000
    assert (seen[expected == 0] == 0).all()
    possible = expected > 0
    dof = possible.sum() - 1
    statistic = 30000 * ((seen - expected)[possible] ** 2 / expected[possible]).sum()
    assert abs(statistic - dof) < 5 * np.sqrt(2 * dof)


def test_replicas_know_nothing_of_each_other():
    system = lattice_system(ising(), periodic_sites(SQUARE, (12, 12)))
    start = np.zeros(144, dtype=np.int8)
    plan = SamplingPlan(n_samples=300, burn_in=50, spacing=8, keep_species=False, start=start)
    samples = draw_samples(
        system, np.array([0.3, 0.0]), rng=np.random.default_rng(7), sampler=PackedIsing(n_replicas=512), plan=plan
    )
    assert len(np.unique(samples.final, axis=0)) == 512
    magnetisation = samples.statistics[:, :, 1]
    memory = [(magnetisation[:, : 300 - k] * magnetisation[:, k:]).mean() for k in range(20)] / (
        magnetisation**2
    ).mean()
    spread = np.sqrt((2 * (memory**2).sum() - 1) / 300)
    z = np.corrcoef(magnetisation)[np.triu_indices(512, 1)] / spread
    assert abs(z.mean()) < 5 / np.sqrt(len(z))
    assert 0.97 < z.std() < 1.03
    assert abs(z).max() < 6.5


def test_border_of_a_window_is_clamped():
    system = lattice_system(ising(), window_sites(SQUARE, (8, 8)))
    start = np.random.default_rng(1).integers(0, 2, size=system.n_sites).astype(np.int8)
    plan = SamplingPlan(n_samples=1, burn_in=20, start=start)
    samples = draw_samples(system, np.array([0.1, 0.0]), rng=np.random.default_rng(7), sampler=PackedIsing(), plan=plan)
    assert (samples.final[:, ~system.free] == start[~system.free]).all()
    assert 0.2 < samples.final[:, system.free].mean() < 0.8


def test_same_seed_same_samples():
    system, couplings, start = CASES["open graph"]
    runs = [
        draw_samples(
            system, np.array(couplings), rng=np.random.default_rng(3), sampler=PackedIsing(n_replicas=70),
            plan=SamplingPlan(n_samples=5, burn_in=5, start=start),
        ) for _ in range(2)
    ]  # fmt: skip
    assert (runs[0].statistics == runs[1].statistics).all()


def test_what_cannot_be_packed_is_refused():
    sites, rng = periodic_sites(TRIANGULAR, (3, 3)), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"ties 3 sites.*HeatBath"):
        draw_samples(lattice_system(triangle_model(), sites), np.ones(2), rng=rng, sampler=PackedIsing())
    with pytest.raises(InputError, match="two species; got 3"):
        draw_samples(lattice_system(blume_capel(), sites), np.ones(3), rng=rng, sampler=PackedIsing())
    with pytest.raises(InputError, match="at least 1; got 0"):
        PackedIsing(n_replicas=0)
    n_pairs = 12
    star = LatticeSystem(
        parameters=("J",), n_species=2, members=np.array([(0, k + 1) for k in range(n_pairs)]),
        kind=np.zeros(n_pairs, int), weight=np.random.default_rng(1).normal(size=n_pairs),
        table=np.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 4, 1), log_weight=np.zeros((n_pairs + 1, 2)),
        free=np.ones(n_pairs + 1, bool),
    )  # fmt: skip
    with pytest.raises(InputError, match="at most 1024 different neighbourhoods of a site; got 4096"):
        draw_samples(star, np.ones(1), rng=rng, sampler=PackedIsing())
