"""Registration against crystals whose rows and columns are known."""

import dataclasses

import numpy as np
import pytest

from tusi.data import AtomFlag, Atoms, make_grid
from tusi.datasets.defects import CrystalRecipe, simulate_defects
from tusi.errors import InputError, ScarceDataWarning
from tusi.finding import find_atoms
from tusi.structure import lattice_constant_of, register_lattice, site_graph

TRIANGULAR = np.array([[0.0, 3.16], [2.7366, 1.58]])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crystal:
    """Atoms on a known lattice: `cell` is the true (row, column) of each."""

    atoms: Atoms
    cell: np.ndarray
    site: np.ndarray


def crystal(
    *,
    vectors=TRIANGULAR,
    basis=((0.0, 0.0),),
    brightness=(1.0,),
    n=20,
    displace=lambda position, cell: 0.0 * position,
    jitter=0.03,
    seed=0,
):
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.arange(-2 * n, 2 * n), np.arange(-2 * n, 2 * n), indexing="ij")
    cell = np.stack([rows.ravel(), columns.ravel()], axis=1)
    cells, positions, sites, intensities = [], [], [], []
    side = n * np.linalg.norm(vectors, axis=1).mean()
    for number, (place, bright) in enumerate(zip(basis, brightness, strict=True)):
        position = (cell + np.array(place)) @ vectors
        inside = (np.abs(position) < side / 2).all(axis=1)
        position = position[inside] + displace(position[inside], cell[inside])
        positions.append(position + jitter * np.linalg.norm(vectors[0]) * rng.standard_normal(position.shape))
        cells.append(cell[inside])
        sites.append(np.full(inside.sum(), number))
        intensities.append(bright * rng.normal(1.0, 0.07, inside.sum()))
    atoms = Atoms.at(np.concatenate(positions), length_unit="angstrom", intensity=np.concatenate(intensities))
    return Crystal(atoms=atoms, cell=np.concatenate(cells), site=np.concatenate(sites))


def cells_agree(lattice, known, *, basis_site=0, domain=0):
    """Fraction of the atoms of one basis site whose index is the known one up to a change of lattice basis."""
    rows = (lattice.index[:, 2] == basis_site) & (lattice.atom >= 0) & (lattice.domain == domain)
    found, true = lattice.index[rows, :2].astype(float), known.cell[lattice.atom[rows]].astype(float)
    design = np.column_stack([true, np.ones(len(true))])
    transform = np.rint(np.linalg.lstsq(design, found, rcond=None)[0])
    assert abs(np.linalg.det(transform[:2])) == 1
    return (design @ transform == found).all(axis=1).mean()


def drift(position, cell):
    """Shear, a bend of a third of a lattice vector, and a local stretch."""
    y, x = position.T / 30.0
    return np.stack([0.8 * x**2 + 0.3 * np.sin(2 * y), 1.5 * y + 1.0 * y**2 - 0.4 * x * y], axis=1)


def dimerised(position, cell):
    """Alternate rows move together, as in 1T' chains: .1 lattice vectors each way."""
    sign = np.where(cell[:, 1] % 2 == 0, 1.0, -1.0)
    return 0.32 * sign[:, None] * np.array([1.0, 0.0])


@pytest.mark.parametrize("displace", [lambda p, c: 0 * p, drift, dimerised, lambda p, c: drift(p, c) + dimerised(p, c)])
@pytest.mark.parametrize("seed", [0, 1])
def test_rows_and_columns_are_counted_through_distortion(displace, seed):
    known = crystal(displace=displace, seed=seed)
    lattice = register_lattice(known.atoms)
    assert len(lattice.basis) == 1
    assert (lattice.atom >= 0).sum() >= 0.995 * len(known.atoms)
    assert cells_agree(lattice, known) == 1.0


@pytest.mark.parametrize(
    ("vectors", "n_first"), [(TRIANGULAR, 6), (3.9 * np.eye(2), 4), (np.array([[0.0, 3.0], [3.9, 0.0]]), 4)]
)
def test_lattice_vectors_and_coordination(vectors, n_first):
    known = crystal(vectors=vectors)
    lattice = register_lattice(known.atoms)
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(abs(np.linalg.det(vectors)), rel=0.005)
    atoms = dataclasses.replace(known.atoms, species=("A",), species_probability=np.ones((len(known.atoms), 1)))
    graph = site_graph(atoms, lattice)
    assert graph.first_neighbours.shape[1] == n_first
    interior = ~graph.boundary
    link = graph.first_neighbours[interior]
    distance = np.linalg.norm(
        known.atoms.position[graph.atom[link]] - known.atoms.position[graph.atom[interior]][:, None], axis=2
    )
    assert distance.max() < 1.3 * np.linalg.norm(vectors, axis=1).max()


