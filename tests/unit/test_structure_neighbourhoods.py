"""Neighbours and neighbourhoods: equal to the slow way, errors as propagated, classes that are there and no others."""

import dataclasses

import numpy as np
import pytest
from scipy import spatial, stats

from tusi.data import AtomFlag, Atoms, Lattice
from tusi.errors import InputError
from tusi.numerics.noisy_mixture import expectation_step
from tusi.plot import new_figure
from tusi.plot.neighbourhoods import draw_class_evidence, draw_mean_neighbourhood, draw_neighbourhood_classes
from tusi.structure.neighbourhoods import (
    CrystallographySettings,
    Delaunay,
    LatticeSteps,
    Nearest,
    Neighbourhoods,
    Voronoi,
    Within,
    bond_statistics,
    find_neighbours,
    local_crystallography,
    nearest_steps,
    neighbourhoods,
    principal_components,
    tessellate,
)
from tusi.structure.neighbourhoods.redundancy import redundancy

RULES = (Nearest(count=6), Within(cutoff=1.2), Delaunay(), Voronoi())
FEW = CrystallographySettings(most_classes=3)
SPACING, ROW = 3.0, 3.0 * np.sqrt(0.75)


def square(side, spacing=1.0):
    y, x = np.mgrid[:side, :side] * spacing
    return np.stack([y.ravel(), x.ravel()], axis=1)


def triangular(side):
    y, x = np.mgrid[:side, :side]
    return np.stack([y.ravel() * ROW, SPACING * (x.ravel() + 0.5 * (y.ravel() % 2))], axis=1)


def atoms_at(position, covariance=None, unit="angstrom"):
    atoms = Atoms.at(position, length_unit=unit, intensity=np.ones(len(position)))
    if covariance is None:
        return atoms
    return dataclasses.replace(atoms, covariance=np.broadcast_to(covariance, (len(position), 2, 2)))


def noisy(side, rng, *, noise=0.1, shift=None, known=True, missing=0.0):
    """A triangular crystal with independent errors, displaced by a function of the position."""
    position = triangular(side)
    position = position + (0 if shift is None else shift(position)) + rng.normal(0, noise, position.shape)
    atoms = atoms_at(position, noise**2 * np.eye(2) if known else None)
    return atoms[rng.random(len(atoms)) >= missing]


def honeycomb(side, holes=()):
    """Atoms of a honeycomb lattice and its lattice, with holes at some rows."""
    row, column, kind = (part.ravel() for part in np.mgrid[:side, :side, :2])
    vectors = np.array([[ROW, -SPACING / 2], [0.0, SPACING]])
    basis = np.array([[0.0, 0.0], [1 / 3, 2 / 3]])
    position = np.stack([row, column], axis=1) @ vectors + basis[kind] @ vectors
    atom = np.arange(len(position))
    atom[list(holes)] = -1
    lattice = Lattice(
        index=np.stack([row, column, kind], axis=1),
        position=position,
        atom=atom,
        vacancy_probability=np.zeros(len(atom)),
        domain=np.zeros(len(atom)),
        boundary=np.zeros(len(atom)),
        vectors=vectors[None],
        basis=basis,
        length_unit="angstrom",
    )
    return atoms_at(position), lattice


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_too_few_atoms_and_atoms_that_say_nothing(rule):
    for n_atoms in range(3):
        graph = find_neighbours(atoms_at(square(2)[:n_atoms]), rule=rule)
        assert graph.degree.tolist() == [max(n_atoms - 1, 0)] * n_atoms
    position = square(5)
    position[7] = np.nan
    flags = np.zeros(25)
    flags[12] = AtomFlag.UNLIKELY
    graph = find_neighbours(dataclasses.replace(atoms_at(position), flags=flags), rule=rule)
    assert graph.degree[[7, 12]].tolist() == [0, 0]
    assert not np.isin(graph.neighbour, [7, 12]).any()
    assert graph.rule == repr(rule)


