"""The heat bath through JAX draws the distribution that enumeration and the compiled heat bath give."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from tusi.errors import InputError
from tusi.generative.lattice import (
    SQUARE,
    TRIANGULAR,
    LatticeModel,
    NearestClusters,
    PairShell,
    Term,
    enumerate_states,
    ising,
    lattice_system,
    named_model,
    periodic_sites,
    species_fields,
    tabulate,
    window_sites,
)
from tusi.generative.montecarlo.accelerated import AcceleratedHeatBath
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import SamplingPlan

ON_CPU = AcceleratedHeatBath(device="cpu")


def three_species():
    """Pairs, triangles and fields of three species."""
    lopsided = tabulate(lambda i, j, k: (i + 1) * (j + 1) * (k + 1) % 5, n_species=3, n_corners=3)
    unlike = tabulate(lambda i, j: i != j, n_species=3, n_corners=2)
    terms = (
        Term(coupling="w", motif=PairShell(shell=1), table=unlike, counts="d(unlike)"),
        Term(coupling="t", motif=NearestClusters(size=3), table=lopsided, counts="f(i j k)"),
    )
    species = ("A", "B", "C")
    return LatticeModel(name="three", species=species, terms=(*terms, *species_fields(species)))


def case(n_species):
    """Return a window with clamped, barred and weighted sites, couplings, and the clamped arrangement."""
    rng = np.random.default_rng(n_species)
    model = named_model("M") if n_species == 2 else three_species()
    sites = window_sites(TRIANGULAR, (5, 5) if n_species == 2 else (4, 4))
    log_weight = rng.normal(size=(len(sites), n_species))
    system = lattice_system(model, sites, log_weight=log_weight)
    barred = np.flatnonzero(system.free)[[0, 2]]
    log_weight[barred, [0, n_species - 1]] = -np.inf
    system = lattice_system(model, sites, log_weight=log_weight)
    clamped = rng.integers(0, n_species, len(sites)).astype(np.int8)
    clamped[system.free] = np.argmax(system.log_weight, axis=1)[system.free]
    return system, np.array([0.7, -0.5, 0.3, -0.4][: len(model.terms)]), clamped


@pytest.mark.parametrize("n_species", [2, 3])
def test_states_are_as_frequent_as_enumeration_says(n_species):
    system, couplings, clamped = case(n_species)
    states = enumerate_states(system, clamped=clamped)
    plan = SamplingPlan(n_samples=1, n_chains=20_000, burn_in=30, keep_species=True, start=clamped)
    samples = ON_CPU.run(system, couplings, plan=plan, rng=np.random.default_rng(0))
    drawn = samples.species[:, 0]
    assert (drawn[:, ~system.free] == clamped[~system.free]).all()
    assert np.isfinite(system.log_weight[np.arange(system.n_sites), drawn.astype(int)][:, system.free]).all()
    np.testing.assert_array_equal(samples.final, drawn)
    np.testing.assert_allclose(samples.statistics[:, 0], system.statistics(drawn), rtol=1e-6)
    code = n_species ** np.arange(system.free.sum())
    index = np.argsort(states.species[:, system.free] @ code)
    found = np.searchsorted((states.species[:, system.free] @ code)[index], drawn[:, system.free] @ code)
    counts = np.bincount(found, minlength=len(index))
    expected = states.probability(couplings)[index] * len(drawn)
    rare = expected < 5
    counts, expected = (np.append(one[~rare], one[rare].sum() + 1e-9) for one in (counts, expected))
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("precision", ["single", "double"])
def test_means_and_spreads_agree_with_the_compiled_heat_bath(precision):
    system = lattice_system(ising(), periodic_sites(SQUARE, (10, 10)))
    plan = SamplingPlan(n_samples=60, n_chains=100, burn_in=60, spacing=2)
    sampler = AcceleratedHeatBath(precision=precision, device="cpu")
    ours = sampler.run(system, np.array([0.2, 0.05]), plan=plan, rng=np.random.default_rng(1))
    theirs = HeatBath().run(system, np.array([0.2, 0.05]), plan=plan, rng=np.random.default_rng(2))
    apart = (ours.mean - theirs.mean) / np.hypot(ours.standard_error, theirs.standard_error)
    assert np.abs(apart).max() < 4
    np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=0.12)
    assert (ours.r_hat < 1.02).all()
    assert ours.statistics.dtype == np.float64
    assert not jax.config.read("jax_enable_x64")


def test_samples_continue_the_burn_in_and_follow_the_seed():
    system = lattice_system(ising(field=False), periodic_sites(SQUARE, (4, 4)))

    def run(seed, burn_in):
        plan = SamplingPlan(
            n_samples=6, n_chains=3, burn_in=burn_in, keep_species=True, start=np.zeros(16, dtype=np.int8)
        )
        return ON_CPU.run(system, np.array([0.2]), plan=plan, rng=np.random.default_rng(seed))

    early, late = run(1, 0), run(1, 4)
    np.testing.assert_array_equal(early.species[:, 4:], late.species[:, :2])
    np.testing.assert_array_equal(early.final, early.species[:, -1])
    assert (early.species[0] != early.species[1]).any()
    assert (run(2, 4).species != late.species).any()


def test_disorder_and_models_without_terms_are_sampled_too():
    sites = periodic_sites(SQUARE, (4, 4))
    model = ising(field=False)
    system = lattice_system(model, sites, disorder=np.linspace(-1, 2, 32))
    plan = SamplingPlan(n_samples=20, n_chains=400, burn_in=20)
    samples = ON_CPU.run(system, np.array([0.3]), plan=plan, rng=np.random.default_rng(3))
    exact = enumerate_states(system)
    assert abs(samples.mean[0] - exact.mean(np.array([0.3]))[0]) < 4 * samples.standard_error[0]
    empty = lattice_system(named_model("random"), sites, log_weight=np.tile([0.0, np.log(3.0)], (16, 1)))
    samples = ON_CPU.run(empty, np.empty(0), plan=plan, rng=np.random.default_rng(4))
    assert samples.final.mean() == pytest.approx(0.75, abs=0.03)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="precision"):
        AcceleratedHeatBath(precision="half")
    system = lattice_system(ising(), periodic_sites(SQUARE, (4, 4)))
    with pytest.raises(InputError, match="a device that JAX finds"):
        AcceleratedHeatBath(device="abacus").run(system, np.zeros(2), plan=SamplingPlan(), rng=np.random.default_rng(0))


def test_importing_the_sampler_does_not_import_jax():
    code = "import sys, tusi.generative.montecarlo.accelerated; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
