"""Segregation, bond disorder and adatoms on simulated data with their published parameters: recovery and coverage.

Each test writes its section of one table.
"""

import fcntl
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tusi.datasets.adatoms import AdatomSurface, MovieRecipe, simulate_adatom_images, simulate_adatom_movies
from tusi.datasets.disorder import DisorderRecipe, simulate_bond_disorder
from tusi.datasets.segregation import (
    SEGREGATION_ENERGIES,
    SegregationRecipe,
    kt_in_kj_per_mol,
    simulate_segregation,
)
from tusi.generative.estimation.adatoms import fit_adatoms
from tusi.generative.estimation.bond_law import fit_bond_disorder
from tusi.generative.estimation.disorder import detect_bond_disorder, fit_clean_exchange
from tusi.generative.estimation.macroscopic import JointSettings, fit_specimens, fit_specimens_by_distance
from tusi.inference import binomial_interval, coverage

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
TITLE = "# Segregation, bond disorder and adatoms: recovery and coverage"

N_SEGREGATION, N_DISTANCE = 240, 60
N_CLEAN, N_SIZE, N_POWER, N_LAW = 40, 500, 60, 16
N_ADATOMS, N_BOOTSTRAP = 2000, 800
TEMPERATURES, SPREADS = (1.1, 1.5, 2.0, 3.0), (0.1, 0.3, 0.5, 0.7, 1.0)


def write_section(name, lines):
    """Put a section into the table's page, in the place of what it held before."""
    path = TABLES / "physics_problems.md"
    path.touch()
    with path.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", file.read(), re.MULTILINE | re.DOTALL))
        sections[name] = "\n" + "\n".join(lines) + "\n\n"
        file.seek(0)
        file.truncate()
        file.write(TITLE + "\n\n" + "".join(f"## {key}\n{sections[key]}" for key in sorted(sections)).rstrip() + "\n")


def percent(interval, truth):
    """Return the coverage as a table writes it, and its bounds."""
    found = coverage(interval, truth)
    return f"{100 * found.fraction:.1f} % ({100 * found.low:.1f}-{100 * found.high:.1f})", found


