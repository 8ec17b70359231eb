"""What becomes of the plane groups as errors grow, and whether stated odds are those that measurements have."""

import dataclasses

import numpy as np
import pytest

from tusi.datasets.motifs import MotifRecipe, simulate_motif_window
from tusi.inference import reliability
from tusi.structure.symmetry import (
    EQUAL_SIDES,
    RIGHT_ANGLE,
    Alternative,
    MeanCell,
    SymmetryPrior,
    compare_alternatives,
    infer_symmetry,
    mean_cell,
)
from tusi.structure.symmetry.ambiguity import ambiguity
from tusi.structure.symmetry.evidence import measured
from tusi.structure.symmetry.mean_cells import repeated_cell
from tusi.structure.symmetry.posterior import find_strata

GENERAL = SymmetryPrior(positions="general", most_orbits=4)


def uncertain(error):
    """Eight equal atoms with p4g whose mean positions are known with this error, in units of the cell's side."""
    prior = dataclasses.replace(GENERAL, groups=(("p4g", 1.0),), broken=0.0)
    recipe = MotifRecipe(prior=prior, n_atoms=(8,), n_species=1, noise=1e-4, separation=0.06)
    window = simulate_motif_window(recipe, rng=np.random.default_rng(3))
    cell = mean_cell(window.atoms, window.lattice)
    return dataclasses.replace(cell, covariance=(error * cell.side / cell.position_error) ** 2 * cell.covariance)


def test_atoms_that_errors_mix_up_leave_the_prior_and_the_verdict_says_so():
    clear, mixed = (infer_symmetry(uncertain(error), prior=GENERAL) for error in (0.001, 1.0))
    assert clear.best == "p4g"
    assert clear.ambiguous < 1e-6
    assert "Distortions below 0.001 of the cell" in clear.verdict
    assert mixed.ambiguous > 0.99
    assert mixed.probability == pytest.approx(mixed.prior, abs=0.01)
    assert "too uncertain to tell the atoms of a cell apart; the prior stands" in mixed.verdict


def test_ambiguity_is_how_often_two_images_are_exchanged():
    rng = np.random.default_rng(2)
    error, distance = 0.1, 0.35
    cell = MeanCell(
        fraction=np.array([[0.0, 0.0], [0.0, distance / 20]]),
        species_log_likelihood=np.zeros((2, 0)),
        vectors=np.diag([20.0, 20.0]),
        covariance=np.zeros((7, 7)),
        n_cells=36,
        length_unit="pixel",
    ).with_error(position=error)
    atoms, images = (np.array([[0, 0], [0, distance]]) + rng.normal(0, error, (200000, 2, 2)) for _ in range(2))
    exchanged = ((atoms[:, 1] - atoms[:, 0]) * (images[:, 1] - images[:, 0])).sum(axis=1) < 0
    assert ambiguity(cell) == pytest.approx(2 * exchanged.mean(), rel=0.08)
    other = np.array([[0.0, -30.0], [-30.0, 0.0]])
    assert ambiguity(dataclasses.replace(cell, species_log_likelihood=other, species=("A", "B"))) < 1e-6


def test_noise_hides_a_broken_symmetry_behind_its_supergroup_and_then_everything():
    """A pm structure near pmm: told from it by good positions, by worse ones taken for the simpler group."""
    corner = np.array([[0.2, 0.15], [-0.2, 0.15], [0.2, -0.15], [-0.2, -0.15]])
    cell = MeanCell(
        fraction=corner + np.array([[0.01, 0.0], [-0.01, 0.0], [0.0, 0.0], [0.0, 0.0]]),
        species_log_likelihood=np.zeros((4, 0)),
        vectors=np.diag([1.0, 1.3]),
        covariance=np.zeros((11, 11)),
        n_cells=36,
        length_unit="pixel",
    )
    prior = dataclasses.replace(GENERAL, groups=(("pm", 0.6), ("pmm", 0.4)), broken=0.0)
    told, hidden, lost = (
        infer_symmetry(cell.with_error(scan=1e-4, position=error), prior=prior) for error in (0.001, 0.008, 3.0)
    )
    assert told.of("pm") > 0.99
    assert hidden.of("pmm") > 0.9
    assert lost.of("pm") == pytest.approx(0.6, abs=0.02)


def square(ratio, error):
    return MeanCell(
        fraction=np.array([[0.0, 0.0], [0.5, 0.5]]),
        species_log_likelihood=np.zeros((2, 0)),
        vectors=np.diag([1.0, ratio]),
        covariance=error**2 * np.eye(7),
        n_cells=36,
        length_unit="pixel",
    )


def test_expected_evidence_is_the_mean_over_measurements():
    cell = repeated_cell(square(1.02, 1e-4), position_error=0.1, side=5)
    hypotheses = find_strata(cell, dataclasses.replace(SymmetryPrior(), broken=0.0))
    scatter = measured(cell)
    root = np.linalg.cholesky(cell.covariance)
    error = np.random.default_rng(4).normal(size=(200, 7)) @ root.T
    for stratum in hypotheses.strata:
        moved = [dataclasses.replace(stratum, point=stratum.point - one) for one in error]
        values = np.array([scatter.log_evidence(one) for one in moved])
        assert values.mean() == pytest.approx(
            scatter.expected_log_evidence(stratum), abs=4 * values.std() / np.sqrt(len(error)) + 1e-9
        )


def test_probabilities_of_alternatives_are_calibrated():
    """Cells that are square or stretched by up to 2.5 % along the axes, measured with 0.3 %."""
    rng = np.random.default_rng(6)
    cubic = Alternative(name="cubic", constraints=(RIGHT_ANGLE, EQUAL_SIDES))
    tetragonal = Alternative(name="tetragonal", constraints=(RIGHT_ANGLE,), width=0.05)
    stretched = rng.random(1500) < 0.5
    stated = []
    for stretch in stretched * rng.uniform(-0.025, 0.025, len(stretched)) + rng.normal(0, 0.003, len(stretched)):
        angle = rng.normal(0, 0.003)
        cell = dataclasses.replace(square(1 + stretch, 0.003), vectors=np.array([[1.0, angle], [0.0, 1 + stretch]]))
        stated.append(compare_alternatives(cell, (cubic, tetragonal)).probability[1])
    assert reliability(np.array(stated), stretched).worst(least_cases=100) < 0.1
    assert np.mean(stated) == pytest.approx(stretched.mean(), abs=0.03)
