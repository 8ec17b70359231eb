"""Order parameters: exact where the crystal is, errors exact to first order, blind to what they should not see."""

import dataclasses

import numpy as np
import pytest

from tusi.data import Atoms, Lattice, NoiseModel, make_grid
from tusi.datasets.crystals import (
    CrystalRecipe,
    Dimerisation,
    OffCentre,
    Polar,
    StrainField,
    simulate_crystal,
)
from tusi.errors import InputError
from tusi.structure import register_lattice
from tusi.structure.order import (
    BornCharge,
    Cage,
    HiddenDisplacementTest,
    alternations,
    bond_alternation,
    bond_order,
    dimerisation,
    displacement_scatter,
    find_cage,
    geometric_phase,
    hidden_displacements,
    pair_distribution,
    polarisation,
    row_curvature,
    short_range_order,
    strain,
    tilt,
    unit_cells,
)
from tusi.structure.order.shells import lattice_shells

GRADIENT = ((0.012, 0.004), (-0.006, -0.015))


def crystal(recipe=None, *, seed=0, **fields):
    recipe = CrystalRecipe(**fields) if recipe is None else recipe
    return simulate_crystal(recipe, rng=np.random.default_rng(seed))


def exact(made):
    """The same crystal with its true positions."""
    return dataclasses.replace(made.atoms, position=made.position)


def waves(atoms, lattice):
    return dimerisation(atoms, lattice, pooling=1).table


def vector_tilt(atoms, lattice):
    return tilt(atoms, lattice, cage=find_cage(lattice, centre=1))


def off_centring(atoms, lattice):
    return polarisation(atoms, lattice, cage=find_cage(lattice, centre=1), born=BornCharge(charge=2.0, volume=60.0))


PEROVSKITE = CrystalRecipe.with_anions(shape=(4, 4), tilt=0.1, strain=StrainField(gradient=GRADIENT), noise=0.08)
METAL = CrystalRecipe.triangular(shape=(5, 5), dimerisation=Dimerisation(amplitude=0.2), noise=0.08)


@pytest.mark.parametrize(
    ("measure", "recipe"),
    [
        (unit_cells, PEROVSKITE),
        (lambda atoms, lattice: strain(atoms, lattice, reference=lattice.vectors[0]), PEROVSKITE),
        (off_centring, PEROVSKITE),
        (vector_tilt, PEROVSKITE),
        (lambda atoms, lattice: row_curvature(atoms, lattice, half_length=1), PEROVSKITE),
        (bond_alternation, METAL),
        (waves, METAL),
    ],
    ids=["cells", "strain", "polarisation", "tilt", "curvature", "bonds", "waves"],
)
def test_covariance_is_that_of_the_positions_to_first_order(measure, recipe):
    made = crystal(recipe)
    table, step = measure(made.atoms, made.lattice), 1e-5
    inside = np.isfinite(table.value).all(axis=1)
    assert inside.any()
    total = np.zeros((inside.sum(), *table.covariance.shape[1:]))
    for atom in range(len(made.atoms)):
        slope = []
        for axis in range(2):
            moved = made.atoms.position.copy()
            moved[atom, axis] += step
            changed = measure(dataclasses.replace(made.atoms, position=moved), made.lattice)
            slope.append((changed.value - table.value)[inside] / step)
        jacobian = np.stack(slope, axis=-1)
        total += jacobian @ made.atoms.covariance[atom] @ np.swapaxes(jacobian, 1, 2)
    scale = np.abs(total).max(axis=(1, 2), keepdims=True)
    assert np.abs(table.covariance[inside] - total).max(where=scale > 0, initial=0) < 2e-3 * scale.max()
    assert np.isnan(table.covariance[~inside]).all(axis=(1, 2)).all()


def test_uniform_strain_is_exact_whatever_sits_in_the_cell():
    gradient = np.array(GRADIENT)
    made = crystal(shape=(8, 8), noise=0.0, strain=StrainField(gradient=GRADIENT), polar=Polar(displacement=(0.1, 0.2)))
    table = strain(made.atoms, made.lattice, reference=np.array(made.recipe.vectors))
    expected = [gradient[0, 0], gradient[1, 1], gradient[[0, 1], [1, 0]].mean(), (gradient[0, 1] - gradient[1, 0]) / 2]
    inside = np.isfinite(table.value).all(axis=1)
    assert inside.sum() == 2 * 6 * 6
    assert np.allclose(table.value[inside], expected)
    relative = strain(made.atoms, made.lattice)
    assert np.allclose(relative.value[inside], 0, atol=1e-12)


