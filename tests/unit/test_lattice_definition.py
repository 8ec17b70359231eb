"""Energies, changes and statistics of every named model equal direct counting from coordinates alone."""

import itertools

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.generative.lattice import (
    CRYSTALS,
    CUBIC,
    HONEYCOMB,
    PEROVSKITE_PLANE,
    SQUARE,
    TRIANGULAR,
    ClusterOf,
    Crystal,
    LatticeModel,
    PairShell,
    SingleSite,
    Term,
    adatoms,
    blume_capel,
    enumerate_states,
    find_orbits,
    ising,
    lattice_system,
    named_model,
    onsager_energy,
    onsager_specific_heat,
    operations,
    orbit_of,
    pair_model,
    periodic_sites,
    potts,
    segregation,
    slab,
    solution,
    tabulate,
    triangle_model,
    window_sites,
    with_fields,
)

SLAB = slab(SQUARE, labels=("oxygen", "bulk", "bulk", "surface"), spacing=1.0)
ADATOM_SITES = Crystal(
    name="square with bridges",
    vectors=((1.0, 0.0), (0.0, 1.0)),
    basis=((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)),
    labels=("hollow", "bridge", "bridge"),
)
FOUR_BODY = LatticeModel(
    name="four-body",
    terms=(
        Term(
            coupling="Q",
            motif=ClusterOf(sites=((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)), name="plaquettes"),
            table=tabulate(lambda *s: float(np.prod([2 * k - 1 for k in s])), n_species=2, n_corners=4),
            counts="s_i s_j s_k s_l",
        ),
    ),
)
UP_TRIANGLES = LatticeModel(
    name="up",
    terms=(
        Term(
            coupling="u",
            motif=ClusterOf(sites=((0, 0, 0), (0, 1, 0), (1, 0, 0)), oriented=True, name="up"),
            table=tabulate(lambda i, j, k: i + 2 * j + 4 * k, n_species=2, n_corners=3),
            counts="code",
        ),
    ),
)


def distances(sites):
    """Distance of each site to each site and its nearest periodic images: (i, j, distance), images listed apart."""
    positions = sites.positions
    shifts = [
        np.array(n) * np.array([p or 0 for p in sites.period]) @ sites.crystal.lattice
        for n in itertools.product((-1, 0, 1), repeat=len(sites.period))
        if all(p or not m for m, p in zip(n, sites.period, strict=True))
    ]
    return [
        (i, j, float(np.linalg.norm(positions[j] + shift - positions[i])))
        for i, j in itertools.combinations(range(len(positions)), 2)
        for shift in shifts
    ]


def pairs_at(sites, distance):
    return [(i, j) for i, j, d in distances(sites) if abs(d - distance) < 1e-6]


def spin_sum(values, pairs, species):
    return sum(values[species[i]] * values[species[j]] for i, j in pairs)


def count_ising2(sites, s):
    spins = (-1.0, 1.0)
    first, second = pairs_at(sites, 1.0), pairs_at(sites, np.sqrt(2 if sites.crystal is SQUARE else 3))
    return [-spin_sum(spins, first, s), -spin_sum(spins, second, s), -sum(spins[k] for k in s)]


def count_blume_capel(sites, s):
    spins = (-1.0, 0.0, 1.0)
    return [
        -spin_sum(spins, pairs_at(sites, 1.0), s),
        sum(spins[k] ** 2 for k in s),
        -sum(spins[k] for k in s),
    ]


def count_potts(sites, s):
    return [-sum(s[i] == s[j] for i, j in pairs_at(sites, 1.0))]


def count_solution(sites, s):
    pairs = pairs_at(sites, 1 / np.sqrt(3))
    return [sum({s[i], s[j]} == {a, b} for i, j in pairs) for a, b in ((0, 1), (0, 2), (1, 2))]


def count_segregation(sites, s):
    near = pairs_at(sites, 1.0)
    labels = sites.labels
    return [
        sum(s[i] != s[j] for i, j in near),
        sum(s[i] == s[j] == 0 and labels[i] == labels[j] == "surface" for i, j in near),
        sum(k == 0 and label == "oxygen" for k, label in zip(s, labels, strict=True)),
    ]


def count_adatoms(sites, s):
    return [sum(k == 1 and label == "bridge" for k, label in zip(s, sites.labels, strict=True))]


def count_triangles(sites, s):
    shape = sites.period
    grid = np.asarray(s).reshape(shape)
    counts = [0, 0]
    for r, c in itertools.product(*map(range, shape)):
        for a, b in (((0, 1), (1, 0)), ((0, 1), (-1, 1))):
            n = sum(grid[(r + dr) % shape[0], (c + dc) % shape[1]] for dr, dc in ((0, 0), a, b))
            if n in (1, 2):
                counts[n - 1] += 1
    return counts


def count_plaquettes(sites, s):
    grid = 2.0 * np.asarray(s).reshape(sites.period) - 1
    return [float((grid * np.roll(grid, 1, 0) * np.roll(grid, 1, 1) * np.roll(np.roll(grid, 1, 0), 1, 1)).sum())]


