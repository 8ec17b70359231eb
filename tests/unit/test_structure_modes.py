"""Statistical normal modes: planted shapes come back, and what must not matter does not."""

import dataclasses

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.modes import (
    ModeSettings,
    ModeSplit,
    NormalModes,
    composition_modes,
    displacement_modes,
    split_by_neighbours,
)
from tusi.structure.modes.directions import centred, find_directions
from tusi.structure.neighbourhoods import Within, neighbourhoods

NOISE, SIDE = 0.05, 16
SETTINGS = ModeSettings(n_replicas=99)


def crystal(rng, *, side=SIDE, stagger=0.0, label=None, turn=0.0, scale=1.0):
    """Square lattice; `stagger` is the spread of the displacement of whole rows along x."""
    row, column = np.mgrid[:side, :side] * 3.0
    position = np.stack([row.ravel(), column.ravel()], axis=1)
    position += NOISE * rng.standard_normal(position.shape)
    if stagger:
        position[:, 1] += stagger * rng.standard_normal(side).repeat(side)
    cos, sin = np.cos(turn), np.sin(turn)
    species = np.zeros(len(position), int) if label is None else label
    return dataclasses.replace(
        Atoms.at(scale * position @ np.array([[cos, sin], [-sin, cos]]), length_unit="angstrom"),
        covariance=np.broadcast_to((scale * NOISE) ** 2 * np.eye(2), (len(position), 2, 2)),
        species=("A", "B"), species_probability=np.eye(2)[species],
    )  # fmt: skip


def modes_of(atoms, seed=0, settings=SETTINGS):
    hoods = neighbourhoods(atoms, n_slots=4)
    return displacement_modes([hoods], [atoms], rng=np.random.default_rng(seed), settings=settings), hoods


def test_rows_that_slide_make_modes_of_neighbours_above_and_below():
    modes, _ = modes_of(crystal(np.random.default_rng(1), stagger=0.1))
    assert modes.n_significant >= 1
    weight = (modes.shape[0] ** 2).sum(axis=1) / (modes.shape[0] ** 2).sum()
    vertical = np.abs(modes.reference[:, 0]) > np.abs(modes.reference[:, 1])
    assert weight[vertical].sum() > 0.95
    along_x = (modes.shape[0][vertical, 1] ** 2).sum() / (modes.shape[0] ** 2).sum()
    assert along_x > 0.95


def test_shapes_have_the_size_of_the_displacements():
    """Two independent differences of rows: the signal's covariance is that of the planted displacements."""
    stagger = 0.2
    modes, _ = modes_of(crystal(np.random.default_rng(2), side=40, stagger=stagger))
    found = sum(np.outer(one.ravel(), one.ravel()) for one in modes.shape[: modes.n_significant])
    up = np.argmin(modes.reference[:, 0])
    assert found[2 * up + 1, 2 * up + 1] == pytest.approx(2 * stagger**2, rel=0.5)


def test_turning_and_scaling_the_crystal_changes_no_eigenvalue():
    one, _ = modes_of(crystal(np.random.default_rng(3), stagger=0.06))
    other, _ = modes_of(crystal(np.random.default_rng(3), stagger=0.06, turn=0.4, scale=2.0))
    np.testing.assert_allclose(one.eigenvalue, other.eigenvalue, rtol=1e-9)
    np.testing.assert_allclose(other.amplitude[0], 2 * one.amplitude[0], rtol=1e-9)


def test_scores_of_noise_have_the_errors_they_state():
    modes, _ = modes_of(crystal(np.random.default_rng(4), side=50))
    assert modes.n_significant == 0
    assert np.sqrt(np.mean((modes.score / modes.score_error) ** 2)) == pytest.approx(1.0, abs=0.1)


def test_independent_displacements_are_no_mode_where_they_are_allowed_for():
    rng = np.random.default_rng(5)
    atoms = crystal(rng, side=30)
    atoms = dataclasses.replace(atoms, position=atoms.position + 0.1 * rng.standard_normal(atoms.position.shape))
    assert modes_of(atoms)[0].n_significant > 0
    allowed, _ = modes_of(atoms, settings=ModeSettings(n_replicas=99, null="independent"))
    assert allowed.n_significant == 0
    assert allowed.disorder == pytest.approx(0.1, rel=0.1)


def test_images_with_different_cells_make_no_mode():
    rng = np.random.default_rng(6)
    both = [crystal(rng), crystal(rng, scale=1.1)]
    both[1] = dataclasses.replace(both[1], covariance=both[0].covariance * 1.1**2)
    hoods = [neighbourhoods(one, n_slots=4) for one in both]
    apart = displacement_modes(hoods, both, rng=rng, settings=SETTINGS)
    together = displacement_modes(
        hoods, both, rng=rng, settings=dataclasses.replace(SETTINGS, each_image_centred=False)
    )
    assert together.eigenvalue[0] > 10
    assert apart.eigenvalue[0] < 2
    assert sorted(set(apart.image)) == [0, 1]


def clusters(rng, n=200):
    """Crosses of five atoms far apart, half of the outer ones B; each B makes its whole cross wider."""
    cross = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * 3.0
    label = (rng.random((n, 5)) < 0.5).astype(int)
    wider = 1 + 0.02 * label[:, 1:].sum(axis=1)
    position = 100.0 * np.arange(n)[:, None, None] + cross * wider[:, None, None]
    position += NOISE * rng.standard_normal(position.shape)
    return dataclasses.replace(
        Atoms.at(position.reshape(-1, 2), length_unit="angstrom"),
        covariance=np.broadcast_to(NOISE**2 * np.eye(2), (5 * n, 2, 2)),
        species=("A", "B"), species_probability=np.eye(2)[label.ravel()],
    ), label  # fmt: skip