def test_rotation_turns_from_x_to_y():
    made = crystal(CrystalRecipe.triangular(shape=(7, 7), noise=0.0))
    turned = dataclasses.replace(
        made.atoms, position=made.position + 0.01 * np.stack([made.position[:, 1], -made.position[:, 0]], axis=1)
    )
    table = strain(turned, made.lattice, reference=np.array(made.recipe.vectors))
    assert np.nanmax(np.abs(table.column("rotation") - 0.01)) < 1e-12
    assert np.nanmax(np.abs(table.column("strain_xy"))) < 1e-12


def test_dimerisation_is_no_strain():
    made = crystal(CrystalRecipe.triangular(shape=(8, 8), noise=0.0, dimerisation=Dimerisation(amplitude=0.3)))
    assert np.nanmax(np.abs(strain(made.atoms, made.lattice, reference=made.lattice.vectors[0]).value)) < 1e-12


def test_the_area_of_a_cell_is_that_of_its_quadrangle():
    made = crystal(shape=(5, 5), noise=0.3)
    table = unit_cells(made.atoms, made.lattice)
    index = {tuple(site): atom for site, atom in zip(made.lattice.index.tolist(), made.lattice.atom, strict=True)}
    corner = made.atoms.position[[index[1, 1, 0], index[2, 1, 0], index[2, 2, 0], index[1, 2, 0]]]
    following = np.roll(corner, -1, axis=0)
    shoelace = 0.5 * abs((corner[:, 0] * following[:, 1] - corner[:, 1] * following[:, 0]).sum())
    row = np.flatnonzero(table.atom == index[1, 1, 0])
    assert table.column("area")[row] == pytest.approx(shoelace)
    assert table.units == ("angstrom", "angstrom", "rad", "angstrom^2")


def test_polarisation_of_a_known_displacement():
    made = crystal(shape=(6, 6), noise=0.0, polar=Polar(displacement=(0.0, 0.1)))
    cage = find_cage(made.lattice, centre=1)
    table = polarisation(made.atoms, made.lattice, cage=cage, born=BornCharge(charge=7.0, volume=64.0))
    assert np.nanmax(np.abs(table.column("displacement_x") - 0.1)) < 1e-12
    assert table.column("polarisation_x")[0] == pytest.approx(7 * 1.602176634e-19 * 0.1e-10 / 64e-30)
    assert table.unit("polarisation_x") == "C/m^2"
    assert int(np.isnan(table.value[:, 0]).sum()) == 11


def test_cages_are_found():
    anions = crystal(CrystalRecipe.with_anions(shape=(4, 4))).lattice
    assert {step[2] for step in find_cage(anions, centre=1).steps} == {2, 3}
    assert {step[2] for step in find_cage(anions, centre=1, of=(0,)).steps} == {0}
    metal = crystal(CrystalRecipe.triangular(shape=(4, 4))).lattice
    assert find_cage(metal, centre=0).n_neighbours == 6
    with pytest.raises(InputError, match="`centre`: expected a site with a shell of neighbours all around it"):
        find_cage(crystal(basis=((0.0, 0.0), (0.2, 0.0)), intensity=(1.0, 1.0), shape=(4, 4)).lattice, centre=1)
    with pytest.raises(InputError, match="`basis_site`: expected one of"):
        find_cage(metal, centre=3)
    with pytest.raises(InputError, match="`steps`: expected two or more"):
        Cage(centre=0, steps=((0, 1, 0),))
    with pytest.raises(InputError, match="got the centre itself"):
        Cage(centre=0, steps=((0, 1, 0), (0, 0, 0)))