def count_up_triangles(sites, s):
    grid = np.asarray(s, dtype=float).reshape(sites.period)
    return [float((grid + 2 * np.roll(grid, -1, 1) + 4 * np.roll(grid, -1, 0)).sum())]


CASES = {
    "ising": (ising(shells=2), periodic_sites(SQUARE, (4, 5)), count_ising2),
    "ising triangular": (ising(shells=2), periodic_sites(TRIANGULAR, (4, 5)), count_ising2),
    "blume-capel": (blume_capel(), periodic_sites(CUBIC, (3, 3, 3)), count_blume_capel),
    "potts": (potts(4), periodic_sites(TRIANGULAR, (3, 4)), count_potts),
    "three-state": (solution(("A", "B", "C")), periodic_sites(HONEYCOMB, (3, 4)), count_solution),
    "M": (triangle_model(), periodic_sites(TRIANGULAR, (4, 3)), count_triangles),
    "segregation": (segregation(), periodic_sites(SLAB, (3, 4)), count_segregation),
    "adatoms": (adatoms(("hollow", "bridge")), periodic_sites(ADATOM_SITES, (3, 3)), count_adatoms),
    "four-body": (FOUR_BODY, periodic_sites(SQUARE, (4, 4)), count_plaquettes),
    "oriented": (UP_TRIANGLES, periodic_sites(TRIANGULAR, (4, 5)), count_up_triangles),
}