def test_honeycomb_has_two_basis_sites_and_the_bright_one_is_first():
    known = crystal(basis=((0.0, 0.0), (1 / 3, 1 / 3)), brightness=(1.0, 0.35))
    lattice = register_lattice(known.atoms)
    assert len(lattice.basis) == 2
    for number in (0, 1):
        rows = (lattice.index[:, 2] == number) & (lattice.atom >= 0)
        assert (known.site[lattice.atom[rows]] == number).all()
        assert cells_agree(lattice, known, basis_site=number) == 1.0
    assert lattice_constant_of(lattice) == pytest.approx(3.16, rel=0.002)


@pytest.mark.parametrize("vectors", [3.9 * np.eye(2), np.array([[0.0, 2.76], [3.9, 0.0]])])
@pytest.mark.parametrize("cell", [((2, 0), (0, 1)), ((1, 0), (0, 2)), ((1, 1), (1, -1))])
def test_alternating_columns_are_two_sublattices(vectors, cell):
    """Bright and dim columns in turn (as in a perovskite) make a basis of two; random brightness does not."""
    known = crystal(vectors=vectors)
    odd = (np.rint(known.cell @ np.linalg.inv(np.array(cell)) * 2) % 2).max(axis=1)
    ordered = dataclasses.replace(known.atoms, intensity=known.atoms.intensity * np.where(odd == 1, 0.4, 1.0))
    lattice = register_lattice(ordered)
    assert len(lattice.basis) == 2
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(2 * abs(np.linalg.det(vectors)), rel=0.005)
    for number in (0, 1):
        atom = lattice.atom[(lattice.index[:, 2] == number) & (lattice.atom >= 0)]
        assert (odd[atom] == number).all()
    shuffled = dataclasses.replace(ordered, intensity=np.random.default_rng(0).permutation(ordered.intensity))
    assert len(register_lattice(shuffled).basis) == 1