def test_tilts_to_and_fro_are_told_from_a_uniform_one():
    made = crystal(CrystalRecipe.with_anions(shape=(10, 10), tilt=0.05, noise=0.02))
    table = vector_tilt(made.atoms, made.lattice)
    found = {one.pattern: one for one in alternations(table, made.lattice, name="tilt")}
    assert found[1, 1].p_value < 1e-6
    assert abs(found[1, 1].mean - 0.05) < 4 * found[1, 1].standard_error
    assert min(found[pattern].p_value for pattern in ((0, 0), (1, 0), (0, 1))) > 1e-3
    cage = Cage(centre=1, steps=((0, 0, 2), (0, 1, 2), (0, 0, 3), (1, 0, 3)))
    turned = np.array([[-0.1, -2.0], [0.1, 2.0], [-2.0, 0.1], [2.0, -0.1]])
    uniform = tilt(exact(made), made.lattice, cage=cage, reference=turned).column("tilt")
    assert np.nanmean(uniform) == pytest.approx(-np.arctan(0.05), abs=2e-3)
    with pytest.raises(InputError, match="`reference`: expected 4 finite vectors"):
        tilt(made.atoms, made.lattice, cage=cage, reference=np.zeros((3, 2)))


def test_curvature_of_a_circle():
    radius, angle = 200.0, np.arange(-7, 8) * 0.02
    place = np.concatenate([[[r * np.cos(a), r * np.sin(a)] for a in angle] for r in (radius, radius + 4.0)])
    index = np.array([[row, column, 0] for row in range(2) for column in range(15)])
    lattice = Lattice(
        index=index,
        position=place,
        atom=np.arange(30),
        vacancy_probability=np.zeros(30),
        domain=np.zeros(30),
        boundary=np.zeros(30, bool),
        vectors=[[[4.0, 0.0], [0.0, 4.0]]],
        basis=[[0.0, 0.0]],
        length_unit="angstrom",
    )
    table = row_curvature(Atoms.at(place, length_unit="angstrom"), lattice, half_length=2)
    value = table.column("curvature")
    assert np.nanmax(np.abs(value[:15] + 1 / radius)) < 1e-5
    assert np.isfinite(value).sum() == 2 * 11
    with pytest.raises(InputError, match="`step`: expected a step other than none"):
        row_curvature(Atoms.at(place, length_unit="angstrom"), lattice, step=(0, 0))