def test_each_rule_on_a_square_lattice():
    middle = 12
    degree = {type(rule): find_neighbours(atoms_at(square(5)), rule=rule).degree[middle] for rule in RULES}
    assert degree == {Nearest: 6, Within: 4, Delaunay: degree[Delaunay], Voronoi: 4}
    assert 4 <= degree[Delaunay] <= 8
    along = find_neighbours(atoms_at(np.arange(5)[:, None] * [1.0, 2.0]), rule=Delaunay())
    assert along.degree.tolist() == [1, 2, 2, 2, 1]


def test_images_and_frames_have_no_neighbours_in_each_other():
    atoms = atoms_at(np.concatenate([square(4), square(4) + 0.1, square(4) + 0.2]))
    atoms = dataclasses.replace(atoms, image=np.repeat([0, 0, 1], 16), frame=np.repeat([0, 1, 0], 16))
    single = find_neighbours(atoms[:16], rule=Voronoi())
    graph = find_neighbours(atoms, rule=Voronoi())
    assert graph.degree.tolist() == [*single.degree] * 3
    assert (graph.neighbour // 16 == graph.atom // 16).all()


def test_lattice_steps_are_those_of_a_loop():
    atoms, lattice = honeycomb(7, holes=(40, 41, 60))
    where = {tuple(index): atom for index, atom in zip(lattice.index.tolist(), lattice.atom.tolist(), strict=True)}
    for kind in (0, 1):
        steps = nearest_steps(lattice, basis_site=kind)
        hoods = neighbourhoods(atoms, lattice=lattice, basis_site=kind)
        assert len(steps) == 3
        expected = {}
        for (row, column, own), atom in where.items():
            if own == kind and atom >= 0:
                expected[atom] = [where.get((row + step[0], column + step[1], step[2]), -1) for step in steps]
        assert dict(zip(hoods.centre.tolist(), hoods.neighbour.tolist(), strict=True)) == expected
        np.testing.assert_allclose(hoods.displacement[~hoods.missing], 0, atol=1e-12)
        np.testing.assert_allclose(hoods.distance[~hoods.missing], SPACING / np.sqrt(3))
    bound = find_neighbours(atoms, rule=LatticeSteps(lattice=lattice))
    measured = find_neighbours(atoms[np.sort(lattice.atom[lattice.atom >= 0])], rule=Within(cutoff=2.0))
    assert bound.symmetric
    assert len(bound.pairs) == len(measured.pairs)


def test_slots_found_from_the_data_are_the_lattice_directions():
    hoods = neighbourhoods(noisy(12, np.random.default_rng(0)), n_slots=6)
    angle = np.arctan2(hoods.reference[:, 0], hoods.reference[:, 1]) % (2 * np.pi)
    np.testing.assert_allclose(np.linalg.norm(hoods.reference, axis=1), SPACING, rtol=0.02)
    np.testing.assert_allclose((angle + 0.1) % (2 * np.pi) - 0.1, np.arange(6) * np.pi / 3, atol=0.02)
    assert hoods.complete.sum() == 100
    one = hoods.centre[hoods.complete][0]
    for slot in range(6):
        assert (
            hoods.neighbour[one, slot]
            == spatial.KDTree(hoods.position).query(hoods.position[one] + hoods.reference[slot])[1]
        )
    again = Neighbourhoods.from_xarray(hoods.to_xarray())
    np.testing.assert_array_equal(again.vector, hoods.vector)
    assert np.isclose(hoods.angle[one, 0], np.arctan2(*hoods.vector[one, 0]))


def test_a_hole_is_empty_and_the_outside_is_not():
    position = square(7)
    hoods = neighbourhoods(atoms_at(np.delete(position, 24, axis=0)), rule=Within(cutoff=1.2), n_slots=4)
    assert hoods.empty.sum() == 4
    assert hoods.missing.sum() == 4 + 4 * 7
    around = hoods.position[hoods.empty.any(axis=1)] - position[24]
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), 1.0)


