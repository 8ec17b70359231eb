"""Plane groups: the seventeen groups themselves, exact symmetry, and the posterior where its answer is known."""

import dataclasses

import numpy as np
import pytest

from tusi.datasets.motifs import MotifRecipe, measure_window, simulate_motif_window
from tusi.errors import InputError
from tusi.structure.symmetry import (
    EQUAL_SIDES,
    PLANE_GROUPS,
    RIGHT_ANGLE,
    Alternative,
    Constraint,
    CrystalStructure,
    MeanCell,
    SlidingCells,
    SymmetryPosterior,
    SymmetryPrior,
    compare_alternatives,
    draw_lattice,
    expected_window,
    identify_group,
    infer_symmetry,
    map_symmetry,
    mean_cell,
    plane_group,
)
from tusi.structure.symmetry.evidence import measured
from tusi.structure.symmetry.operations import product_table, subgroups
from tusi.structure.symmetry.posterior import find_strata, log_parents
from tusi.structure.symmetry.prior import n_occupations, proper_subgroups
from tusi.structure.symmetry.structures import distort, draw_parent

GENERAL = SymmetryPrior(positions="general", most_orbits=4)

PUBLISHED = {
    "p1": ((), 1),
    "p2": ((1, 1, 1, 1), 2),
    "pm": ((1, 1), 2),
    "pg": ((), 2),
    "cm": ((2,), 4),
    "pmm": ((1, 1, 1, 1, 2, 2, 2, 2), 4),
    "pmg": ((2, 2, 2), 4),
    "pgg": ((2, 2), 4),
    "cmm": ((2, 2, 4, 4, 4), 8),
    "p4": ((1, 1, 2), 4),
    "p4m": ((1, 1, 2, 4, 4, 4), 8),
    "p4g": ((2, 2, 4), 8),
    "p3": ((1, 1, 1), 3),
    "p3m1": ((1, 1, 1, 3), 6),
    "p31m": ((1, 2, 3), 6),
    "p6": ((1, 2, 3), 6),
    "p6m": ((1, 2, 3, 6, 6), 12),
}
"""Multiplicities of special and general positions in the conventional cell, International Tables A."""


def tables(name):
    group = plane_group(name)
    products = np.einsum("gab,hbc->ghac", group.rotation, group.rotation)
    shifts = np.einsum("gab,hb->gha", group.rotation, group.translation) + group.translation[:, None]
    return group, products, shifts


@pytest.mark.parametrize("name", PLANE_GROUPS)
def test_operations_form_the_group_that_they_are_named_after(name):
    group, products, shifts = tables(name)
    for product, shift in zip(products.reshape(-1, 2, 2), shifts.reshape(-1, 2), strict=True):
        place = np.flatnonzero((group.rotation == product).all(axis=(1, 2)))
        assert len(place) == 1
        difference = shift - group.translation[place[0]]
        assert np.abs(difference - np.round(difference)).max() < 1e-9
    points, lines, general = group.multiplicities
    cells = 2 if group.lattice == "centred" else 1
    assert tuple(sorted(cells * n for n in points + lines)) == PUBLISHED[name][0]
    assert cells * general == PUBLISHED[name][1]