@pytest.mark.parametrize("wave", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("lattice", ["triangular", "square"])
def test_each_wave_is_seen_in_its_own_column_alone(wave, lattice):
    fields = {
        "shape": (9, 9),
        "noise": 0.0,
        "dimerisation": Dimerisation(amplitude=0.2, wave=wave),
        "strain": StrainField(gradient=GRADIENT),
    }
    square = {"vectors": ((3.0, 0.0), (0.0, 3.0)), "basis": ((0.0, 0.0),), "intensity": (1.0,)}
    made = crystal(CrystalRecipe.triangular(**fields) if lattice == "triangular" else CrystalRecipe(**fields, **square))
    table = waves(made.atoms, made.lattice)
    size = np.nanmean(np.abs(table.value).reshape(len(table), 3, 2), axis=0)
    own = [(1, 0), (0, 1), (1, 1)].index(wave)
    assert np.hypot(*size[own]) == pytest.approx(0.2)
    assert np.delete(size, own, axis=0).max() < 1e-12


def test_dimerised_part_of_a_disordered_crystal_is_found():
    part = Dimerisation(amplitude=0.25, wave=(0, 1), columns=(0, 14))
    made = crystal(CrystalRecipe.triangular(shape=(30, 30), noise=0.05, disorder=0.07, dimerisation=part))
    found = dimerisation(made.atoms, made.lattice)
    column = np.where(np.isfinite(found.p_value), made.lattice.index[found.table.atom, 1], 15)
    assert abs(found.disorder - 0.07) < 0.015
    assert np.nanmean(found.p_value[column < 13] < 0.01) > 0.9
    assert 0.005 < np.nanmean(found.p_value[column > 17] < 0.05) < 0.12
    assert np.nanmedian(found.wave_probability[column < 13, 1]) > 0.95
    along = np.array(made.recipe.vectors)[0]
    inside = column < 13
    assert np.nanmedian(found.chain_angle[inside]) == pytest.approx(np.arctan2(*along) % np.pi)
    assert np.nanmedian(found.amplitude[inside]) == pytest.approx(0.25, abs=0.04)


def test_a_perfect_crystal_has_nothing_to_test():
    made = crystal(CrystalRecipe.triangular(shape=(8, 8), noise=0.0))
    found = dimerisation(made.atoms, made.lattice)
    assert np.isnan(found.p_value).all()
    assert np.nanmax(found.amplitude) < 1e-9
    square = crystal(shape=(8, 8), noise=0.0)
    with pytest.raises(InputError, match="16 centres or more with a whole cage and known covariances"):
        hidden(square)


def test_dimerisation_without_errors_is_tested_against_the_scatter():
    wave = Dimerisation(amplitude=0.3)
    made = crystal(CrystalRecipe.triangular(shape=(20, 20), noise=0.06, dimerisation=wave))
    found = dimerisation(Atoms.at(made.atoms.position, length_unit="angstrom"), made.lattice)
    assert np.isnan(found.table.covariance).all()
    assert found.disorder == pytest.approx(0.077, abs=0.015)
    assert found.share == 1.0


def test_scatter_is_random_displacement_beyond_the_errors():
    for scatter in (0.0, 0.08):
        made = crystal(CrystalRecipe.triangular(shape=(32, 32), noise=0.05, disorder=scatter), seed=3)
        assert displacement_scatter(made.atoms, made.lattice) ** 2 == pytest.approx(scatter**2, abs=1e-3)


def test_geometric_phase_of_a_strained_grating():
    y, x = np.mgrid[:90, :130].astype(float)
    gradient = np.array(GRADIENT)
    place = np.stack([y, x], axis=-1) @ np.linalg.inv(np.eye(2) + gradient).T
    image = 200 + 60 * np.cos(2 * np.pi * place[..., 0] / 7) + 60 * np.cos(2 * np.pi * place[..., 1] / 7)
    found = geometric_phase(make_grid(image), vectors=7 * np.eye(2), noise=NoiseModel())
    table = found.at(np.array([[45.0, 65.0], [2.0, 2.0], [22.0, 107.0]]))
    expected = [gradient[0, 0], gradient[1, 1], gradient[[0, 1], [1, 0]].mean(), (gradient[0, 1] - gradient[1, 0]) / 2]
    assert np.allclose(table.value[[0, 2]], expected, atol=1e-4)
    assert np.isnan(table.value[1]).all()
    assert found.resolved.values[25:-25, 25:-25].all()
    assert found.strain.dims == ("channel", "y", "x")


def test_geometric_phase_is_right_near_the_frame():
    """Strain that differs from the image's mean, three widths from where the Gaussian is cut."""
    y, x = np.mgrid[:90, :160].astype(float)
    bend, amplitude = 400 / (2 * np.pi), 0.03
    image = (
        200 + 60 * np.cos(2 * np.pi * (x - amplitude * bend * np.sin(x / bend)) / 7) + 60 * np.cos(2 * np.pi * y / 7)
    )
    found = geometric_phase(make_grid(image), vectors=7 * np.eye(2), noise=NoiseModel())
    inverse = amplitude * np.cos(x[45] / bend) * np.exp(-0.5 * (7 / bend) ** 2)
    miss = found.strain.sel(channel="strain_xx").values[45] - inverse / (1 - inverse)
    assert np.abs(miss[22:-22]).max() < 7e-5


def test_geometric_phase_says_what_it_smooths_away():
    y, x = np.mgrid[:150, :150].astype(float)
    bend = 60.0 / (2 * np.pi)
    for amplitude, seen in ((0.02, False), (0.0002, True)):
        image = 200 + 60 * np.cos(2 * np.pi * (x - amplitude * bend * np.sin(x / bend)) / 7) + 60 * np.cos(y)
        found = geometric_phase(make_grid(image), vectors=np.diag([2 * np.pi, 7.0]), noise=NoiseModel(), width=7.0)
        assert (found.resolved.values[30:-30, 30:-30] == seen).all()
        lost = 1 - np.exp(-0.5 * (7.0 / bend) ** 2)
        estimate = np.nanmedian(found.smoothing.sel(channel="strain_xx"))
        assert estimate == pytest.approx(lost * amplitude / np.sqrt(2) if not seen else 0.0, rel=0.4, abs=5e-4)


def test_geometric_phase_states_its_noise():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:110, :110].astype(float)
    mean = 20 + 15 * np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 8)
    score = []
    for _ in range(8):
        grid = make_grid(rng.poisson(mean).astype(float))
        found = geometric_phase(grid, vectors=np.array([[4.0, 4.0], [-4.0, 4.0]]), width=6.0, noise=NoiseModel())
        score.append((found.strain / found.standard_error).values[:, 20:-20:10, 20:-20:10])
    assert np.std(np.array(score), axis=(0, 2, 3)) == pytest.approx(np.ones(4), abs=0.12)