def test_holes_are_vacancies_and_spurious_atoms_are_left_out():
    known = crystal()
    rng = np.random.default_rng(3)
    interior = np.flatnonzero((np.abs(known.atoms.position) < 22).all(axis=1))
    missing = rng.choice(interior, 8, replace=False)
    keep = np.setdiff1d(np.arange(len(known.atoms)), missing)
    centres = known.atoms.position[keep[:: len(keep) // 15]] + TRIANGULAR.sum(axis=0) / 3
    extra = Atoms.at(centres, length_unit="angstrom", intensity=np.full(len(centres), 0.2))
    atoms = Atoms.at(
        np.concatenate([known.atoms.position[keep], extra.position]),
        length_unit="angstrom",
        intensity=np.concatenate([known.atoms.intensity[keep], extra.intensity]),
    )
    lattice = register_lattice(atoms)
    empty = lattice.position[(lattice.atom < 0) & ~lattice.boundary]
    truth = known.atoms.position[missing]
    distance = np.linalg.norm(empty[:, None] - truth, axis=2)
    assert len(empty) == len(truth)
    assert distance.min(axis=1).max() < 0.5
    assert not np.isin(np.arange(len(keep), len(atoms)), lattice.atom).any()


def test_two_grains_are_two_domains():
    known = crystal(n=26, jitter=0.01)
    angle = np.deg2rad(17)
    turned = crystal(
        vectors=TRIANGULAR @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), n=26
    )
    left = known.atoms.position[known.atoms.position[:, 1] < -1.5]
    right = turned.atoms.position[turned.atoms.position[:, 1] > 1.5]
    atoms = Atoms.at(np.concatenate([left, right]), length_unit="angstrom", intensity=np.ones(len(left) + len(right)))
    lattice = register_lattice(atoms)
    assert len(lattice.vectors) == 2
    grain = np.where(lattice.atom < len(left), 0, 1)
    filled = lattice.atom >= 0
    same = (lattice.domain[filled] == grain[filled]).mean()
    assert max(same, 1 - same) > 0.97
    assert filled.sum() > 0.9 * len(atoms)


def test_registration_does_not_depend_on_the_frame():
    known = crystal(displace=drift)
    moved = dataclasses.replace(
        known.atoms, position=known.atoms.position @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 100.0
    )
    first, second = register_lattice(known.atoms), register_lattice(moved)
    assert set(first.atom) == set(second.atom)
    assert first.boundary.sum() == second.boundary.sum()


def test_edge_atoms_are_masked():
    known = crystal()
    edge = np.abs(known.atoms.position).max(axis=1) > np.abs(known.atoms.position).max() - 2.0
    flagged = dataclasses.replace(known.atoms, flags=np.where(edge, int(AtomFlag.EDGE), 0))
    lattice = register_lattice(flagged)
    assert not np.isin(lattice.atom, np.flatnonzero(edge)).any()


@pytest.mark.parametrize(
    "position", [np.empty((0, 2)), np.zeros((1, 2)), np.random.default_rng(0).random((60, 2)) * 30]
)
def test_no_lattice_is_a_flagged_empty_result(position):
    atoms = Atoms.at(position, length_unit="angstrom", intensity=np.ones(len(position)))
    with pytest.warns(ScarceDataWarning, match="no lattice was found"):
        lattice = register_lattice(atoms)
    assert len(lattice) == 0


def test_several_images_are_refused():
    known = crystal()
    atoms = dataclasses.replace(known.atoms, image=np.arange(len(known.atoms)) % 2)
    with pytest.raises(InputError, match=r"`atoms`: expected atoms of one image"):
        register_lattice(atoms)


def test_graph_counts_bonds_and_triangles_once():
    known = crystal(jitter=0.0)
    atoms = dataclasses.replace(known.atoms, species=("A",), species_probability=np.ones((len(known.atoms), 1)))
    graph = site_graph(atoms, register_lattice(atoms))
    position = known.atoms.position[graph.atom]
    distance = np.linalg.norm(position[:, None] - position, axis=2)
    nearest = np.argwhere(np.triu(np.abs(distance - 3.16) < 0.1, 1))
    first, second = graph.pairs
    assert set(map(tuple, first)) == set(map(tuple, nearest))
    next_nearest = np.argwhere(np.triu(np.abs(distance - 3.16 * np.sqrt(3)) < 0.1, 1))
    assert set(map(tuple, second)) == set(map(tuple, next_nearest))
    adjacent = np.abs(distance - 3.16) < 0.1
    n_triangles = int(np.trace(np.linalg.matrix_power(adjacent.astype(float), 3)).round()) // 6
    assert len(graph.triangles) == n_triangles
    ring = graph.first_neighbours[~graph.boundary]
    assert (np.abs(distance[ring, np.roll(ring, 1, axis=1)] - 3.16) < 0.1).all()


def test_graph_needs_species():
    known = crystal()
    with pytest.raises(InputError, match="Call `classify_species` first"):
        site_graph(known.atoms, register_lattice(known.atoms))


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_lattice_on_whose_sites_atoms_lie_by_chance_alone_is_not_taken_for_two_grains(seed):
    recipe = CrystalRecipe(size=(16, 18), cell="square", noise=0.05, displacement=0.03, misorientation=20.0)
    crystal = simulate_defects(recipe, rng=np.random.default_rng(seed))
    lattice = register_lattice(crystal.atoms)
    assert len(lattice.vectors) == 2
    assert np.bincount(lattice.domain).min() > 60


@pytest.mark.parametrize("seed", range(6))
def test_missing_atoms_and_slow_distortion_leave_the_simple_cell(seed):
    """With a fifth of the atoms gone, the shortest translation carries too few atoms and longer ones come first."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:23, :23] * 16.0
    ideal = np.stack([row.ravel(), column.ravel()], axis=1)
    bent = ideal + np.sin(ideal[:, ::-1] / 50 + rng.uniform(0, 6, 2)) + 0.03 * rng.standard_normal(ideal.shape)
    atoms = Atoms.at(bent[rng.random(len(bent)) > 0.2], length_unit="pixel", intensity=None)
    lattice = register_lattice(atoms)
    assert len(lattice.basis) == 1
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(256, rel=0.03)
    assert (lattice.atom >= 0).sum() == len(atoms)


SEVEN_BY_SEVEN = 26.88 * np.array([[0.0, 1.0], [np.sqrt(3) / 2, 0.5]])
HALF = np.array([(1 + 2 * row, 1 + 2 * column) for row in range(3) for column in range(3 - row)]) / 7
ADATOMS = np.concatenate([HALF, 1 - HALF])
"""The twelve adatoms of Si(111)-7x7, six in either half of the cell; its corners are holes."""


def thinned(known, *, missing, seed):
    keep = np.random.default_rng(seed).random(len(known.atoms)) > missing
    return Crystal(atoms=known.atoms[keep], cell=known.cell[keep], site=known.site[keep])


def assert_every_site_is_one_of_the_true_ones(lattice, known):
    for number in range(len(lattice.basis)):
        rows = (lattice.index[:, 2] == number) & (lattice.atom >= 0)
        assert len(np.unique(known.site[lattice.atom[rows]])) == 1
        assert cells_agree(lattice, known, basis_site=number) == 1.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("strength", "missing", "told"), [(0.0, 0.08, 0.5), (0.3, 0.08, 0.5), (0.1, 0.4, 0.2)])
def test_all_adatoms_of_a_large_cell_are_its_basis(strength, missing, told, seed):
    """Its fundamental waves nearly vanish; halves differ in brightness; atoms are missing; drift stretches it.

    An empty place is called a vacancy if most cells around it have theirs: where many are missing, fewer are called.
    """
    known = crystal(
        vectors=SEVEN_BY_SEVEN,
        basis=ADATOMS,
        brightness=(1.0,) * 6 + (0.75,) * 6,
        n=6,
        jitter=0.01,
        displace=lambda position, cell: strength * drift(position, cell),
        seed=seed,
    )
    known = thinned(known, missing=missing, seed=seed + 100)
    lattice = register_lattice(known.atoms)
    assert len(lattice.basis) == 12
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(abs(np.linalg.det(SEVEN_BY_SEVEN)), rel=0.003)
    assert (lattice.atom >= 0).sum() == len(known.atoms)
    assert_every_site_is_one_of_the_true_ones(lattice, known)
    assert told < lattice.vacant.sum() / (len(known.atoms) * missing / (1 - missing)) < 1.3


def test_a_basis_of_nineteen_sites_at_uneven_distances():
    """Sites from 4 to 10 angstrom apart in a skew cell: some are closer than the radius that suits most of them."""
    rng = np.random.default_rng(0)
    vectors, places = np.array([[0.0, 25.0], [22.0, -5.0]]), [np.zeros(2)]
    while len(places) < 19:
        place = rng.random(2)
        away = np.array(places) - place
        if np.linalg.norm((away - np.round(away)) @ vectors, axis=1).min() > 4.0:
            places.append(place)
    known = crystal(vectors=vectors, basis=places, brightness=rng.uniform(0.5, 1.0, 19), n=6, jitter=0.01)
    known = thinned(known, missing=0.08, seed=1)
    lattice = register_lattice(known.atoms)
    assert len(lattice.basis) == 19
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(550, rel=0.003)
    assert_every_site_is_one_of_the_true_ones(lattice, known)


def test_a_large_cell_in_an_image_with_offsets_of_its_lines():
    """Adatoms as a tunnelling microscope shows them: sheared scan, sloping terrace, offset lines, vacancies."""
    rng = np.random.default_rng(3)
    vectors = SEVEN_BY_SEVEN / 0.59 @ np.array([[0.88, 0.5], [-0.47, 0.83]])
    row, column = np.mgrid[-9:10, -9:10].reshape(2, -1)
    cell = np.stack([row, column], axis=1)
    y, x = np.mgrid[:180, :180]
    image = 0.004 * y + 0.05 * rng.standard_normal((180, 1)) + 0.03 * rng.standard_normal((180, 180))
    for number, place in enumerate(ADATOMS):
        position = (cell + place) @ vectors + 90 + 0.3 * rng.standard_normal(cell.shape)
        present = rng.random(len(cell)) > 0.05
        inside = ((position > -8) & (position < 188)).all(axis=1)
        for middle in position[inside & present]:
            away = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
            image += (1.0 if number < 6 else 0.8) * np.exp(-away / (2 * 3.8**2))
    lattice = register_lattice(find_atoms(make_grid(image)).atoms)
    assert len(lattice.basis) == 12
    assert abs(np.linalg.det(lattice.vectors[0])) == pytest.approx(abs(np.linalg.det(vectors)), rel=0.005)
    corners = (cell @ vectors + 90)[(np.abs(cell) < 2).all(axis=1)]
    assert np.linalg.norm(corners[:, None] - lattice.position, axis=2).min() > 8.0


def test_a_dimer_in_every_cell_is_two_sites():
    known = crystal(
        vectors=15.4 * np.eye(2), basis=((0.1, 0.1), (-0.1, -0.1), (0.5, 0.5)), brightness=(1, 1, 0.5), n=10
    )
    lattice = register_lattice(known.atoms)
    assert len(lattice.basis) == 3
    assert_every_site_is_one_of_the_true_ones(lattice, known)
