"""Species probabilities against known species: calibrated, for every composition and contrast."""

import dataclasses
import warnings

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.errors import InputError, ScarceDataWarning
from tusi.structure import IntensityMixture, classify_species, register_lattice


def columns(*, fraction, contrast=2.0, spread=0.08, tilt=0.0, n=24, seed=0):
    """Columns on a square lattice with known species under a smooth factor."""
    rng = np.random.default_rng(seed)
    y, x = (axis.ravel() * 3.0 for axis in np.mgrid[:n, :n])
    heavy = rng.random(n * n) < fraction
    factor = 1 + tilt * (np.sin(y / 25) + (x / x.max()) ** 2 - 0.6)
    intensity = np.where(heavy, contrast, 1.0) * factor * rng.normal(1.0, spread, n * n)
    atoms = Atoms.at(np.stack([y, x], axis=1), length_unit="angstrom", intensity=intensity)
    return atoms, heavy


def classify(atoms, *, species=("Mo", "Re"), seed=0, settings=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScarceDataWarning)
        lattice = register_lattice(atoms)
        return classify_species(atoms, lattice, species=species, settings=settings, rng=np.random.default_rng(seed))


FLAT = IntensityMixture(highest_degree=0, most_classes=2)
"""For many images whose factor is known to be constant."""


@pytest.mark.parametrize("fraction", [0.03, 0.3, 0.55, 0.95])
@pytest.mark.parametrize("tilt", [0.0, 0.15])
def test_well_separated_species_are_told_apart(fraction, tilt):
    atoms, heavy = columns(fraction=fraction, tilt=tilt, seed=int(100 * fraction))
    fit = classify(atoms)
    told = fit.atoms.species_probability[:, 1] > 0.5
    assert (told == heavy).mean() >= 0.995
    low, high = fit.fraction_interval[1]
    assert low - 0.003 <= heavy.mean() <= high + 0.003


@pytest.mark.parametrize(("contrast", "spread", "n_images", "n_bins"), [(2.0, 0.25, 15, 5), (1.5, 0.16, 24, 8)])
def test_probabilities_are_calibrated_where_species_overlap(contrast, spread, n_images, n_bins):
    """Equal-width reliability bins within .05, pooled over images; at least 400 cases a bin."""
    probability, truth = [], []
    for seed in range(n_images):
        fraction = (0.2, 0.5, 0.8)[seed % 3]
        atoms, heavy = columns(fraction=fraction, contrast=contrast, spread=spread, n=32, seed=seed)
        probability.append(classify(atoms, seed=seed, settings=FLAT).atoms.species_probability[:, 1])
        truth.append(heavy)
    probability, truth = np.concatenate(probability), np.concatenate(truth)
    for low in np.arange(n_bins) / n_bins:
        inside = (probability >= low) & (probability < low + 1 / n_bins + 1e-9)
        assert inside.sum() >= 400
        assert abs(truth[inside].mean() - probability[inside].mean()) < 0.05, (low, inside.sum())


def test_fraction_intervals_cover():
    covered = []
    for seed in range(40):
        atoms, heavy = columns(fraction=0.4, contrast=1.5, spread=0.16, n=20, seed=1000 + seed)
        low, high = classify(atoms, seed=seed, settings=FLAT).fraction_interval[1]
        covered.append(low <= heavy.mean() <= high)
    assert np.mean(covered) >= 0.86


def test_the_number_of_classes_is_chosen_by_evidence():
    for fraction, expected in [(0.0, 1), (0.3, 2)]:
        atoms, _ = columns(fraction=fraction)
        assert len(classify(atoms, species=None).atoms.species) == expected


def test_units_of_intensity_do_not_matter():
    atoms, _ = columns(fraction=0.3, contrast=1.6, spread=0.15)
    scaled = dataclasses.replace(atoms, intensity=137.0 * atoms.intensity)
    first, second = (classify(table).atoms.species_probability for table in (atoms, scaled))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_one_species_asked_as_two_says_so():
    atoms, _ = columns(fraction=0.0)
    with pytest.warns(ScarceDataWarning) as caught:
        fit = classify_species(atoms, register_lattice(atoms), species=("Mo", "Re"), rng=np.random.default_rng(0))
    assert {str(warning.message) for warning in caught} == set(fit.warnings)
    assert any("favour 1 classes" in text for text in fit.warnings)


def test_elements_are_ordered_by_atomic_number():
    atoms, heavy = columns(fraction=0.3)
    fit = classify(atoms, species=("Re", "Mo"))
    assert fit.atoms.species == ("Mo", "Re")
    assert fit.atoms.species_probability[heavy, 1].mean() > 0.99


def test_too_few_columns():
    atoms, _ = columns(fraction=0.3, n=4)
    with pytest.raises(InputError, match="expected at least 20 columns on basis site 0; got 16"):
        classify(atoms)


def test_repeated_names():
    atoms, _ = columns(fraction=0.3)
    with pytest.raises(InputError, match="`species`: expected distinct names"):
        classify(atoms, species=("Mo", "Mo"))


def test_columns_of_all_sublattices_together():
    """Two sublattices of different species, and a few columns that changed places."""
    rng = np.random.default_rng(2)
    y, x = (axis.ravel() * 3.0 for axis in np.mgrid[:12, :12])
    position = np.concatenate([np.stack([y, x], axis=1), np.stack([y + 1.5, x + 1.5], axis=1)])
    heavy = (np.arange(288) < 144) ^ (rng.random(288) < 0.03)
    intensity = np.where(heavy, 2.0, 1.0) * rng.normal(1.0, 0.06, 288)
    atoms = Atoms.at(position, length_unit="angstrom", intensity=intensity)
    lattice = register_lattice(atoms)
    assert len(lattice.basis) == 2
    fit = classify_species(atoms, lattice, basis_site=None, rng=np.random.default_rng(0))
    assert fit.basis_site is None
    assert ((fit.atoms.species_probability[:, 1] > 0.5) == heavy).all()
    with pytest.raises(InputError, match="at least 20 columns on the lattice"):
        classify_species(atoms, lattice[:3], basis_site=None, rng=rng)


def test_twenty_five_columns_of_one_kind():
    """Some classes with which the fit starts hold no column at all: they are given up without numerical warnings."""
    atoms, _ = columns(fraction=0.0, spread=0.05, n=5)
    fit = classify(atoms, species=None)
    assert len(fit.fraction) == 1
    assert np.isfinite(fit.log_evidence).any()