def test_geometric_phase_refuses_what_it_cannot_use():
    with pytest.raises(InputError, match="`vectors`: expected two independent lattice vectors"):
        geometric_phase(make_grid(np.ones((20, 20))), vectors=np.ones((2, 2)))
    with pytest.raises(InputError, match="`width`: expected at least a pixel"):
        geometric_phase(make_grid(np.ones((20, 20))), vectors=5 * np.eye(2), width=-1.0)
    with pytest.raises(InputError, match="fringes longer than two pixels"):
        geometric_phase(make_grid(np.ones((20, 20))), vectors=1.5 * np.eye(2), noise=NoiseModel())
    flat = geometric_phase(make_grid(np.ones((40, 40))), vectors=5 * np.eye(2), noise=NoiseModel())
    assert np.isnan(flat.strain.values).all()


def labelled(made, probability, species=("A", "B")):
    return dataclasses.replace(made.atoms, species=species, species_probability=probability)


SQUARE = {"vectors": ((3.0, 0.0), (0.0, 3.0)), "basis": ((0.0, 0.0),), "intensity": (1.0,)}


def test_short_range_order_of_a_chessboard():
    made = crystal(shape=(10, 10), **SQUARE)
    second = made.lattice.index[:, :2].sum(axis=1) % 2.0
    atoms = labelled(made, np.stack([1 - second, second], axis=1))
    order = short_range_order(atoms, made.lattice, rng=np.random.default_rng(0), n_permutations=99)
    assert order.parameter[:, 0, 1] == pytest.approx([-1.0, 1.0, 1.0])
    assert order.parameter[0, 0, 0] == pytest.approx(1.0)
    assert order.p_value.tolist() == [0.01, 0.01, 0.01]
    assert order.n_pairs.tolist() == [180, 162, 160]


def test_short_range_order_by_the_definition_for_three_species():
    made = crystal(CrystalRecipe.triangular(shape=(9, 9)))
    rng = np.random.default_rng(4)
    label = rng.integers(0, 3, len(made.atoms))
    atoms = labelled(made, np.eye(3)[label], ("A", "B", "C"))
    order = short_range_order(atoms, made.lattice, rng=rng, n_shells=1, n_permutations=19)
    cell = {tuple(one[:2]): kind for one, kind in zip(made.lattice.index.tolist(), label, strict=True)}
    pairs = [
        (kind, cell[row + i, column + j])
        for (row, column), kind in cell.items()
        for i, j in lattice_shells(made.lattice, basis_site=0, n_shells=1)[0]
        if (row + i, column + j) in cell
    ]
    one, other = np.eye(3)[np.array(pairs).T]
    fraction = np.eye(3)[label].mean(axis=0)
    covariance = (one - fraction).T @ (other - fraction) / len(pairs)
    assert np.allclose(order.parameter[0], -covariance / np.outer(fraction, fraction))


def test_uncertain_species_do_not_weaken_the_order():
    made = crystal(shape=(40, 40), **SQUARE)
    rng = np.random.default_rng(1)
    index = made.lattice.index
    flipped = rng.random(1600) < 0.2
    second = (index[:, :2].sum(axis=1) + flipped) % 2
    signal = second + 0.5 * rng.standard_normal(1600)
    probability = 1 / (1 + np.exp(-(signal - 0.5) / 0.25))
    atoms = labelled(made, np.stack([1 - probability, probability], axis=1))
    order = short_range_order(atoms, made.lattice, rng=rng, n_shells=1, n_permutations=19)
    assert abs(order.parameter[0, 0, 1] + 0.36) < 3 * order.standard_error[0, 0, 1]
    assert order.standard_error[0, 0, 1] < 0.06