def test_covariance_of_vectors_shares_the_centre():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(49, 2, 2))
    atoms = atoms_at(square(7), root @ np.swapaxes(root, 1, 2))
    hoods = neighbourhoods(atoms, n_slots=4)
    joint = hoods.covariance(atoms)
    change = np.stack([hoods.differences(unit.reshape(49, 2)).reshape(49, 8) for unit in np.eye(98)], axis=2)
    whole = np.zeros((98, 98))
    for atom in range(49):
        whole[2 * atom : 2 * atom + 2, 2 * atom : 2 * atom + 2] = atoms.covariance[atom]
    np.testing.assert_allclose(joint, change @ whole @ np.swapaxes(change, 1, 2), atol=1e-10)
    assert np.isnan(joint[0]).sum() == 64 - 16


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Nearest(count=0), "`count`"),
        (lambda: Within(cutoff=-1.0), "`cutoff`"),
        (lambda: Voronoi(least_edge=-1.0), "`least_edge`"),
        (lambda: Delaunay(longest=0.0), "`longest`"),
        (lambda: neighbourhoods(atoms_at(square(3)), steps=((0, 1),)), "`steps`: expected a lattice"),
        (lambda: neighbourhoods(*honeycomb(3)[:1], lattice=honeycomb(3)[1], rule=Nearest(count=3)), "`rule`"),
        (lambda: neighbourhoods(atoms_at(square(3)), lattice=honeycomb(4)[1]), "`lattice`: expected the lattice of"),
        (lambda: neighbourhoods(honeycomb(3)[0], lattice=honeycomb(3)[1], basis_site=5), "`basis_site`"),
        (lambda: CrystallographySettings(n_classes=0), "`n_classes`"),
        (
            lambda: local_crystallography(
                neighbourhoods(atoms_at(square(2))), atoms_at(square(2)), rng=np.random.default_rng(0)
            ),
            "`hoods`: expected at least 12",
        ),
    ],
)
def test_mistakes_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_cells_are_those_of_scipy():
    position = np.random.default_rng(2).random((80, 2))
    cells = tessellate(position)
    diagram = spatial.Voronoi(position)
    closed = [
        number
        for number, region in enumerate(diagram.regions[k] for k in diagram.point_region)
        if -1 not in region and cells.bounded[number]
    ]
    area = [spatial.ConvexHull(diagram.vertices[diagram.regions[diagram.point_region[k]]]).volume for k in closed]
    assert len(closed) == cells.bounded.sum() > 40
    np.testing.assert_allclose(cells.area[closed], area, rtol=1e-9)
    shared = {tuple(sorted(pair)) for pair in diagram.ridge_points.tolist()}
    assert shared == {tuple(sorted(pair)) for pair in cells.pair.tolist()}


def test_bond_statistics_have_the_errors_that_positions_give():
    rng = np.random.default_rng(3)
    position = triangular(9) + rng.normal(0, 0.12, (81, 2))
    root = 0.02 * np.eye(2) + 0.02 * rng.normal(size=(81, 2, 2))
    atoms = atoms_at(position, root @ np.swapaxes(root, 1, 2))
    truth = bond_statistics(atoms_at(position))
    inner = find_neighbours(atoms, rule=Delaunay()).degree == 6
    inner &= (np.abs(position - position.mean(axis=0)) < 8.5).all(axis=1)
    errors, scores, spreads = [], [], []
    for _ in range(60):
        moved = position + np.einsum("aij,aj->ai", root, rng.normal(size=(81, 2)))
        table = bond_statistics(dataclasses.replace(atoms, position=moved), rule=Delaunay())
        error = table.value[inner] - truth.value[inner]
        errors.append(error)
        scores.append(error / np.sqrt(np.einsum("aii->ai", table.covariance[inner])))
        spreads.append(np.einsum("ai,aij,aj->a", error, np.linalg.inv(table.covariance[inner]), error))
    covered = (np.abs(np.array(scores)) < 1.96).mean(axis=(0, 1))
    assert inner.sum() > 25
    np.testing.assert_allclose(covered, 0.95, atol=0.03)
    assert np.mean(spreads) == pytest.approx(4, rel=0.1)
    assert np.abs(np.mean(errors, axis=(0, 1)) / np.std(errors, axis=(0, 1))).max() < 0.08