@pytest.mark.parametrize("name", PLANE_GROUPS)
def test_the_name_does_not_depend_on_origin_basis_or_cell(name):
    group = plane_group(name)
    shift = (np.eye(2) - group.rotation) @ [0.123, 0.456]
    basis = np.array([[2, 1], [1, 1]])
    back = np.linalg.inv(basis)
    turned = np.rint(basis @ group.rotation @ back).astype(int)
    moved = (group.translation + shift) @ basis.T
    assert identify_group(turned, moved) == name
    quarters = np.concatenate([(moved + step) / 2 for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    assert identify_group(np.concatenate([turned] * 4), quarters) == name


def test_subgroups_are_those_of_the_tables():
    assert sum(proper_subgroups("p4m").values()) == pytest.approx(1)
    assert set(proper_subgroups("p31m")) == {"p1", "cm", "p3"}
    assert proper_subgroups("p6m")["cm"] == pytest.approx(6 / 15)
    assert n_occupations((1, 1, 1), (3, 6), n_atoms=3) == ((1, 1), (3, 1))


@pytest.mark.parametrize("name", PLANE_GROUPS)
def test_structures_have_the_group_that_they_are_made_with_and_keep_what_distortion_keeps(name):
    rng = np.random.default_rng(5)
    group = plane_group(name)
    structure, made_with = draw_parent(group, 3 * group.order, prior=GENERAL, rng=rng)
    assert structure.group == name
    members = subgroups(product_table(made_with))
    kept = made_with[members[len(members) // 2]]
    broken = distort(structure, kept, scale=0.05, rng=rng)
    assert len(broken.operations()) == len(kept)


def test_two_equal_atoms_have_more_symmetry_than_they_were_made_with():
    rng = np.random.default_rng(1)
    assert draw_parent(plane_group("p1"), 2, prior=GENERAL, rng=rng)[0].group == "p2"
    assert draw_parent(plane_group("pg"), 2, prior=GENERAL, rng=rng)[0].group == "pmg"


def window_of(name, noise, *, n_orbits=2, seed=3, shape=(6, 6)):
    recipe = MotifRecipe(
        prior=dataclasses.replace(GENERAL, groups=((name, 1.0),), broken=0.0),
        n_atoms=(n_orbits * plane_group(name).order,),
        n_species=1,
        noise=noise,
        shape=shape,
        separation=0.06,
    )
    return simulate_motif_window(recipe, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["p1", "pg", "cm", "pmg", "p4g", "p31m", "p3m1", "p6"])
def test_clear_groups_are_found(name):
    window = window_of(name, 0.01, n_orbits=3 if name == "p1" else 2)
    posterior = infer_symmetry(mean_cell(window.atoms, window.lattice), prior=GENERAL)
    assert posterior.best == window.group == name
    assert posterior.of(name) > 0.6
    assert posterior.probability.sum() == pytest.approx(1)
    assert posterior.site_probability.sum(axis=1) == pytest.approx(1)
    assert (posterior.site_probability.argmax(axis=1) == 0).all()


def test_the_posterior_ignores_rotation_scale_and_order():
    window = window_of("p4g", 0.05)
    cell = mean_cell(window.atoms, window.lattice)
    expected = infer_symmetry(cell, prior=GENERAL).probability
    turn = 3.0 * np.array([[0.6, -0.8], [0.8, 0.6]])
    atoms = dataclasses.replace(
        window.atoms, position=window.atoms.position @ turn.T + 11.0, covariance=9.0 * window.atoms.covariance
    )
    order = np.random.default_rng(1).permutation(len(window.lattice))
    turned = infer_symmetry(mean_cell(atoms, window.lattice, sites=order), prior=GENERAL).probability
    assert turned == pytest.approx(expected, abs=1e-4)


def test_special_positions_give_the_point_group_of_each_site():
    fraction = np.array([[0.0, 0.0], [0.5, 0.5], [0.5, 0.0], [0.0, 0.5]])
    structure = CrystalStructure(vectors=np.eye(2), fraction=fraction, species=np.array([0, 1, 2, 2]))
    recipe = MotifRecipe(n_species=3, noise=0.01)
    atoms, lattice = measure_window(structure, recipe, rng=np.random.default_rng(1))
    posterior = infer_symmetry(mean_cell(atoms, lattice))
    assert structure.group == posterior.best == "p4m"
    named = [posterior.site_groups[k] for k in posterior.site_probability.argmax(axis=1)]
    assert named == list(structure.site_groups) == ["4mm", "4mm", "2mm", "2mm"]


def test_atoms_of_different_species_are_not_exchanged():
    structure = CrystalStructure(
        vectors=draw_lattice("hexagonal", rng=np.random.default_rng(1)),
        fraction=np.array([[1 / 3, 2 / 3], [2 / 3, 1 / 3]]),
        species=np.array([0, 1]),
    )
    atoms, lattice = measure_window(structure, MotifRecipe(noise=0.02), rng=np.random.default_rng(1))
    assert infer_symmetry(mean_cell(atoms, lattice)).best == structure.group == "p3m1"
    alike = dataclasses.replace(atoms, species=(), species_probability=np.empty((len(atoms), 0)))
    assert infer_symmetry(mean_cell(alike, lattice)).best == "p6m"


def test_noise_moves_the_posterior_to_supergroups_and_then_to_the_prior():
    """A rectangle that is 3 % off a square: rectangular, then square, then what was believed before."""
    prior = dataclasses.replace(SymmetryPrior.known({"pmm": 0.3, "p4m": 0.7}), broken=0.0)
    found = []
    for error in (0.001, 0.1, 30.0):
        cell = MeanCell(
            fraction=np.zeros((1, 2)),
            species_log_likelihood=np.zeros((1, 0)),
            vectors=np.diag([1.0, 1.03]),
            covariance=error**2 * np.eye(5),
            n_cells=36,
            length_unit="pixel",
        )
        found.append(infer_symmetry(cell, prior=prior))
    assert found[0].best == "pmm"
    assert "Plane group pmm" in found[0].verdict
    assert found[1].of("p4m") > 0.9
    assert found[2].of("p4m") == pytest.approx(0.7, abs=0.02)
    assert found[2].information < 0.01
    assert "the prior stands" in found[2].verdict


def test_a_larger_cell_is_told_from_a_multiple_of_a_smaller_one():
    fraction = np.array([[0.0, 0.0], [0.0, 0.5]])
    vectors = np.diag([1.0, 2.0])
    prior = dataclasses.replace(SymmetryPrior(), larger_cell=0.5)
    found = []
    for shift in (0.0, 0.1):
        moved = fraction + [[0.0, 0.0], [0.0, shift]]
        structure = CrystalStructure(vectors=vectors, fraction=moved, species=np.zeros(2, int))
        atoms, lattice = measure_window(structure, MotifRecipe(noise=0.02), rng=np.random.default_rng(1))
        found.append(infer_symmetry(mean_cell(atoms, lattice), prior=prior).smaller_cell)
    assert found[0] > 0.8
    assert found[1] < 0.01


def test_the_mean_cell_scatters_as_its_covariance_says():
    recipe = MotifRecipe(n_species=1, noise=0.05, shape=(5, 6))
    structure = CrystalStructure(
        vectors=np.array([[1.0, 0.1], [-0.2, 1.1]]),
        fraction=np.array([[0.1, 0.2], [0.6, 0.5]]),
        species=np.zeros(2, int),
    )
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(400):
        cell = mean_cell(*measure_window(structure, recipe, rng=rng))
        vectors = structure.vectors * (recipe.cell_side / structure.side)
        change = np.linalg.inv(vectors) @ cell.vectors - np.eye(2)
        strain = [change.trace(), change[0, 0] - change[1, 1], change[0, 1] + change[1, 0]]
        moved = cell.fraction - structure.fraction
        miss = np.concatenate([strain, (moved - np.round(moved)).ravel()])
        squares.append(miss @ np.linalg.solve(cell.covariance, miss))
    assert np.mean(squares) == pytest.approx(7, abs=5 * np.sqrt(14 / 400))


def test_unknown_covariances_are_estimated_from_the_scatter():
    window = window_of("p4", 0.05)
    unknown = dataclasses.replace(window.atoms, covariance=np.full((len(window.atoms), 2, 2), np.nan))
    cell = mean_cell(unknown, window.lattice)
    assert cell.disorder == pytest.approx(1.0, rel=0.15)
    assert np.isfinite(cell.degrees_of_freedom)
    assert infer_symmetry(cell, prior=GENERAL).best == "p4"


def square(ratio, error):
    return MeanCell(
        fraction=np.array([[0.0, 0.0], [0.5, 0.5]]),
        species_log_likelihood=np.zeros((2, 0)),
        vectors=np.diag([1.0, ratio]),
        covariance=error**2 * np.eye(7),
        n_cells=36,
        length_unit="pixel",
    )


def test_declared_alternatives_are_weighed_by_evidence():
    cubic = Alternative(name="cubic", constraints=(RIGHT_ANGLE, EQUAL_SIDES))
    tetragonal = Alternative(name="tetragonal", constraints=(RIGHT_ANGLE,), width=0.05)
    decided = compare_alternatives(square(1.03, 0.002), (cubic, tetragonal))
    assert decided.probability[1] > 0.99
    even = compare_alternatives(square(1.0, 0.002), (cubic, tetragonal))
    assert even.log_evidence[0] - even.log_evidence[1] == pytest.approx(np.log(0.05 / 0.002 / np.sqrt(2 * np.pi)), 0.02)
    assert decided.n_constraints.tolist() == [2, 1]
    centred = Alternative(name="centred", constraints=(Constraint(sites=((1, 0, 1.0), (0, 0, -1.0)), value=0.5),))
    free = Alternative(name="free")
    assert compare_alternatives(square(1.0, 0.01), (centred, free)).probability[0] > 0.9


def test_the_window_needed_grows_with_the_noise():
    cell = square(1.02, 1e-4)
    fine, coarse = (expected_window(cell, position_error=error) for error in (0.02, 0.1))
    assert fine.group == coarse.group
    assert fine.needed("p4m") < coarse.needed("p4m")
    assert (np.diff(fine.log_odds[2:], axis=0) > 0).all()
    with pytest.raises(InputError, match="rival"):
        fine.needed("p31m")
    assert expected_window(cell, position_error=0.02, group="p4m").group == "p4m"
    with pytest.raises(InputError, match="near this cell"):
        expected_window(cell, position_error=0.02, group="p6m")


def test_maps_show_where_the_symmetry_changes():
    """Left half square, right half stretched by 5 %, as one lattice."""
    n_columns, noise = 20, 0.2
    row, column = np.mgrid[:8, :n_columns].reshape(2, -1)
    x = np.where(column < 10, 20.0 * column, 200 + 21.0 * (column - 10))
    exact = np.stack([20.0 * row, x], axis=1)
    window = measure_window(
        CrystalStructure(vectors=np.eye(2), fraction=np.zeros((1, 2)), species=np.zeros(1, int)),
        MotifRecipe(n_species=1, shape=(8, n_columns)),
        rng=np.random.default_rng(1),
    )
    position = exact + np.random.default_rng(1).normal(0, noise, exact.shape)
    atoms = dataclasses.replace(
        window[0], position=position, covariance=np.broadcast_to(noise**2 * np.eye(2), (len(position), 2, 2))
    )
    told = []
    table = map_symmetry(
        atoms, window[1], window=SlidingCells(shape=(8, 6), step=(8, 4)), progress=lambda *done: told.append(done)
    )
    assert told[-1] == (4, 4)
    assert table.column("p4m")[0] > 0.8
    assert table.column("p4m")[-1] < 0.05
    assert table.column("pmm")[-1] > 0.8


def test_results_survive_storage():
    posterior = infer_symmetry(square(1.0, 0.01))
    again = SymmetryPosterior.from_xarray(posterior.to_xarray())
    assert np.array_equal(again.probability, posterior.probability)
    assert again.best == posterior.best


def test_a_prior_that_allows_nothing_like_the_window_is_told_so():
    window = window_of("p1", 0.01, n_orbits=4)
    prior = dataclasses.replace(GENERAL, groups=(("p4", 1.0),), broken=0.0)
    posterior = infer_symmetry(mean_cell(window.atoms, window.lattice), prior=prior)
    assert np.isnan(posterior.probability).all()
    assert posterior.verdict == "No structure that the prior allows comes near this window."
    unrecognised = infer_symmetry(mean_cell(window.atoms, window.lattice), prior=SymmetryPrior.known({"p4": 1.0}))
    assert unrecognised.best == "p1"


def test_bad_input_is_named():
    window = window_of("p4", 0.05, shape=(6, 6))
    with pytest.raises(InputError, match="at least 4 cells"):
        mean_cell(window.atoms, window.lattice, sites=np.arange(9))
    with pytest.raises(InputError, match="at least 4 cells"):
        mean_cell(window.atoms, window.lattice[:0])
    with pytest.raises(InputError, match="supercell"):
        mean_cell(window.atoms, window.lattice, supercell=(0, 1))
    with pytest.raises(InputError, match="plane groups with weights"):
        SymmetryPrior.known({"p5": 1.0})
    with pytest.raises(InputError, match="a group that 1 atoms"):
        infer_symmetry(
            dataclasses.replace(
                square(1, 0.01),
                fraction=np.zeros((1, 2)),
                covariance=np.eye(5),
                species_log_likelihood=np.zeros((1, 0)),
            ),
            prior=SymmetryPrior.known({"pgg": 1.0}),
        )
    with pytest.raises(InputError, match="finite positions"):
        dataclasses.replace(square(1, 0.01), fraction=np.full((2, 2), np.nan))
    with pytest.raises(InputError, match="terms of the metric or of sites"):
        Constraint()
    with pytest.raises(InputError, match="sites below 2"):
        compare_alternatives(
            square(1, 0.01),
            (Alternative(name="a"), Alternative(name="b", constraints=(Constraint(sites=((5, 0, 1.0),)),))),
        )
    with pytest.raises(InputError, match="at least two supercells"):
        SlidingCells(shape=(3, 3), supercell=(2, 2))
    with pytest.raises(InputError, match="separation"):
        simulate_motif_window(MotifRecipe(separation=0.9, n_atoms=(4,)), rng=np.random.default_rng(1))


def test_an_empty_lattice_gives_an_empty_map():
    window = window_of("p4", 0.05)
    assert len(map_symmetry(window.atoms, window.lattice[:0])) == 0


def explained(fraction, vectors, error, prior=None):
    """Log of prior times evidence of each group as a parent, with every group of the same weight."""
    cell = MeanCell(
        fraction=fraction,
        species_log_likelihood=np.zeros((len(fraction), 0)),
        vectors=vectors,
        covariance=error**2 * np.eye(3 + fraction.size),
        n_cells=36,
        length_unit="pixel",
    )
    prior = prior or dataclasses.replace(SymmetryPrior(), broken=0.0)
    hypotheses = find_strata(cell, prior)
    scatter, share = measured(cell), prior.of_parents(len(fraction))
    found = {}
    for stratum, weight in zip(hypotheses.strata, log_parents(hypotheses, prior), strict=True):
        total = weight - np.log(share.get(stratum.name, 1.0)) + scatter.log_evidence(stratum)
        found.setdefault(stratum.name, []).append(total)
    return {name: np.logaddexp.reduce(values) for name, values in found.items()}


@pytest.mark.parametrize("error", [1e-3, 0.02, 10.0])
def test_groups_with_the_same_structures_have_the_same_evidence(error):
    """One atom in the cell: all groups of a lattice describe the same structures, however they count them."""
    atom = np.array([[0.3, 0.4]])
    hexagonal = explained(atom, np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)]]), error)
    names = ("p3", "p3m1", "p31m", "p6", "p6m")
    assert [hexagonal[name] for name in names] == pytest.approx([hexagonal["p6m"]] * 5, abs=0.02)
    squares = explained(atom, np.eye(2), error)
    assert squares["p4"] == pytest.approx(squares["p4m"], abs=0.02)
    assert squares["p1"] == pytest.approx(squares["p2"], abs=0.02)


def test_two_atoms_placed_anyhow_are_as_probable_with_a_twofold_axis_between_them():
    pair = np.array([[0.1, 0.2], [0.45, 0.73]])
    found = explained(pair, np.array([[1.0, 0.1], [-0.3, 1.2]]), 0.01, dataclasses.replace(GENERAL, broken=0.0))
    assert found["p1"] == pytest.approx(found["p2"], abs=2e-3)