def test_short_range_order_without_species():
    made = crystal(shape=(6, 6), **SQUARE)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="Call `classify_species` first"):
        short_range_order(made.atoms, made.lattice, rng=rng)
    pure = short_range_order(labelled(made, np.tile([1.0, 0.0], (36, 1))), made.lattice, rng=rng, n_permutations=19)
    assert np.isnan(pure.parameter).all()
    assert np.isnan(pure.p_value).all()


def test_pair_distribution_by_the_definition():
    rng = np.random.default_rng(0)
    place = rng.uniform(0, 20, (60, 2))
    species = np.eye(2)[rng.integers(0, 2, 60)]
    atoms = dataclasses.replace(
        Atoms.at(place, length_unit="angstrom"), species=("A", "B"), species_probability=species
    )
    found = pair_distribution(atoms, reach=6.0, n_bins=3, window=((0, 20), (0, 20)))
    difference = np.abs(place[:, None] - place)
    distance = np.linalg.norm(difference, axis=2)
    weight = 1 / np.prod(20 - difference, axis=2)
    for k in range(3):
        inside = (distance > 2 * k) & (distance <= 2 * k + 2)
        ring = np.pi * ((2 * k + 2) ** 2 - (2 * k) ** 2)
        assert found.of("total")[k] == pytest.approx((weight * inside).sum() / ring * 400**2 / 60**2)
        mixed = (species[:, :1] * species[:, 1] * weight * inside).sum()
        n_a, n_b = species.sum(axis=0)
        assert found.of("A-B")[k] == pytest.approx(mixed / ring * 400**2 / n_a / n_b)
    with pytest.raises(InputError, match="`reach`: expected at most half"):
        pair_distribution(atoms, reach=30.0)
    with pytest.raises(InputError, match="two columns or more"):
        pair_distribution(atoms[:1], reach=1.0)
    with pytest.raises(InputError, match="`name`: expected one of total, A-A, A-B, B-B"):
        found.of("A-C")


def test_bonds_of_ideal_lattices_agree():
    for recipe, folds in (
        (CrystalRecipe.triangular(shape=(9, 9), noise=0.0), 6),
        (CrystalRecipe(shape=(9, 9), **SQUARE, noise=0.0), 4),
    ):
        made = crystal(recipe)
        table = bond_order(made.atoms, folds=folds)
        inner = ~made.lattice.boundary
        assert np.allclose(table.column("magnitude")[inner], 1.0)
        assert np.allclose(table.column("psi_real")[inner], 1.0)


def test_noise_neither_lifts_nor_blurs_bond_order():
    made = crystal(CrystalRecipe.triangular(shape=(24, 24), noise=0.1))
    inner = ~made.lattice.boundary
    blind = bond_order(Atoms.at(made.atoms.position, length_unit="angstrom"), folds=6).column("magnitude")[inner]
    told = bond_order(made.atoms, folds=6).column("magnitude")[inner]
    assert blind.mean() < 0.96
    assert abs(told.mean() - 1) < 0.01
    with pytest.raises(InputError, match="`folds`: expected at least 1"):
        bond_order(made.atoms, folds=0)


QUICK = HiddenDisplacementTest(n_replicas=39)


def hidden(made, seed=1):
    cage = find_cage(made.lattice, centre=1)
    return hidden_displacements(made.atoms, made.lattice, cage=cage, rng=np.random.default_rng(seed), settings=QUICK)


def test_displacements_that_average_to_zero_are_told_from_none():
    still, sites = crystal(shape=(14, 14)), crystal(shape=(14, 14), off_centre=OffCentre(amplitude=0.2, n_sites=4))
    none, found = hidden(still), hidden(sites)
    assert none.p_value > 0.025
    assert none.amplitude_interval[0] == 0
    assert found.p_value == 0.025
    assert found.few_sites_p_value == 0.025
    assert found.sites.likeliest == 4
    assert found.amplitude_interval[0] < 0.2 < found.amplitude_interval[1]
    assert np.hypot(*found.mean) < 0.05
    angle = found.sites.angle[found.sites.n_sites.index(4)]
    assert angle == pytest.approx(np.pi / 4, abs=0.1)