def test_bond_statistics_of_a_perfect_crystal_and_of_unknown_errors():
    table = bond_statistics(atoms_at(square(6, 2.0)))
    closed = np.isfinite(table.column("cell_area"))
    np.testing.assert_allclose(table.value[closed], np.tile([2.0, 0.0, 0.0, 4.0], (closed.sum(), 1)), atol=1e-12)
    assert np.isnan(table.covariance).all()
    assert len(bond_statistics(atoms_at(np.empty((0, 2))))) == 0
    assert np.isnan(bond_statistics(atoms_at(np.arange(4)[:, None] * [0.0, 1.0])).value[:, 1:]).all()


def test_independent_errors_have_no_components_and_a_wave_has_one():
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        atoms = noisy(9, rng, known=seed % 2 == 0, missing=0.05 * (seed % 3))
        found.append(principal_components(neighbourhoods(atoms, n_slots=6), atoms, rng=rng).n_significant)
    assert np.count_nonzero(found) <= 3
    rng = np.random.default_rng(5)
    atoms = noisy(14, rng, shift=lambda r: 0.1 * np.cos(np.pi * np.round(r[:, :1] / ROW)) * [1.0, 0.0])
    parts = principal_components(neighbourhoods(atoms, n_slots=6), atoms, rng=rng)
    wave = np.array([0, 2, 2, 0, 2, 2])[:, None] * [1.0, 0.0]
    likeness = np.abs((parts.component[0] * wave).sum()) / np.linalg.norm(parts.component[0]) / np.linalg.norm(wave)
    assert parts.n_significant == 1
    assert likeness > 0.97


def test_scores_scatter_as_their_covariance_says():
    rng = np.random.default_rng(6)
    atoms = noisy(40, rng, missing=0.1)
    hoods = neighbourhoods(atoms, n_slots=6)
    parts = principal_components(hoods, atoms, rng=rng, n_components=2)
    good = np.isfinite(parts.score).all(axis=1) & ((~hoods.missing).sum(axis=1) >= 4)
    chi = np.einsum("ni,nij,nj->n", parts.score, np.linalg.inv(parts.score_covariance), parts.score)
    whole = good & hoods.complete
    assert chi[good].mean() == pytest.approx(parts.score.shape[1], rel=0.1)
    assert chi[good & ~hoods.complete].mean() == pytest.approx(parts.score.shape[1], rel=0.15)
    np.testing.assert_allclose(parts.score[whole].std(axis=0), 1.0, rtol=0.12)


def test_expectation_step_is_bayes_rule():
    rng = np.random.default_rng(7)
    score = rng.normal(size=(5, 2))
    error = np.stack([np.diag(rng.uniform(0.1, 1, 2)) for _ in range(5)])
    mean, weight = rng.normal(size=(3, 2)), np.log([[0.2, 0.3, 0.5]] * 5)
    spread = np.stack([np.eye(2) * size for size in (0.5, 1.0, 2.0)]) + 0.2
    result = np.empty((5, 3)), np.empty((3, 2)), np.empty((3, 2, 2))
    value = expectation_step((score, error, weight), (mean, spread), result)
    density = np.array(
        [
            [
                np.exp(weight[i, k]) * stats.multivariate_normal.pdf(score[i], mean[k], spread[k] + error[i])
                for k in range(3)
            ]
            for i in range(5)
        ]
    )
    assert value == pytest.approx(np.log(density.sum(axis=1)).sum())
    np.testing.assert_allclose(result[0], density / density.sum(axis=1, keepdims=True))
    gain = [[spread[k] @ np.linalg.inv(spread[k] + error[i]) for k in range(3)] for i in range(5)]
    first = sum(result[0][i, 1] * (mean[1] + gain[i][1] @ (score[i] - mean[1])) for i in range(5))
    np.testing.assert_allclose(result[1][1], first)


def test_redundancy_counts_repeated_rows():
    rng = np.random.default_rng(8)
    place, value = square(20), rng.normal(size=(400, 2))
    assert redundancy(place, value) == pytest.approx(1.0, abs=0.3)
    blocks = np.repeat(np.repeat(value.reshape(20, 20, 2)[:10, :10], 2, axis=0), 2, axis=1).reshape(400, 2)
    assert 2.0 < redundancy(place, blocks) < 4.0
    assert redundancy(place[:2], value[:2]) == 1.0