def test_species_that_widen_their_surroundings_split_a_breathing_mode():
    rng = np.random.default_rng(7)
    atoms, label = clusters(rng)
    hoods = neighbourhoods(atoms, rule=Within(cutoff=4.0), n_slots=4)
    modes = displacement_modes([hoods], [atoms], rng=rng, settings=SETTINGS)
    assert modes.n_significant == 1
    outward = (modes.shape[0] * modes.reference).sum(axis=1)
    assert (np.sign(outward) == np.sign(outward[0])).all(), "all neighbours move out, or all in"
    split = split_by_neighbours(modes, [hoods], atoms=[atoms], species="B", rng=rng, centre_species="A")
    np.testing.assert_array_equal(split.count, np.bincount(label[label[:, 0] == 0, 1:].sum(axis=1), minlength=5))
    assert split.p_mean[0] <= 0.002
    steps = np.diff(split.mean[:, 0]) * np.sign(outward[0])
    assert (steps > 0).all()
    assert split.explained[0] > 0.3
    unlike = split_by_neighbours(modes, [hoods], atoms=[atoms], species="A", rng=rng, centre_species="A")
    np.testing.assert_allclose(unlike.mean[::-1], split.mean)
    back = ModeSplit.from_xarray(split.to_xarray())
    np.testing.assert_array_equal(back.mean, split.mean)


def test_ordered_alloys_have_modes_of_composition():
    rng = np.random.default_rng(8)
    stripes = np.repeat(rng.random(SIDE) < 0.5, SIDE).astype(int)
    atoms = crystal(rng, label=stripes)
    modes = composition_modes([neighbourhoods(atoms, n_slots=4)], [atoms], rng=rng, settings=SETTINGS)
    assert modes.n_significant >= 1
    assert modes.components == ("B",)
    assert modes.p_value[0] == pytest.approx(0.01)
    assert (modes.score_error == 0).all()
    horizontal = np.abs(modes.reference[:, 1]) > 1
    sides = modes.shape[0][horizontal, 0]
    assert sides[0] == pytest.approx(sides[1], rel=0.2), "along a stripe both neighbours are alike"


def test_modes_round_trip():
    modes, _ = modes_of(crystal(np.random.default_rng(9), stagger=0.1))
    back = NormalModes.from_xarray(modes.to_xarray())
    np.testing.assert_array_equal(back.shape, modes.shape)
    assert back.components == ("y", "x")
    assert len(back[:3]) == 3


@pytest.mark.parametrize("n_atoms", [0, 1, 4])
def test_few_atoms_have_no_modes(n_atoms):
    atoms = crystal(np.random.default_rng(1), side=4)[:n_atoms]
    modes, _ = modes_of(atoms)
    assert modes.n_significant == 0
    assert len(modes) == 0


def test_what_is_wrong_is_named():
    rng = np.random.default_rng(1)
    atoms = crystal(rng, side=8)
    hoods = neighbourhoods(atoms, n_slots=4)
    unknown = Atoms.at(atoms.position, length_unit="angstrom")
    with pytest.raises(InputError, match="a finite covariance of every position; got NaN"):
        displacement_modes([hoods], [unknown], rng=rng)
    with pytest.raises(InputError, match="one for each of 2 tables"):
        displacement_modes([hoods], [atoms, atoms], rng=rng)
    with pytest.raises(InputError, match="the same slots in all images"):
        displacement_modes([hoods, neighbourhoods(atoms, n_slots=6)], [atoms, atoms], rng=rng)
    with pytest.raises(InputError, match="two or more species"):
        composition_modes([hoods], [unknown], rng=rng)
    modes = displacement_modes([hoods], [atoms], rng=rng, settings=ModeSettings(n_replicas=19))
    with pytest.raises(InputError, match="`species`: expected one of A, B; got 'C'"):
        split_by_neighbours(modes, [hoods], atoms=[atoms], species="C", rng=rng)
    with pytest.raises(InputError, match="those of the modes"):
        split_by_neighbours(modes, [hoods[:5]], atoms=[atoms], species="B", rng=rng)
    for wrong, message in (
        ({"null": "none"}, "'measurement' or 'independent'"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"n_replicas": 3}, "at least 19"),
        ({"most_modes": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            ModeSettings(**wrong)


def test_groups_are_centred_each_by_itself():
    samples = np.random.default_rng(1).standard_normal((10, 3)) + np.repeat([0, 5], 5)[:, None]
    group = np.repeat([0, 1], 5)
    left = centred(samples, group)
    for k in (0, 1):
        np.testing.assert_allclose(left[group == k].mean(axis=0), 0, atol=1e-12)


def test_a_strong_direction_does_not_hide_the_next():
    rng = np.random.default_rng(1)
    replicas = np.stack([np.cov(rng.standard_normal((500, 6)).T) for _ in range(99)])
    samples = rng.standard_normal((500, 6)) * np.array([5.0, 2.0, 1, 1, 1, 1])
    found = find_directions(np.cov(samples.T), replicas, level=0.05, most=6)
    assert (found.p_value <= 0.05).tolist() == [True, True, False]
    np.testing.assert_allclose(np.abs(found.vector[0]), np.eye(6)[0], atol=0.2)