def test_displacements_alike_in_regions_are_correlated():
    polar = OffCentre(amplitude=0.15, correlation_length=2.0)
    found = hidden(crystal(shape=(16, 16), off_centre=polar))
    assert found.correlation_p_value.tolist() == [0.025] * 3
    assert 0.6 < found.correlation[0] < 1.1
    assert (np.diff(found.correlation) < 0).all()
    alone = hidden(crystal(shape=(16, 16), off_centre=dataclasses.replace(polar, correlation_length=0.0)))
    assert np.abs(alone.correlation).max() < 0.3


def test_hidden_displacements_need_errors_and_centres():
    made = crystal(shape=(8, 8))
    unknown = Atoms.at(made.atoms.position, length_unit="angstrom")
    cage = find_cage(made.lattice, centre=1)
    with pytest.raises(InputError, match="16 centres or more with a whole cage and known covariances; got 0"):
        hidden_displacements(unknown, made.lattice, cage=cage, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="n_replicas >= 19"):
        HiddenDisplacementTest(n_replicas=3)


def test_unknown_covariances_stay_unknown():
    made = crystal(CrystalRecipe.with_anions(shape=(5, 5)))
    atoms = Atoms.at(made.atoms.position, length_unit="angstrom")
    for table in (unit_cells(atoms, made.lattice), off_centring(atoms, made.lattice), vector_tilt(atoms, made.lattice)):
        assert np.isnan(table.covariance).all()
        assert np.isfinite(table.value).any()


def test_a_lattice_of_other_atoms_is_refused():
    made = crystal(shape=(5, 5))
    with pytest.raises(InputError, match="`lattice`: expected rows of atoms below 3"):
        strain(made.atoms[:3], made.lattice)
    with pytest.raises(InputError, match="`lattice`: expected lengths in pixel"):
        strain(dataclasses.replace(made.atoms, length_unit="pixel"), made.lattice)
    with pytest.raises(InputError, match="got an empty lattice"):
        strain(made.atoms, made.lattice[:0])
    with pytest.raises(InputError, match="`reference`: expected vectors within a fifth"):
        strain(made.atoms, made.lattice, reference=2 * np.eye(2))
    pixels = dataclasses.replace(made.lattice, length_unit="pixel")
    atoms = dataclasses.replace(made.atoms, length_unit="pixel")
    with pytest.raises(InputError, match="`born`: expected positions in angstrom"):
        polarisation(atoms, pixels, cage=find_cage(pixels, centre=1), born=BornCharge(charge=1.0, volume=60.0))


def test_two_sublattices_are_told_apart_under_slow_changes_of_brightness():
    made = crystal(shape=(14, 20), noise=0.03)
    y, x = made.position.T
    bright = made.atoms.intensity * np.exp(np.sin(x / 20.0) + 0.03 * y)
    lattice = register_lattice(dataclasses.replace(made.atoms, intensity=bright))
    assert len(lattice.basis) == 2
    assert np.linalg.norm(lattice.vectors[0], axis=1) == pytest.approx([3.9, 3.9], abs=0.02)


def test_a_long_cell_with_many_sites_is_found():
    basis = ((0.0, 0.0), (0.5, 0.0), (0.65, 0.45), (0.35, 0.45), (0.8, 0.0), (0.2, 0.0))
    made = crystal(
        vectors=((18.0, 0.0), (0.0, 3.96)),
        basis=basis,
        intensity=(1.0, 0.9, 0.8, 0.8, 0.6, 0.6),
        shape=(9, 40),
        noise=0.05,
        strain=StrainField(amplitude=0.3, wavelength=200.0),
    )
    lattice = register_lattice(made.atoms)
    assert len(lattice.basis) == 6
    assert sorted(np.linalg.norm(lattice.vectors[0], axis=1)) == pytest.approx([3.96, 18.0], rel=0.02)
    assert (lattice.atom >= 0).mean() > 0.97