def dimerised(position):
    return 0.25 * np.cos(np.pi * np.round(position[:, :1] / ROW)) * [1.0, 0.0]


@pytest.mark.parametrize("kind", ["noise", "unknown errors", "missing", "slow distortion", "heavy tails"])
def test_one_class_is_an_answer(kind):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        shift = {
            "slow distortion": lambda r: 0.5 * np.sin(2 * np.pi * r / r.max(axis=0)),
            "heavy tails": lambda r, rng=rng: 0.08 * rng.standard_t(5, r.shape),
        }.get(kind)
        missing = 0.08 if kind == "missing" else 0.0
        atoms = noisy(10, rng, shift=shift, known=kind != "unknown errors", missing=missing)
        found = local_crystallography(neighbourhoods(atoms, n_slots=6), atoms, rng=rng, settings=FEW)
        assert found.n_classes == 1


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_the_two_classes_of_a_dimerised_crystal(missing):
    rng = np.random.default_rng(9)
    atoms = noisy(14, rng, shift=dimerised, missing=missing)
    found = local_crystallography(neighbourhoods(atoms, n_slots=6), atoms, rng=rng, settings=FEW)
    truth = np.round(found.position[:, 0] / ROW + 1e-6) % 2
    inner = (found.position[:, 0] > 2) & (found.position[:, 0] < 12.5 * ROW) & (found.label >= 0)
    agreement = np.mean(found.label[inner] == truth[inner])
    assert found.n_classes == 2
    assert max(agreement, 1 - agreement) > 0.98
    assert inner.sum() > 0.75 * len(inner)
    shift = (found.mean[0] - found.mean[1])[:, 0]
    np.testing.assert_allclose(np.sort(np.abs(shift)), [0, 0, 1, 1, 1, 1], atol=0.12)
    assert found.number_probability[1] > 0.99
    np.testing.assert_allclose(found.probability.sum(axis=1) + found.rest, 1.0)
    turned = dataclasses.replace(atoms, position=atoms.position[:, ::-1].copy())
    again = local_crystallography(neighbourhoods(turned, n_slots=6), turned, rng=np.random.default_rng(9), settings=FEW)
    assert again.n_classes == 2


def test_what_is_missing_tells_the_two_sites_of_a_honeycomb():
    perfect, lattice = honeycomb(9)
    rng = np.random.default_rng(10)
    atoms = atoms_at(perfect.position + rng.normal(0, 0.05, perfect.position.shape), 0.05**2 * np.eye(2))
    hoods = neighbourhoods(atoms, rule=Within(cutoff=2.2), n_slots=6)
    found = local_crystallography(hoods, atoms, rng=rng, settings=FEW)
    inner = (~hoods.missing).sum(axis=1) == 3
    assert found.n_classes == 2
    assert len(np.unique(found.label[inner] == lattice.index[inner, 2])) == 1
    assert np.sort(found.empty, axis=1)[:, 3:].min() > 0.95
    assert np.isnan(found.mean).any(axis=(0, 2)).sum() <= 6


def test_pictures_show_what_was_found():
    rng = np.random.default_rng(9)
    atoms = noisy(10, rng, shift=dimerised)
    found = local_crystallography(neighbourhoods(atoms, n_slots=6), atoms, rng=rng, settings=FEW)
    left, middle, right = new_figure(9, 3).subplots(1, 3)
    draw_neighbourhood_classes(left, found, radius=1.0)
    draw_mean_neighbourhood(middle, found, 0, magnify=2.0)
    draw_class_evidence(right, found)
    assert len(left.collections[0].get_offsets()) == len(found.label)
    assert middle.get_title().startswith("class 1: 5")
    assert len(middle.texts) == 4
    assert middle.yaxis_inverted()
    np.testing.assert_allclose(right.lines[1].get_ydata(), found.log_evidence)