@pytest.mark.parametrize("name", CASES)
def test_statistics_equal_direct_counting(name):
    model, sites, count = CASES[name]
    system = lattice_system(model, sites)
    species = np.random.default_rng(1).integers(0, model.n_species, (4, len(sites)))
    for row, seen in zip(species, system.statistics(species), strict=True):
        np.testing.assert_allclose(seen, count(sites, row), atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_changes_equal_differences_of_energies(name):
    model, sites, _ = CASES[name]
    rng = np.random.default_rng(2)
    log_weight = rng.normal(size=(len(sites), model.n_species))
    system = lattice_system(model, sites, log_weight=log_weight)
    couplings = rng.normal(size=len(model.terms))
    species = rng.integers(0, model.n_species, (1, len(sites)))
    near = system.site_statistics(species, np.arange(len(sites)))[0]
    for site in range(0, len(sites), 5):
        for new in range(model.n_species):
            other = species.copy()
            other[0, site] = new
            old = species[0, site]
            change = (near[site, new] - near[site, old]) @ couplings - log_weight[site, new] + log_weight[site, old]
            np.testing.assert_allclose(system.energy(other, couplings) - system.energy(species, couplings), change)


def test_symmetry_groups_have_the_known_orders():
    orders = {"square": 8, "triangular": 12, "honeycomb": 12, "cubic": 48, "perovskite plane": 8}
    assert {name: len(operations(crystal)) for name, crystal in CRYSTALS.items()} == orders
    oblique = Crystal(name="oblique", vectors=((1.0, 0.0), (0.3, 1.2)), basis=((0.0, 0.0),))
    assert len(operations(oblique)) == 2
    assert len(operations(SLAB)) == 8, "the slab's two surfaces differ"
    even = slab(SQUARE, labels=("surface", "bulk", "surface"), spacing=1.0)
    assert len(operations(even)) == 16, "a slab with equal surfaces can be turned over"


def test_orbits_have_the_known_multiplicities():
    coordination = [sum(len(orbit.clusters) for orbit in shell) for shell in _shells(CUBIC, 4)]
    assert coordination == [3, 6, 4, 3]
    fours = find_orbits(TRIANGULAR, n_corners=4, diameter=np.sqrt(3) + 1e-9)
    assert sorted(len(orbit.clusters) for orbit in fours) == [2, 3], "stars of two kinds, rhombi in three directions"
    chiral = ((0, 0, 0), (0, 1, 0), (1, 2, 0))
    assert len(orbit_of(SQUARE, chiral).clusters) == 8
    assert len(orbit_of(SQUARE, chiral, oriented=True).clusters) == 1
    mixed = PairShell(labels=("A", "B")).orbits(PEROVSKITE_PLANE)
    assert [len(orbit.clusters) for orbit in mixed] == [4]
    assert all(PEROVSKITE_PLANE.labels[c[0][-1]] == "A" for orbit in mixed for c in orbit.clusters)


def _shells(crystal, n):
    return [PairShell(shell=k).orbits(crystal) for k in range(1, n + 1)]


def test_a_window_conditions_on_what_was_seen():
    sites = window_sites(TRIANGULAR, (6, 7))
    near, far = lattice_system(pair_model(), sites), lattice_system(pair_model(shells=2), sites)
    assert near.free.sum() == 4 * 5
    assert far.free.sum() == 2 * 3
    assert lattice_system(pair_model(), sites, reach=[pair_model(shells=2)]).free.sum() == 2 * 3
    assert lattice_system(with_fields(pair_model()), sites).free.sum() == 4 * 5


def test_species_stay_at_home():
    model = LatticeModel(
        name="perovskite",
        species=("La", "Ca", "Mn", "Fe"),
        terms=(
            Term(
                coupling="J",
                motif=PairShell(labels=("A", "B")),
                table=tabulate(lambda a, b: a == 1 and b == 3, n_species=4, n_corners=2),
                counts="d({1} {3})",
            ),
        ),
        homes=(("La", "A"), ("Ca", "A"), ("Mn", "B"), ("Fe", "B")),
    )
    system = lattice_system(model, periodic_sites(PEROVSKITE_PLANE, (2, 2)))
    states = enumerate_states(system)
    assert len(states.species) == 2**8
    assert str(model) == "E/kT = J sum_NN A-B d(Ca Fe)"
    everywhere = np.array([1, 3] * 4)
    assert system.statistics(everywhere)[0] == 16, "every Ca has four Fe neighbours"


def test_quenched_disorder_multiplies_bonds():
    sites = periodic_sites(SQUARE, (3, 3))
    factor = np.random.default_rng(0).normal(size=18)
    system = lattice_system(ising(field=False), sites, disorder=factor)
    assert system.statistics(np.ones(9, dtype=np.int8))[0] == pytest.approx(-factor.sum())
    with pytest.raises(InputError, match="`disorder`: expected 18 finite factors"):
        lattice_system(ising(field=False), sites, disorder=factor[:5])


def test_enumeration_gives_moments():
    system = lattice_system(ising(), periodic_sites(SQUARE, (3, 3)))
    states, couplings = enumerate_states(system), np.array([0.3, 0.1])
    step = 1e-4
    for k in range(2):
        move = step * np.eye(2)[k]
        slope = (states.log_partition(couplings + move) - states.log_partition(couplings - move)) / (2 * step)
        assert -slope == pytest.approx(states.mean(couplings)[k], rel=1e-6)
        curve = (states.mean(couplings - move) - states.mean(couplings + move)) / (2 * step)
        np.testing.assert_allclose(curve, states.covariance(couplings)[k], rtol=1e-5)


PUBLISHED_SITES = ((8, 64918), (4, 15510), (2, 3232), (1.5, 1488), (1.1, 460), (1.05, 336), (0.9, 492), (0.6, 3167))


@pytest.mark.parametrize(("ratio", "n_sites"), PUBLISHED_SITES)
def test_onsager_says_how_many_sites_a_coupling_needs(ratio, n_sites):
    critical = np.log(1 + np.sqrt(2)) / 2
    assert 400 / onsager_specific_heat(critical / ratio) == pytest.approx(n_sites, rel=2e-3)
    assert onsager_energy(0.3) == pytest.approx(0.70450, abs=5e-6)


def test_models_print_their_equations():
    assert str(named_model("M")) == "E/kT = w1 sum_T d(A A B) + w2 sum_T d(A B B)"
    assert str(FOUR_BODY) == "E/kT = Q sum_plaquettes s_i s_j s_k s_l"
    assert str(named_model("segregation")) == (
        "E/kT = w_CL sum_NN d(unlike) + w_LL sum_NN surface-surface d(La La) + w_LO sum_oxygen d(La)"
    )
    assert str(with_fields(pair_model().named("Mo", "Re"))) == "E/kT = w1 sum_NN d(unlike) - h_Re sum_i d(Re)"


def test_wrong_models_are_refused():
    with pytest.raises(InputError, match="`model`: expected a name among random, P1"):
        named_model("P9")
    with pytest.raises(InputError, match="`model`: expected a crystal with triangles; got the square lattice"):
        lattice_system(triangle_model(), periodic_sites(SQUARE, (4, 4)))
    with pytest.raises(InputError, match="`shell`: expected 1 to 12"):
        PairShell(shell=0)
    with pytest.raises(InputError, match="`label`: expected labels among"):
        lattice_system(adatoms(("site", "bridge")), periodic_sites(SQUARE, (4, 4)))
    skew = Term(coupling="x", motif=PairShell(), table=tabulate(lambda i, j: i, n_species=2, n_corners=2), counts="s_i")
    with pytest.raises(InputError, match="`table`: expected the same number when corners are exchanged"):
        lattice_system(LatticeModel(name="skew", terms=(skew,)), periodic_sites(SQUARE, (4, 4)))
    with pytest.raises(InputError, match="`shape`: expected a periodic cell larger than every cluster"):
        lattice_system(LatticeModel(name="far", terms=_far()), periodic_sites(SQUARE, (2, 2)))
    with pytest.raises(InputError, match="`table`: expected n_species to the power of 1 entries"):
        Term(coupling="x", motif=SingleSite(), table=(), counts="")
    with pytest.raises(InputError, match="`couplings`: expected names among"):
        ising().couplings(J=1.0)
    with pytest.raises(InputError, match="`couplings`: expected one finite number for each"):
        ising().check_couplings([np.nan, 0.0])
    with pytest.raises(InputError, match="`system`: expected at most"):
        enumerate_states(lattice_system(ising(), periodic_sites(SQUARE, (8, 8))))


def _far():
    alike = tabulate(lambda i, j: i == j, n_species=2, n_corners=2)
    return (Term(coupling="far", motif=PairShell(shell=3), table=alike, counts="d(alike)"),)