@pytest.mark.science
def test_segregation_from_images_and_profiles():
    recipe = SegregationRecipe(shape=(12, 12), n_layers=4)
    rng, settings = np.random.default_rng(20260101), JointSettings(n_samples=1600)
    fits = {"images and profile": [], "images alone": [], "S^2, images and profile": []}
    for k in range(N_SEGREGATION):
        world = simulate_segregation(recipe, rng=rng)
        start = recipe.couplings
        both = fit_specimens(world.specimens, rng=rng, settings=settings, start=start)
        fits["images and profile"].append(both)
        fits["images alone"].append(fit_specimens(world.without_profiles(), rng=rng, settings=settings, start=start))
        if k < N_DISTANCE:
            fits["S^2, images and profile"].append(
                fit_specimens_by_distance(world.specimens, rng=rng, settings=settings, start=start)
            )
    large = SegregationRecipe(shape=(32, 32), n_layers=6)
    world = simulate_segregation(large, rng=rng)
    one = fit_specimens(world.specimens, rng=rng)
    unit = kt_in_kj_per_mol(recipe.temperature)
    lines = [
        f"La5/8Ca3/8MnO3 at {recipe.temperature:.0f} K (kT = {unit:.2f} kJ/mol), published energies. Replicas: a bare",
        "surface and one with oxygen, 144 sites each seen and three layers below unseen; profile of the bare slab with",
        f"errors of {recipe.profile_error:.2f} in each layer. Chains start at the truth; energies in kJ/mol.",
        "",
        "| fit | energy | truth | replicas | mean | rms error | rms / stated | within 2 s.e. | 95 % interval covers |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    worst, errors = [], {}
    for name, done in fits.items():
        value, stated = np.array([f.value for f in done]), np.array([f.standard_error for f in done])
        errors[name] = np.sqrt(np.mean(stated**2, axis=0))
        for k, energy in enumerate(("w_CL", "w_LL", "w_LO")):
            away = value[:, k] - recipe.couplings[k]
            text, found = percent(np.array([f.interval[k] for f in done]), recipe.couplings[k])
            worst.append(found)
            lines.append(
                f"| {name} | {energy} | {SEGREGATION_ENERGIES[k]:.2f} | {len(done)} | {unit * value[:, k].mean():.2f} "
                f"| {unit * np.sqrt(np.mean(away**2)):.2f} | {np.sqrt(np.mean(away**2)) / errors[name][k]:.2f} "
                f"| {100 * np.mean(np.abs(away) < 2 * stated[:, k]):.0f} % | {text} |"
            )
    ratio = errors["images and profile"] / errors["images alone"]
    pull = (one.value - large.couplings) / one.standard_error
    lines += [
        "",
        "Standard errors with the profile over those without: "
        + ", ".join(f"{r:.2f}" for r in ratio)
        + " (w_CL, w_LL, w_LO).",
        "",
        "One large film (1024 surface sites in each image, six layers, started from no coupling): "
        + ", ".join(
            f"{n} = {unit * v:.2f} +- {unit * e:.2f}"
            for n, v, e in zip(one.parameters, one.value, one.standard_error, strict=True)
        )
        + f" kJ/mol, away from the truth by {', '.join(f'{p:+.1f}' for p in pull)} standard errors.",
    ]
    write_section("1. Segregation", lines)
    assert all(found.high > 0.93 for found in worst)
    assert (ratio < 1).all()
    assert (np.abs(pull) < 2.5).all()


@pytest.mark.science
def test_exchange_of_a_clean_fit_where_bonds_differ():
    lines = [
        "One snapshot of 32 x 32 spins of a sample with exchanges N(J, spread J), fitted as if clean;",
        f"{N_CLEAN} samples a cell. Bias of J in %, its own standard error after +-, and in parentheses the prediction",
        "-u (spread J/kT)^2 to second order; in brackets the number of spins beyond which that exceeds two standard",
        "errors of J. Bold where the bias exceeds 10 %.",
        "",
        "| T / Tc | " + " | ".join(f"spread {spread}" for spread in SPREADS) + " |",
        "| --- |" + " --- |" * len(SPREADS),
    ]
    rng = np.random.default_rng(20260102)
    for temperature in TEMPERATURES:
        cells = []
        for spread in SPREADS:
            recipe = DisorderRecipe(temperature=temperature, spread=spread)
            truth, fits = recipe.coupling, []
            for _ in range(N_CLEAN):
                world = simulate_bond_disorder(recipe, rng=rng)
                fits.append(fit_clean_exchange(world.system, world.species, rng=rng, n_samples=1600))
            away = np.array([fit.value for fit in fits]) / truth - 1
            bias, noise = away.mean(), away.std(ddof=1) / np.sqrt(N_CLEAN)
            expected = np.mean([-fit.alignment for fit in fits]) * spread**2 * truth
            error = np.mean([fit.standard_error for fit in fits]) / truth
            fails = 1024 * (2 * error / max(abs(expected), 1e-9)) ** 2
            text = f"{100 * bias:+.1f} +- {100 * noise:.1f} ({100 * expected:+.1f}) [{fails:.1e}]"
            cells.append(f"**{text}**" if abs(bias) > 0.1 else text)
            if spread <= 0.3:
                assert abs(bias - expected) < 4 * noise + 0.01
        lines.append(f"| {temperature} | " + " | ".join(cells) + " |")
    write_section("2a. Bond disorder: bias of a clean fit", lines)


@pytest.mark.science
def test_disorder_is_detected_and_measured():
    rng = np.random.default_rng(20260103)
    lines = [
        "Score test for bond disorder, 8 snapshots of 16 x 16 spins, 99 clean replicas each; rejections at 5 %.",
        "",
        "| T / Tc | spread | samples | rejected |",
        "| --- | --- | --- | --- |",
    ]
    for temperature, spread in ((1.2, 0.0), (2.0, 0.0), (1.2, 0.3), (2.0, 0.3), (1.2, 0.6), (2.0, 0.6)):
        n = N_SIZE if spread == 0 else N_POWER
        recipe = DisorderRecipe(shape=(16, 16), temperature=temperature, spread=spread, n_snapshots=8)
        rejected = 0
        for _ in range(n):
            world = simulate_bond_disorder(recipe, rng=rng)
            test = detect_bond_disorder(world.system, world.species, rng=rng, n_replicas=99)
            rejected += test.p_value <= 0.05
        low, high = binomial_interval(rejected, n)
        lines.append(
            f"| {temperature} | {spread} | {n} | {100 * rejected / n:.1f} % ({100 * low:.1f}-{100 * high:.1f}) |"
        )
        assert spread > 0 or low < 0.06
        assert spread > 0 or high > 0.04
    lines += [
        "",
        f"Mean and spread of the exchanges from 100 snapshots of 24 x 24 spins, {N_LAW} samples a row, biases removed",
        "with 12 replicas each; in units of J.",
        "",
        "| T / Tc | spread | mean | rms / stated | spread found | rms / stated (variance) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    worst = 0.0
    for temperature, spread in ((1.2, 0.3), (1.2, 0.6), (2.0, 0.0), (2.0, 0.3), (2.0, 0.6)):
        recipe = DisorderRecipe(shape=(24, 24), temperature=temperature, spread=spread, n_snapshots=100)
        rows = []
        for _ in range(N_LAW):
            world = simulate_bond_disorder(recipe, rng=rng)
            fit = fit_bond_disorder(world.system, world.species, rng=rng, n_replicas=12)
            away = fit.mean - recipe.coupling, fit.variance - (spread * recipe.coupling) ** 2
            rows.append((fit.mean, fit.variance, away[0] / fit.mean_error, away[1] / fit.variance_error))
        table = np.array(rows)
        pulls = np.sqrt(np.mean(table[:, 2:] ** 2, axis=0))
        found = np.sqrt(max(table[:, 1].mean(), 0.0)) / recipe.coupling
        lines.append(
            f"| {temperature} | {spread} | {table[:, 0].mean() / recipe.coupling:.3f} | {pulls[0]:.2f} | {found:.3f} "
            f"| {pulls[1]:.2f} |"
        )
        worst = max(worst, pulls.max())
    write_section("2b. Bond disorder: detection and law", lines)
    assert worst < 2


@pytest.mark.science
def test_adatom_energies_and_barriers_cover():
    rng, surface = np.random.default_rng(20260104), AdatomSurface()
    truth = np.array([*surface.energies[1:], *surface.saddles, np.log(surface.attempt)])
    temperatures = np.array([150.0, 200.0, 250.0, 300.0])
    recipe = MovieRecipe(n_hops=400, missed=0.1)
    fits = []
    for _ in range(N_ADATOMS):
        images = simulate_adatom_images(surface, temperatures=temperatures, n_adatoms=60, rng=rng)
        fits.append(fit_adatoms([images, simulate_adatom_movies(surface, recipe, rng=rng)]))
    value, stated = np.array([f.value for f in fits]), np.array([f.standard_error for f in fits])
    lines = [
        f"Images of 60 adatoms at {len(temperatures)} temperatures (150-300 K) and movies of 20 adatoms at 4",
        f"(160-220 K, {recipe.n_hops} hops each, 10 % of the hops missed), kinetic Monte Carlo; {N_ADATOMS} replicas.",
        "Energies in eV, `log_attempt` the natural logarithm of the attempt frequency in 1/s.",
        "",
        "| parameter | truth | mean | rms error | rms / stated | within 2 s.e. | 95 % interval covers |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for k, name in enumerate(fits[0].parameters):
        text, found = percent(np.array([f.interval[k] for f in fits]), truth[k])
        away = value[:, k] - truth[k]
        rms, within = np.sqrt(np.mean(away**2)), 100 * np.mean(np.abs(away) < 2 * stated[:, k])
        lines.append(
            f"| {name} | {truth[k]:.4g} | {value[:, k].mean():.4g} | {rms:.2g} "
            f"| {rms / np.sqrt(np.mean(stated[:, k] ** 2)):.3f} | {within:.1f} % | {text} |"
        )
        assert 0.93 <= found.fraction <= 0.97
    five = np.mean([f.p_value <= 0.05 for f in fits])
    rejected = {"Arrhenius": 0, "Arrhenius + tunnelling at 0.02/s": 0}
    cold = MovieRecipe(temperatures=(140.0, 160.0, 180.0, 200.0), n_hops=400)
    for _ in range(N_BOOTSTRAP):
        movies = simulate_adatom_movies(surface, cold, rng=rng)
        strange = type(movies)(
            jumps=movies.jumps,
            temperature=movies.temperature,
            hops=movies.hops + rng.poisson(0.02 * movies.exposure),
            exposure=movies.exposure,
        )
        for name, one in zip(rejected, (movies, strange), strict=True):
            rejected[name] += fit_adatoms([one], n_bootstrap=39, rng=rng).p_value <= 0.05
    lines += ["", f"Misfit of images and movies by the chi-square law: p <= .05 in {100 * five:.1f} % of the replicas."]
    lines += ["", "| rates of the movies | replicas | bootstrap p <= .05 |", "| --- | --- | --- |"]
    for name, n in rejected.items():
        low, high = binomial_interval(n, N_BOOTSTRAP)
        share = f"{100 * n / N_BOOTSTRAP:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
        lines.append(f"| {name} | {N_BOOTSTRAP} | {share} |")
    write_section("3. Adatoms", lines)
    low, high = binomial_interval(rejected["Arrhenius"], N_BOOTSTRAP)
    assert low < 0.06
    assert high > 0.04
