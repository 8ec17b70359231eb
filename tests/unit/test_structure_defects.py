"""Planted defects are found where they are, nothing else is, and no turn, shift or order of the atoms changes that."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.data.flags import AtomFlag
from tusi.datasets.defects import CELLS, CrystalRecipe, simulate_defects
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure import register_lattice
from tusi.structure.defects import (
    Defect,
    DefectKind,
    DefectLibrary,
    DefectPatch,
    Defects,
    compare_patches,
    cut_patch,
    find_defects,
)
from tusi.structure.defects.grains import turn_between, wall_segments

HAS_ASE = importlib.util.find_spec("ase") is not None
SMALL = CrystalRecipe(size=(14, 14), noise=0.05, displacement=0.03)


def crystal(seed=0, **changes):
    return simulate_defects(dataclasses.replace(SMALL, **changes), rng=np.random.default_rng(seed))


def found_in(world):
    return find_defects(world.atoms, register_lattice(world.atoms))


def matched(found, truth, *, reach):
    """For each planted row the found row of the same kind within reach; each at most once."""
    rows = []
    for kind, position in zip(truth.kind, truth.position, strict=True):
        same = np.flatnonzero((found.kind == kind) & (found.probability >= 0.5))
        distance = np.linalg.norm(found.position[same] - position, axis=1)
        assert len(same), "a planted defect was not found"
        assert distance.min() < reach
        rows.append(int(same[distance.argmin()]))
    assert len(set(rows)) == len(rows)
    return rows


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_perfect_noisy_crystals_have_no_defect(cell):
    world = crystal(cell=cell, noise=0.1, displacement=0.08, angle=17.0)
    assert found_in(world).count() == {}


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_point_defects_are_found_and_nothing_else(cell):
    world = crystal(cell=cell, vacancies=2, substitutions=2, interstitials=2)
    found = found_in(world)
    assert found.count() == {"vacancy": 2, "substitution": 2, "interstitial": 2}
    matched(found, world.truth, reach=0.35)


def test_a_vacancy_is_placed_as_well_as_its_covariance_says():
    errors, expected = [], []
    for seed in range(6):
        world = crystal(seed, size=(16, 16), vacancies=5)
        found = found_in(world)
        for row, place in zip(matched(found, world.truth, reach=0.4), world.truth.position, strict=True):
            errors.append(((found.position[row] - place) ** 2).sum())
            expected.append(np.trace(found.covariance[row]))
    assert np.mean(errors) / np.mean(expected) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(("cell", "steps"), [("square", (1, 0)), ("triangular", (0, 1)), ("honeycomb", (1, 1))])
def test_the_burgers_vector_is_exact(cell, steps):
    core = (7.3, 6.8)
    world = crystal(3, cell=cell, angle=12.0, dislocations=((core, steps),))
    found = found_in(world).of_kind(DefectKind.DISLOCATION)
    assert len(found) == 1
    assert (found.steps == np.rint(found.steps)).all()
    assert np.linalg.norm(found.position[0] - world.truth.position[0]) < 0.5 * 3.16
    # The measured lattice is strained by the dislocation itself, so the vector agrees to some per cent.
    np.testing.assert_allclose(found.vector[0], world.truth.vector[0], atol=0.25)
    assert found.probability[0] > 0.9


def test_a_dislocation_turned_round_has_the_opposite_vector():
    both = [
        found_in(crystal(4, cell="square", dislocations=(((7.2, 6.9), steps),))).of_kind(DefectKind.DISLOCATION)
        for steps in ((1, 0), (-1, 0))
    ]
    np.testing.assert_allclose(both[0].vector[0], -both[1].vector[0], atol=0.3)


@pytest.mark.parametrize(("cell", "angle"), [("square", 20.0), ("triangular", -20.0)])
def test_a_grain_boundary_knows_its_angle_and_place(cell, angle):
    world = crystal(5, cell=cell, size=(24, 24), misorientation=angle)
    found = found_in(world)
    assert found.count()["grain boundary"] == 1
    row = int(np.flatnonzero(found.kind == DefectKind.GRAIN_BOUNDARY)[0])
    sign = 1 if _left_first(world, found, row) else -1
    miss = sign * found.misorientation[row] - angle
    assert abs(miss) < 5 * found.misorientation_error[row]
    assert found.misorientation_error[row] < 0.1
    middle = found.segments(row).mean(axis=1)
    # Where the grains meet they leave a gap, so the line lies anywhere in it.
    assert np.quantile(np.abs(middle[:, 1] - 12 * 3.16), 0.9) < 3.16
    assert found.length(row) == pytest.approx(24 * 3.16, rel=0.15)


def _left_first(world, found, row):
    """Whether the first domain of a boundary lies left of it."""
    lattice = register_lattice(world.atoms)
    return lattice.position[lattice.domain == found.domain[row, 0], 1].mean() < 12 * 3.16


@pytest.mark.parametrize(
    ("cell", "order", "shift"),
    [("square", (0.5, 0.5), (1, 0)), ("square", (0.5, 0.0), (1, 0)), ("triangular", (1 / 3, 1 / 3), (1, 0))],
)
def test_an_antiphase_boundary_knows_its_shift(cell, order, shift):
    world = crystal(6, cell=cell, size=(16, 18), order=order, phase_shift=shift, label_error=0.03)
    found = found_in(world)
    assert found.count() == {"antiphase boundary": 1}
    row = int(np.flatnonzero(found.kind == DefectKind.ANTIPHASE_BOUNDARY)[0])
    assert (found.steps[row] == np.rint(found.steps[row])).all()
    length = np.linalg.norm(found.vector[row])
    assert length == pytest.approx(3.16, rel=0.02)
    assert np.abs(found.segments(row)[..., 1] - 9 * 3.16).max() < 4.1


def test_an_ordered_crystal_without_boundary_has_none_and_shows_its_antisites():
    world = crystal(7, cell="square", size=(16, 16), order=(0.5, 0.5), substitutions=3)
    found = found_in(world)
    assert found.count() == {"substitution": 3}
    matched(found, world.truth, reach=0.4)


def test_random_labels_are_not_taken_for_order():
    world = crystal(8, cell="square", size=(16, 16))
    rng = np.random.default_rng(0)
    label = rng.random(len(world.atoms)) < 0.5
    atoms = dataclasses.replace(world.atoms, species_probability=np.stack([label, ~label], axis=1))
    assert "antiphase boundary" not in find_defects(atoms, register_lattice(atoms)).count()


def test_the_composition_of_a_single_sublattice_is_not_counted_twice():
    world = crystal(9, cell="square", size=(16, 16))
    n_atoms, rng = len(world.atoms), np.random.default_rng(0)
    lattice = register_lattice(world.atoms)

    def doubtful(n_sure):
        foreign = np.full(n_atoms, 1e-6)
        foreign[rng.permutation(n_atoms - 1)[:n_sure]] = 1 - 1e-6
        foreign[-1] = 0.5
        atoms = dataclasses.replace(world.atoms, species_probability=np.stack([1 - foreign, foreign], axis=1))
        found = find_defects(atoms, lattice)
        return next(found.probability[row] for row in range(len(found)) if n_atoms - 1 in found.members(row))

    # Probabilities that agree with their own composition are left as they are.
    for n_sure in (3, 30):
        assert doubtful(n_sure) == pytest.approx(0.5, abs=0.1)


def test_a_sublattice_without_foreign_columns_doubts_what_the_window_believes():
    """In an ordered alloy each sublattice has its own composition, and a reading that errs at times is no antisite."""
    world = crystal(14, cell="square", size=(20, 20), order=(0.5, 0.5), label_error=0.03)
    found = found_in(world)
    wrong = world.atoms.species_probability.max(axis=1)
    assert wrong.min() > 0.9
    assert found.count() == {}


def test_presence_carries_over_to_interstitials():
    world = crystal(10, interstitials=1)
    row = len(world.atoms) - 1
    presence = np.ones(len(world.atoms))
    presence[row] = 0.9
    atoms = dataclasses.replace(world.atoms, presence_probability=presence)
    found = find_defects(atoms, register_lattice(atoms)).of_kind(DefectKind.INTERSTITIAL)
    # Nine to one where an atom is expected everywhere is little where interstitials are one in hundreds.
    assert not len(found) or found.probability[0] < 0.5


@pytest.mark.parametrize("turn", [0.0, 40.0])
def test_order_and_orientation_of_the_atoms_do_not_matter(turn):
    world = crystal(11, vacancies=1, interstitials=1, substitutions=1)
    rng = np.random.default_rng(0)
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    atoms = dataclasses.replace(world.atoms[rng.permutation(len(world.atoms))])
    turned = dataclasses.replace(atoms, position=atoms.position @ rotation + [5.0, -3.0])
    one, other = (find_defects(which, register_lattice(which)) for which in (world.atoms, turned))
    assert one.count() == other.count()
    for kind in (DefectKind.VACANCY, DefectKind.INTERSTITIAL, DefectKind.SUBSTITUTION):
        moved = one.of_kind(kind).position @ rotation + [5.0, -3.0]
        np.testing.assert_allclose(moved, other.of_kind(kind).position, atol=0.02)


def test_lengths_scale_with_the_unit():
    world = crystal(12, vacancies=1, dislocations=(((4.0, 4.0), (1, 0)),), cell="square")
    pixels = dataclasses.replace(
        world.atoms, position=10 * world.atoms.position, covariance=100 * world.atoms.covariance, length_unit="pixel"
    )
    one, other = found_in(world), find_defects(pixels, register_lattice(pixels))
    assert one.count() == other.count()
    np.testing.assert_allclose(10 * one.position, other.position, rtol=1e-4)
    np.testing.assert_allclose(100 * one.covariance, other.covariance, rtol=1e-3)


def test_nothing_to_look_at_gives_an_empty_table():
    for atoms in (
        Atoms.at(np.empty((0, 2)), length_unit="pixel"),
        Atoms.at(np.zeros((1, 2)), length_unit="pixel"),
        Atoms.at(np.full((30, 2), np.nan), length_unit="pixel"),
        Atoms.at(np.random.default_rng(0).uniform(0, 50, (60, 2)), length_unit="pixel"),
    ):
        with pytest.warns(ScarceDataWarning, match="no lattice"):
            lattice = register_lattice(atoms)
        found = find_defects(atoms, lattice)
        assert len(found) == 0
        assert found.count() == {}


def test_an_atom_that_its_surroundings_displace_is_no_interstitial():
    """An atom a fifth of the distance between sites off its site is still the atom of that site."""
    world = crystal(3, cell="square")
    middle = np.linalg.norm(world.atoms.position - world.atoms.position.mean(axis=0), axis=1).argmin()
    position = world.atoms.position.copy()
    position[middle] += [0.45, 0.45]
    found = find_defects(dataclasses.replace(world.atoms, position=position), register_lattice(world.atoms))
    assert found.count() == {}


def test_flagged_atoms_are_no_interstitials():
    world = crystal(13, interstitials=1)
    flags = np.zeros(len(world.atoms), int)
    flags[-1] = AtomFlag.UNLIKELY
    atoms = dataclasses.replace(world.atoms, flags=flags)
    assert find_defects(atoms, register_lattice(atoms)).count() == {}


def test_a_lattice_of_other_atoms_is_refused():
    world = crystal()
    lattice = register_lattice(world.atoms)
    with pytest.raises(InputError, match="rows of 10 atoms"):
        find_defects(world.atoms[:10], lattice)
    with pytest.raises(InputError, match="positions in pixel"):
        find_defects(dataclasses.replace(world.atoms, length_unit="pixel"), lattice)
    several = dataclasses.replace(world.atoms, image=np.arange(len(world.atoms)))
    with pytest.raises(InputError, match="atoms of one image"):
        find_defects(several, lattice)


def test_the_table_survives_storage_and_slicing():
    rows = [
        Defect(kind=DefectKind.VACANCY, position=np.zeros(2), atoms=(1, 2, 3)),
        Defect(kind=DefectKind.GRAIN_BOUNDARY, position=np.ones(2), segments=np.arange(8.0).reshape(2, 2, 2)),
        Defect(kind=DefectKind.DISLOCATION, position=np.ones(2), atoms=(7,), steps=(1, 0), probability=0.2),
    ]
    table = Defects.of(rows, length_unit="angstrom", species=("A",))
    back = Defects.from_xarray(table.to_xarray())
    assert back.titles == ("vacancy", "grain boundary", "dislocation")
    np.testing.assert_array_equal(back.segments(1), rows[1].segments)
    part = table[[2, 0]]
    assert part.members(0).tolist() == [7]
    assert part.members(1).tolist() == [1, 2, 3]
    assert len(table[table.probability > 0.5]) == 2
    assert len(table[1]) == 1
    assert table[1].length(0) == pytest.approx(2 * np.sqrt(8))
    assert table.count() == {"vacancy": 1, "grain boundary": 1}
    with pytest.raises(InputError, match="numbers from 0 to 1"):
        Defects.of([dataclasses.replace(rows[0], probability=1.5)], length_unit="angstrom")
    with pytest.raises(InputError, match="offsets from 0"):
        dataclasses.replace(table, member_start=np.array([0, 3, 2, 4]))


@pytest.mark.parametrize("symmetry", [0.0, 60.0, 120.0])
def test_turns_are_counted_modulo_the_lattices_symmetry(symmetry):
    triangular = 3.0 * np.array([[np.sqrt(0.75), -0.5], [0.0, 1.0]])
    angle = np.deg2rad(11.0 + symmetry)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = turn_between(triangular, np.array([[1, 1], [0, 1]]) @ triangular @ rotation)
    assert turn.angle == pytest.approx(11.0)
    assert turn.strain == pytest.approx(0.0, abs=1e-9)


def test_walls_part_what_they_should():
    y, x = np.mgrid[:12, :12].reshape(2, -1).astype(float)
    rng = np.random.default_rng(0)
    place = np.stack([y, x], axis=1) + rng.normal(0, 0.02, (144, 2))
    walls = wall_segments(place, (x > 5).astype(int), widest=3.0)
    assert list(walls) == [(0, 1)]
    assert np.abs(walls[0, 1][..., 1] - 5.5).mean() < 0.1
    assert np.linalg.norm(np.diff(walls[0, 1], axis=1), axis=2).sum() == pytest.approx(11, rel=0.1)
    assert wall_segments(place, np.zeros(144, int), widest=3.0) == {}


def patches_of(kind, n, *, seed=0, **changes):
    name = DefectKind[kind.upper()]
    plural = {"vacancy": "vacancies", "interstitial": "interstitials", "substitution": "substitutions"}[kind]
    world = crystal(seed, **{"size": (18, 18), plural: n, **changes})
    lattice = register_lattice(world.atoms)
    found = find_defects(world.atoms, lattice)
    return [
        cut_patch(found, row, atoms=world.atoms, lattice=lattice, label=f"{kind} {seed}")
        for row in np.flatnonzero(found.kind == name)
    ]


def test_the_same_defect_is_known_again_turned_and_scaled():
    rng = np.random.default_rng(0)
    here = patches_of("vacancy", 4)
    there = patches_of("vacancy", 4, seed=1, angle=33.0, noise=0.1, lattice_constant=2.9)
    p_value = [compare_patches(one, other, rng=rng).p_value for one in here for other in there]
    assert np.mean(np.array(p_value) < 0.05) < 0.2
    assert np.mean(p_value) > 0.3


def test_patches_are_laid_on_each_other_so_that_the_species_agree():
    """A vacancy with one foreign neighbour, here or a third of a turn on: positions do not tell which way fits."""
    rng = np.random.default_rng(8)
    vectors = 3.0 * np.array(CELLS["triangular"][0])
    place = np.stack(np.meshgrid(range(-2, 3), range(-2, 3)), axis=-1).reshape(-1, 2) @ vectors
    place = place[(np.linalg.norm(place, axis=1) > 0.1) & (np.linalg.norm(place, axis=1) < 5.5)]
    patches = []
    for turn in (0.0, 2 * np.pi / 3):
        foreign = np.linalg.norm(place - 3.0 * np.array([np.sin(turn), np.cos(turn)]), axis=1) < 0.1
        assert foreign.sum() == 1
        patches.append(DefectPatch(
            offset=place + rng.normal(0, 0.05, place.shape), presence_probability=np.ones(len(place)),
            species_probability=np.where(foreign[:, None], [0.001, 0.999], [0.999, 0.001]), species=("A", "B"),
            vectors=vectors, scatter=0.05, radius=7.0, kind=int(DefectKind.VACANCY), length_unit="angstrom",
        ))  # fmt: skip
    assert compare_patches(*patches, rng=rng).p_value > 0.01


def test_different_defects_are_told_apart():
    rng = np.random.default_rng(0)
    kinds = [patches_of(kind, 2, seed=2) for kind in ("vacancy", "interstitial", "substitution")]
    for k, group in enumerate(kinds):
        for other in kinds[k + 1 :]:
            assert max(compare_patches(one, two, rng=rng).p_value for one in group for two in other) < 0.01


def test_patches_of_other_lattices_are_not_alike():
    rng = np.random.default_rng(0)
    match = compare_patches(patches_of("vacancy", 1)[0], patches_of("vacancy", 1, cell="square")[0], rng=rng)
    assert match.p_value == 0
    assert match.distance == np.inf


def test_comparison_is_symmetric_and_blind_to_the_order_of_atoms():
    one, other = patches_of("vacancy", 2, seed=3)
    forth = compare_patches(one, other[::-1], rng=np.random.default_rng(0))
    back = compare_patches(other, one, rng=np.random.default_rng(0))
    assert forth.distance == pytest.approx(back.distance, rel=0.1)
    assert forth.n_matched == back.n_matched == len(one)


def test_a_patch_needs_a_row_and_atoms():
    world = crystal(vacancies=1)
    lattice = register_lattice(world.atoms)
    found = find_defects(world.atoms, lattice)
    with pytest.raises(InputError, match="a number below 1"):
        cut_patch(found, 5, atoms=world.atoms, lattice=lattice)
    with pytest.raises(InputError, match="one that holds atoms"):
        cut_patch(found, 0, atoms=world.atoms, lattice=lattice, radius=0.1)


@pytest.mark.skipif(HAS_ASE, reason="ASE is installed")
def test_without_ase_the_library_says_how_to_install_it(tmp_path):
    with pytest.raises(InputError, match=r"pip install .tusi\[materials\]"):
        DefectLibrary(tmp_path / "defects.db")


@pytest.mark.skipif(not HAS_ASE, reason="needs the extra `materials`")
def test_the_library_keeps_patches_and_finds_them(tmp_path):
    rng = np.random.default_rng(0)
    library = DefectLibrary(tmp_path / "defects.db")
    assert len(library) == 0
    assert library.search(patches_of("vacancy", 1)[0], rng=rng) == []
    stored = [patches_of(kind, 1, seed=4)[0] for kind in ("vacancy", "interstitial", "substitution")]
    numbers = [library.add(patch) for patch in stored]
    again = DefectLibrary(tmp_path / "defects.db")
    assert len(again) == 3
    for number, patch in zip(numbers, stored, strict=True):
        np.testing.assert_array_equal(again.patch(number).offset, patch.offset)
        assert again.patch(number).label == patch.label
        assert again.patch(number).species == patch.species
    for kind, number in zip(("vacancy", "interstitial", "substitution"), numbers, strict=True):
        best = again.search(patches_of(kind, 1, seed=5, angle=50.0)[0], rng=rng, any_kind=True)
        assert best[0].number == number
        assert best[0].match.p_value > 0.01 > best[1].match.p_value
    with pytest.raises(InputError, match="one of the 3 entries"):
        again.patch(99)
    with pytest.raises(InputError, match=r"ends in \.db"):
        DefectLibrary(tmp_path / "defects.sqlite")


def test_impossible_recipes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="one of square"):
        simulate_defects(CrystalRecipe(cell="kagome"), rng=rng)
    with pytest.raises(InputError, match="room for 500"):
        simulate_defects(CrystalRecipe(vacancies=500), rng=rng)


def test_every_kind_is_drawn_and_named():
    from tusi.plot import new_figure
    from tusi.plot.defects import draw_defects, draw_patch

    rows = [
        Defect(kind=kind, position=np.array([5.0, 5.0]), covariance=np.eye(2), probability=0.8, steps=(1, 0),
               vector=(0.0, 3.0), misorientation=5.0 if kind == DefectKind.GRAIN_BOUNDARY else np.nan,
               segments=np.array([[[0.0, 5.0], [10.0, 5.0]]]) if kind.is_boundary else np.empty((0, 2, 2)))
        for kind in DefectKind
    ]  # fmt: skip
    axes = new_figure(4, 4).add_subplot()
    draw_defects(axes, Defects.of(rows, length_unit="angstrom"), radius=1.0)
    drawn = {artist.get_gid() for artist in axes.collections}
    assert {"vacancy", "substitution", "interstitial", "grain_boundary", "antiphase_boundary"} <= drawn
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"{kind.title}: 1" for kind in DefectKind]
    assert draw_patch(new_figure(2, 2).add_subplot(), patches_of("vacancy", 1)[0]).get_title() == "vacancy 0"
    empty = new_figure(2, 2).add_subplot()
    draw_defects(empty, Defects.of([], length_unit="angstrom"), radius=1.0)
    assert empty.get_legend() is None


@pytest.mark.parametrize(("share", "counted"), [(0.05, True), (0.4, False)])
def test_species_of_an_alloy_are_its_composition_and_not_defects(share, counted):
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:16, :16] * 3.0
    atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(256))
    label = (rng.random(256) < share).astype(int)
    atoms = dataclasses.replace(
        atoms,
        species=("Mo", "Re"),
        species_probability=np.eye(2)[label],
        covariance=np.zeros((256, 2, 2)) + 1e-4 * np.eye(2),
    )
    found = find_defects(atoms, register_lattice(atoms)).count().get("substitution", 0)
    assert (found == label.sum()) if counted else (found == 0)
