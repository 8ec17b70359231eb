"""Segregation, bond disorder and adatoms: exact enumeration, gradients, orders of convergence, and known truth."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import gammaln

from tusi.datasets.adatoms import (
    AdatomSurface,
    FrameRecipe,
    MovieRecipe,
    simulate_adatom_frames,
    simulate_adatom_images,
    simulate_adatom_movies,
)
from tusi.datasets.disorder import DisorderRecipe, simulate_bond_disorder
from tusi.datasets.segregation import SegregationRecipe, simulate_segregation
from tusi.errors import ConvergenceError, InputError
from tusi.generative.estimation.adatoms import AdatomImages, AdatomMovies, Jumps, RateLaw, fit_adatoms
from tusi.generative.estimation.bond_law import fit_bond_disorder
from tusi.generative.estimation.disorder import CleanFit, detect_bond_disorder, fit_clean_exchange
from tusi.generative.estimation.macroscopic import (
    JointSettings,
    MacroscopicProfile,
    Specimen,
    depth_groups,
    fit_specimens,
    fit_specimens_by_distance,
)
from tusi.generative.estimation.occupation import draw_occupation, occupation_moments
from tusi.generative.estimation.specimen_moments import Chains, evidence_share
from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites, segregation, slab

SLAB = periodic_sites(slab(SQUARE, labels=("oxygen", "bulk"), spacing=1.0), (3, 3))
MODEL = segregation(surface=("surface", "oxygen"))
COUPLINGS = SegregationRecipe().couplings
SURFACE = AdatomSurface()
QUICK = JointSettings(n_samples=1600)
TRUTH = np.array([*SURFACE.energies[1:], *SURFACE.saddles, np.log(SURFACE.attempt)])


def canonical_states(n_sites, n_second):
    chosen = np.array(list(itertools.combinations(range(n_sites), n_second)))
    states = np.zeros((len(chosen), n_sites), dtype=np.int8)
    states[np.arange(len(chosen))[:, None], chosen] = 1
    return states


def test_score_and_slopes_equal_full_enumeration():
    rng = np.random.default_rng(1)
    system, top = lattice_system(MODEL, SLAB), depth_groups(SLAB) == 0
    species = np.zeros(18, dtype=np.int8)
    species[np.flatnonzero(top)[:5]] = 1
    profile = MacroscopicProfile(
        groups=depth_groups(SLAB), species=1, value=np.array([0.5, 0.3]), covariance=np.diag([0.01, 0.04])
    )
    specimen = Specimen(system=system, species=species, seen=top, composition=(11, 7), profile=profile)
    states = canonical_states(18, 7)
    weight = np.exp(-system.statistics(states) @ COUPLINGS)
    like = (states[:, top] == species[top]).all(axis=1)
    t, a = system.statistics(states), profile.counts(states) / 9

    def mean(values, w):
        return np.tensordot(w, values, axes=1) / w.sum()

    expected = mean(t, weight) - mean(t[like], weight[like])
    slope = -(mean(a[:, :, None] * t[:, None], weight) - np.outer(mean(a, weight), mean(t, weight)))
    residual = profile.value - mean(a, weight)
    settings = JointSettings(n_samples=80000)
    share = evidence_share(specimen, Chains(specimen, settings, clamp=True, rng=rng).draw(COUPLINGS, 80000, rng=rng))
    assert share.residual == pytest.approx(residual, abs=0.003)
    assert share.slope == pytest.approx(slope, abs=0.004)
    score = expected + slope.T @ np.linalg.inv(profile.covariance) @ residual
    assert np.abs(share.score - score).max() < 4 * np.sqrt(np.diag(share.noise)).max() < 0.5
    information = np.cov(t.T, aweights=weight, ddof=0) - np.cov(t[like].T, aweights=weight[like], ddof=0)
    assert share.micro == pytest.approx(information, abs=0.12)


@pytest.fixture(scope="module")
def film():
    return simulate_segregation(SegregationRecipe(shape=(12, 12), n_layers=3), rng=np.random.default_rng(7))


@pytest.fixture(scope="module")
def joint(film):
    return fit_specimens(film.specimens, rng=np.random.default_rng(2), settings=QUICK)


def test_segregation_is_recovered_and_profiles_shrink_the_errors(film, joint):
    both, micro = joint, fit_specimens(film.without_profiles(), rng=np.random.default_rng(1), settings=QUICK)
    assert both.parameters == ("w_CL", "w_LL", "w_LO")
    assert both.converged
    assert micro.converged
    assert (np.abs(both.value - COUPLINGS) < 3 * both.standard_error).all()
    assert (np.abs(micro.value - COUPLINGS) < 3 * micro.standard_error).all()
    assert (both.standard_error < micro.standard_error).all()
    assert both.standard_error[1] < 0.85 * micro.standard_error[1]
    assert (both.monte_carlo_error < 0.3 * both.standard_error).all()
    assert both.profile_p_value > 1e-3
    assert np.isnan(micro.profile_p_value)


def test_the_distance_of_the_field_agrees(film):
    fit = fit_specimens_by_distance(film.specimens, rng=np.random.default_rng(3), settings=QUICK)
    assert fit.converged
    assert (np.abs(fit.value - COUPLINGS) < 3 * fit.standard_error).all()
    assert fit.squared_distance == pytest.approx(np.nansum(fit.parts))
    assert np.isnan(fit.parts[1, 1]), "the surface with oxygen was not profiled"


def test_windows_hide_sites_and_errors_grow(joint):
    recipe = SegregationRecipe(shape=(12, 12), n_layers=3, window=(6, 12))
    window = simulate_segregation(recipe, rng=np.random.default_rng(4))
    assert [int(one.seen.sum()) for one in window.specimens] == [72, 72]
    narrow = fit_specimens(window.specimens, rng=np.random.default_rng(5), settings=QUICK)
    assert (np.abs(narrow.value - COUPLINGS) < 3.5 * narrow.standard_error).all()
    assert narrow.standard_error[2] > 1.2 * joint.standard_error[2]


def test_slabs_without_oxygen_share_the_model():
    bare = periodic_sites(slab(SQUARE, labels=("surface", "bulk"), spacing=1.0), (3, 3))
    species = np.zeros((1, 18), dtype=np.int8)
    assert lattice_system(MODEL, bare).statistics(species).tolist() == [[0, 18, 0]]
    assert lattice_system(MODEL, SLAB).statistics(species).tolist() == [[0, 18, 9]]


def test_wrong_specimens_are_refused(film):
    groups = np.array([0, 1])
    with pytest.raises(InputError, match="`covariance`: expected a positive definite 2 x 2 matrix"):
        MacroscopicProfile(groups=groups, species=1, value=np.zeros(2), covariance=np.zeros((2, 2)))
    with pytest.raises(InputError, match="`value`: expected a reading of each of 2 groups, or a response"):
        MacroscopicProfile(groups=groups, species=1, value=np.zeros(1), covariance=np.eye(1))
    with pytest.raises(InputError, match="`specimens`: expected at least one"):
        fit_specimens([], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="`composition`: expected counts that add up to 432 sites"):
        dataclasses.replace(film.specimens[0], composition=(3, 4))
    blind = dataclasses.replace(film.specimens[0], seen=np.zeros(432, dtype=bool), profile=None)
    with pytest.raises(InputError, match="a combination of couplings that nothing depends on"):
        fit_specimens([blind], rng=np.random.default_rng(0), settings=JointSettings(n_samples=400))
    with pytest.raises(InputError, match="`weights`: expected 2 x 2 numbers"):
        fit_specimens_by_distance(film.specimens, rng=np.random.default_rng(0), weights=np.ones(2))
    with pytest.raises(InputError, match="`window`: expected at most"):
        SegregationRecipe(window=(99, 3))


def averaged_over_bonds(spread):
    """Return the states of a ring of eight, and their probability averaged over bonds K +- spread."""
    states = np.array(list(itertools.product((-1, 1), repeat=8)))
    bonds = states * np.roll(states, -1, axis=1)
    total = np.zeros(256)
    for signs in itertools.product((-1, 1), repeat=8):
        weight = np.exp(bonds @ (0.4 + spread * np.array(signs)))
        total += weight / weight.sum() / 256
    return bonds, total


@pytest.mark.parametrize("spread", [0.2])
def test_the_correction_for_disorder_is_right_to_second_order(spread):
    misses, residues = [], []
    for size in (spread, spread / 2):
        bonds, chance = averaged_over_bonds(size)
        energy = bonds.sum(axis=1)
        observed = chance @ energy

        def excess(k, energy=energy, observed=observed):
            weight = np.exp(k * energy)
            return weight @ energy / weight.sum() - observed

        clean = brentq(excess, 0.0, 1.0, xtol=1e-14)
        fit = CleanFit(value=clean, standard_error=1.0, interval=(0, 1), alignment=observed / 8, converged=True)
        misses.append(fit.corrected(size) - 0.4)
        weight = np.exp(clean * energy)
        residues.append(np.abs(np.log(chance * weight.sum() / weight)).max())
    assert abs(misses[0]) < 0.02 * spread**2 * 8
    assert misses[0] / misses[1] == pytest.approx(16, rel=0.15)
    assert residues[0] / residues[1] > 8, "beyond second order (4), one image is that of a clean magnet"


def test_the_law_of_the_bonds_is_recovered():
    rng = np.random.default_rng(5)
    world = simulate_bond_disorder(
        DisorderRecipe(shape=(16, 16), temperature=1.5, spread=0.4, n_snapshots=300, spacing=15), rng=rng
    )
    fit = fit_bond_disorder(world.system, world.species)
    pull = (fit.bond - world.bonds) / fit.bond_error
    assert 0.9 < np.mean(pull**2) < 1.12
    assert abs(fit.mean - world.recipe.coupling) < 3 * fit.mean_error
    assert abs(fit.spread - 0.4 * world.recipe.coupling) < 3 * fit.spread_error
    again = fit_bond_disorder(world.system, world.species[:40], rng=rng, n_replicas=10)
    assert abs(again.mean - world.recipe.coupling) < 3.5 * again.mean_error
    assert abs(again.spread - 0.4 * world.recipe.coupling) < 3.5 * again.spread_error


def test_disorder_is_detected_in_windows_and_not_imagined():
    rng = np.random.default_rng(6)
    recipe = DisorderRecipe(shape=(24, 24), window=(16, 16), temperature=1.5, spread=0.0, n_snapshots=12, spacing=30)
    clean = simulate_bond_disorder(recipe, rng=rng)
    dirty = simulate_bond_disorder(dataclasses.replace(recipe, spread=0.6), rng=rng)
    assert (~clean.system.free).sum() == 60
    assert detect_bond_disorder(clean.system, clean.species, rng=rng, n_replicas=99).p_value > 0.02
    found = detect_bond_disorder(dirty.system, dirty.species, rng=rng, n_replicas=99)
    assert found.p_value == 0.01
    assert found.statistic > found.expected + 4 * found.deviation
    fit = fit_clean_exchange(clean.system, clean.species, rng=rng)
    assert fit.converged
    assert abs(fit.value - recipe.coupling) < 3 * fit.standard_error


def test_wrong_snapshots_are_refused():
    system = lattice_system(ising(field=False), periodic_sites(SQUARE, (4, 4)))
    one = np.zeros((1, 16), dtype=np.int8)
    with pytest.raises(InputError, match="`species`: expected at least two snapshots of the same sample"):
        detect_bond_disorder(system, one, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="`species`: expected at least 10 snapshots"):
        fit_bond_disorder(system, one)
    field = lattice_system(ising(), periodic_sites(SQUARE, (4, 4)))
    with pytest.raises(InputError, match="`system`: expected an Ising model of one exchange without a field"):
        fit_clean_exchange(field, one, rng=np.random.default_rng(0))


def test_occupation_equals_enumeration():
    sites, weight, total = np.array([4, 3, 2]), np.array([0.0, 1.2, -3.0]), 5
    numbers = np.array([n for n in itertools.product(range(5), range(4), range(3)) if sum(n) == total])
    log_chance = numbers @ weight + (gammaln(sites + 1) - gammaln(numbers + 1) - gammaln(sites - numbers + 1)).sum(
        axis=1
    )
    chance = np.exp(log_chance) / np.exp(log_chance).sum()
    log_partition, mean, covariance = occupation_moments(sites[None], weight[None], total=np.array([total]))
    assert log_partition[0] == pytest.approx(np.log(np.exp(log_chance).sum()))
    assert mean[0] == pytest.approx(chance @ numbers)
    assert covariance[0] == pytest.approx(np.cov(numbers.T, aweights=chance, ddof=0))
    drawn = draw_occupation(
        np.tile(sites, (4000, 1)), np.tile(weight, (4000, 1)), total=np.full(4000, total), rng=np.random.default_rng(1)
    )
    assert np.abs(drawn.mean(axis=0) - mean[0]).max() < 0.06
    with pytest.raises(InputError, match="`total`: expected adatoms between 0 and 9"):
        occupation_moments(sites[None], weight[None], total=np.array([10]))


@pytest.fixture(scope="module")
def adatoms():
    rng = np.random.default_rng(8)
    images = simulate_adatom_images(SURFACE, temperatures=np.array([150.0, 220.0, 300.0]), n_adatoms=80, rng=rng)
    movies = simulate_adatom_movies(SURFACE, MovieRecipe(missed=0.1, n_hops=800), rng=rng)
    frames = simulate_adatom_frames(SURFACE, FrameRecipe(n_frames=800), rng=rng)
    return images, movies, frames


def test_adatom_scores_are_the_slopes_of_their_likelihoods(adatoms):
    from tusi.generative.estimation.adatoms import _layout  # noqa: PLC0415

    layout, _ = _layout(adatoms, RateLaw())
    theta = TRUTH + np.array([0.004, -0.003, 0.002, -0.004, 0.1])
    for one in (*adatoms, dataclasses.replace(adatoms[0], exclusion=False)):
        _, score, information = one.evaluate(layout, theta)
        used = np.diag(information) > 0
        for k in np.flatnonzero(used):
            step = np.zeros(5)
            step[k] = 1e-3 / np.sqrt(information[k, k])
            slope = (one.evaluate(layout, theta + step)[0] - one.evaluate(layout, theta - step)[0]) / (2 * step[k])
            assert slope == pytest.approx(score[k], rel=1e-4, abs=1e-4 * np.sqrt(information[k, k]))


def test_adatom_energies_and_barriers_are_recovered(adatoms):
    fit = fit_adatoms(adatoms, n_bootstrap=19, rng=np.random.default_rng(9))
    assert fit.parameters == ("e_bridge", "e_top", "saddle_hollow-bridge", "saddle_bridge-top", "log_attempt")
    assert (np.abs(fit.value - TRUTH) < 3 * fit.standard_error).all()
    assert fit.barrier == pytest.approx([0.42, 0.39, 0.42, 0.39], abs=0.02)
    assert np.log(fit.attempt) == pytest.approx(np.full(4, fit.value[-1]))
    assert fit.p_value > 0.05 - 1e-9
    assert fit.populations(1e6, n_sites=[1, 2, 1]) == pytest.approx([0.25, 0.5, 0.25], abs=1e-3)
    kt = 8.617333262e-5 * 200
    rates = fit.attempt * np.exp(-fit.barrier / kt)
    assert rates[0] / rates[1] == pytest.approx(np.exp(-fit.energy[1] / kt)), "detailed balance"
    every = [fit_adatoms([one]) for one in adatoms]
    assert all((np.abs(one.value - TRUTH[: len(one.value)]) < 3.5 * one.standard_error).all() for one in every)
    assert all((fit.standard_error[: len(one.value)] <= one.standard_error * 1.001).all() for one in every)


def test_missed_hops_change_the_attempt_frequency_alone(adatoms):
    all_seen, half_seen = (fit_adatoms([dataclasses.replace(adatoms[1], detection=d)]) for d in (1.0, 0.5))
    assert half_seen.value - all_seen.value == pytest.approx([0, 0, 0, 0, np.log(2)], abs=1e-6)
    assert half_seen.covariance == pytest.approx(all_seen.covariance)


def test_adatom_errors_are_the_scatter_of_replicas(adatoms):
    rng = np.random.default_rng(10)
    pulls = []
    for _ in range(150):
        movies = simulate_adatom_movies(SURFACE, MovieRecipe(n_hops=200), rng=rng)
        images = adatoms[0].resample(*_truth_of(adatoms[0]), rng=rng)
        fit = fit_adatoms([images, movies])
        pulls.append((fit.value - TRUTH) / fit.standard_error)
    assert np.mean(np.square(pulls), axis=0) == pytest.approx(np.ones(5), abs=0.4)


def _truth_of(images):
    from tusi.generative.estimation.adatoms import _layout  # noqa: PLC0415

    return _layout([images], RateLaw())[0], TRUTH[:2]


def test_rates_that_no_arrhenius_law_explains_are_noticed():
    rng = np.random.default_rng(11)
    movies = simulate_adatom_movies(
        SURFACE, MovieRecipe(temperatures=(120.0, 140.0, 160.0, 180.0, 200.0), n_hops=600), rng=rng
    )
    assert fit_adatoms([movies]).p_value > 0.01
    tunnelling = movies.exposure * 0.02
    strange = dataclasses.replace(movies, hops=movies.hops + rng.poisson(tunnelling))
    assert fit_adatoms([strange], n_bootstrap=99, rng=rng).p_value == 0.01
    free = fit_adatoms([movies], law=RateLaw(detailed_balance=False, own_attempt=True))
    assert len(free.value) == 8
    assert free.degrees_of_freedom == 12


def test_data_that_leave_adatoms_open_are_refused(adatoms):
    cold = simulate_adatom_movies(SURFACE, MovieRecipe(temperatures=(200.0,)), rng=np.random.default_rng(1))
    with pytest.raises(InputError, match="a combination of them that nothing depends on"):
        fit_adatoms([cold])
    with pytest.raises(InputError, match="`rng`: expected a source of randomness"):
        fit_adatoms([adatoms[0]], n_bootstrap=9)
    with pytest.raises(InputError, match="`pairs`: expected each pair"):
        Jumps(site_types=("a", "b"), pairs=(("a", "c"),))
    with pytest.raises(InputError, match="`exposure`: expected time where there are hops"):
        dataclasses.replace(adatoms[1], exposure=np.zeros((4, 4)))
    with pytest.raises(InputError, match="`counts`: expected numbers not below 0"):
        dataclasses.replace(adatoms[0], counts=-adatoms[0].counts)
    with pytest.raises(InputError, match="`temperature`: expected kelvin above zero"):
        dataclasses.replace(adatoms[0], temperature=np.array([np.nan, 1.0, 1.0]))
    with pytest.raises(InputError, match="`detection`: expected chances above 0"):
        AdatomMovies(
            jumps=SURFACE.jumps, temperature=np.ones(1), hops=np.ones((1, 4)), exposure=np.ones((1, 4)), detection=0.0
        )
    never = AdatomImages(
        site_types=("a", "b"), temperature=np.array([100.0]), counts=np.array([[9, 0]]), n_sites=np.array([[99, 99]])
    )
    with pytest.raises((ConvergenceError, InputError), match=r"never occupied|nothing depends on"):
        fit_adatoms([never])
