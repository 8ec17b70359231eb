"""Do predictions of fitted lattice models hold what they promise? Worlds of known Hamiltonian, from image to answer.

The credible band of Tc, the predictive p-values of images that the fit did not see (and of those that it did), and the
intervals of the Gaussian process. The small tests run always; those marked `science` write tables.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.stats import kstest

from tusi.generative.estimation import Pseudolikelihood, estimate_couplings, observe
from tusi.generative.lattice import SQUARE, TRIANGULAR, ising, lattice_system, pair_model, periodic_sites, window_sites
from tusi.generative.montecarlo import Exchange, SamplingPlan, SwendsenWang, draw_samples
from tusi.generative.prediction import (
    Conditions,
    DiagramPlan,
    FittedModel,
    ForecastPlan,
    SimulatedMean,
    ThermodynamicMean,
    find_transition,
    fit_thermodynamic_process,
    fitted_model,
    phase_diagram,
    predict_histogram,
)
from tusi.inference import binomial_interval, coverage

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SQUARE_TC, TRIANGULAR_TC = 2 / np.log(1 + np.sqrt(2)), 4 / np.log(3)
N_BANDS, N_KNOWN, N_TWO_COUPLINGS, N_FORECASTS, N_PROCESSES = 200, 100, 20, 500, 1000
MEASURED = np.array([[0.2, 1.0], [0.7, 1.0], [0.5, 1.4], [0.45, 1.0], [0.3, 1.3]])
WANTED = np.array([[0.35, 1.0], [0.55, 1.15], [0.25, 1.15], [0.5, 1.2]])


def windows(model, couplings, *, fraction, n_images, rng, ratio=1.0, window=20, crystal=60):
    """Return windows of periodic crystals; the composition is the crystal's, or free where none is given."""
    sites = periodic_sites(SQUARE, (crystal, crystal))
    system = lattice_system(model, sites)
    inside = (sites.index[:, :2] < window).all(axis=1)
    start = None
    if fraction is not None:
        start = rng.permutation((np.arange(len(sites)) < round(fraction * len(sites))).astype(np.int8))
    n_chains = min(4, n_images)
    plan = SamplingPlan(
        n_samples=-(-n_images // n_chains), n_chains=n_chains, burn_in=150, spacing=12, keep_species=True, start=start
    )
    sampler = SwendsenWang() if fraction is None else Exchange()
    samples = draw_samples(system, np.asarray(couplings) / ratio, rng=rng, sampler=sampler, plan=plan)
    found = samples.species.reshape(-1, len(sites))[:, inside]
    return found[rng.permutation(len(found))][:n_images]


def transition_bands(couplings, critical, *, n_worlds, seed):
    """Return the credible interval of Tc for worlds whose couplings are fitted to one image above Tc."""
    rng = np.random.default_rng(seed)
    model = ising(shells=len(couplings), field=False)
    images = windows(model, couplings, fraction=None, n_images=n_worlds, rng=rng, window=40, crystal=84)
    sites = window_sites(SQUARE, (40, 40))
    conditions = Conditions(crystal=SQUARE, temperatures=tuple(critical * np.linspace(0.8, 1.2, 7)))
    plan = DiagramPlan(sizes=(12, 16), n_samples=250, n_draws=60, burn_in=40, shells=1)
    intervals, drawn = [], []
    for species in images:
        fit = estimate_couplings(
            observe(sites, species), model, rng=rng, method=Pseudolikelihood(), composition="model"
        )
        diagram = phase_diagram(fitted_model(model, fit), conditions=conditions, rng=rng, plan=plan)
        found = find_transition(diagram)
        intervals.append(found.interval)
        drawn.append(found.value)
    return np.array(intervals), np.array(drawn)


def reference_transition(couplings, near, seed):
    """Return Tc of known couplings, from larger crystals."""
    model = ising(shells=len(couplings), field=False)
    known = FittedModel(model=model, value=np.array(couplings), covariance=np.zeros((len(couplings),) * 2))
    conditions = Conditions(crystal=SQUARE, temperatures=tuple(near * np.linspace(0.95, 1.05, 5)))
    plan = DiagramPlan(sizes=(24, 32), n_samples=5000, n_draws=20, shells=1)
    return find_transition(phase_diagram(known, conditions=conditions, rng=np.random.default_rng(seed), plan=plan))


def forecast_p_values(*, use, n_worlds, seed, truth=(0.5,), shells=1, plan=None):
    """Return predictive p-values of a fourth image at other conditions, or of the fitted image."""
    rng = np.random.default_rng(seed)
    model, made = pair_model(shells=shells), pair_model(shells=len(truth))
    sites = window_sites(SQUARE, (20, 20))
    plans = [(0.3, 1.0), (0.5, 1.0), (0.6, 1.0), (0.4, 1.25)]
    stock = [
        windows(made, truth, fraction=fraction, n_images=n_worlds, rng=rng, ratio=ratio) for fraction, ratio in plans
    ]
    system = lattice_system(model, sites)
    p_values = []
    for images in zip(*stock, strict=True):
        if use == "held out":
            seen = [observe(sites, species) for species in images[:3]]
            fit = estimate_couplings(seen, model, rng=rng, method=Pseudolikelihood())
            fitted = fitted_model(model, fit)
            image = observe(sites, images[3], temperature_ratio=1 / plans[3][1])
        else:
            fitted = fitted_by_newton(model, system, truth, images[1], rng)
            image = observe(sites, images[1])
        p_values.append(predict_histogram(fitted, image, rng=rng, use=use, plan=plan).p_value)
    return np.array(p_values)


def fitted_by_newton(model, system, truth, species, rng):
    """Return the maximum-likelihood fit to one image, by Newton steps; the covariance is that at the fit."""
    value = np.array(truth)
    observed = system.statistics(species[None])[0]
    plan = SamplingPlan(n_samples=1000, n_chains=2, burn_in=50, spacing=2, start=species)
    for _ in range(3):
        samples = draw_samples(system, value, rng=rng, sampler=Exchange(), plan=plan)
        covariance = np.linalg.inv(samples.covariance)
        value = value + covariance @ (samples.mean - observed)
    return FittedModel(model=model, value=value, covariance=covariance)


class TabulatedMean(ThermodynamicMean):
    """A one-coupling model simulated once at several couplings, so that thousands of worlds can use it."""

    def __init__(self, table, value, error):
        self.table, self.value, self.error = table, value, error

    def predict(self, conditions, *, rng):
        place = [int(np.flatnonzero((np.concatenate([MEASURED, WANTED]) == c).all(axis=1))[0]) for c in conditions]
        curve = self.table
        return curve(self.value)[place], self.error * curve(self.value, 1)[place, None]


def simulated(model, couplings, observable, *, rng, n_samples):
    """Return an observable at all conditions for couplings that are known exactly."""
    n = len(couplings)
    plan = SamplingPlan(n_samples=n_samples, n_chains=4, burn_in=50, spacing=1)
    known = FittedModel(model=model, value=np.array(couplings), covariance=np.zeros((n, n)))
    mean = SimulatedMean(fitted=known, crystal=SQUARE, size=16, plan=plan, observable=observable)
    return mean.predict(np.concatenate([MEASURED, WANTED]), rng=rng)[0]


def process_coverage(*, lacking, n_measured, n_worlds, seed, n_samples=500, n_repeats=40):
    """Return coverage of the process's intervals, of the model's alone, and the mean probability of no discrepancy.

    P1 is fitted to the order of the first shell; predicted is that of the second, where a second-shell energy that the
    model lacks shows. Such energies are drawn anew every `n_repeats` worlds.
    """
    noise, error = 0.02, 0.02
    rng = np.random.default_rng(seed)
    nodes, grid, n = np.linspace(0.1, 0.8, 6), np.linspace(0.1, 0.8, 701), len(MEASURED)
    first, second = (
        CubicSpline(nodes, [simulated(pair_model(), (w,), name, rng=rng, n_samples=n_samples) for w in nodes])
        for name in ("short-range order 1", "short-range order 2")
    )
    inside, alone, sure = [], [], []
    for number in range(n_worlds):
        if number % n_repeats == 0:
            fitted_to, truth = first(0.4), second(0.4)
            if lacking:
                couplings = (0.4, 0.2 * rng.standard_normal())
                fitted_to, truth = (
                    simulated(pair_model(shells=2), couplings, name, rng=rng, n_samples=n_samples)
                    for name in ("short-range order 1", "short-range order 2")
                )
            best = grid[np.argmin(((first(grid) - fitted_to) ** 2).sum(axis=1))]
        model = TabulatedMean(second, best + error * rng.standard_normal(), error)
        value = truth[:n_measured] + noise * rng.standard_normal(n_measured)
        process = fit_thermodynamic_process(
            MEASURED[:n_measured], value, variance=np.full(n_measured, noise**2), model=model, rng=rng
        )
        found = process.predict(WANTED, rng=rng)
        inside.append((found.interval[:, 0] <= truth[n:]) & (truth[n:] <= found.interval[:, 1]))
        alone.append(np.abs(found.model_mean - truth[n:]) <= 1.96 * found.model_standard_deviation)
        sure.append(process.no_discrepancy_probability)
    return float(np.mean(inside)), float(np.mean(alone)), float(np.mean(sure))


def write(name, lines):
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def head(lines, *titles):
    lines += ["", "| " + " | ".join(titles) + " |", "| " + " | ".join(["---"] * len(titles)) + " |"]


def known_transition(crystal, critical, seed):
    known = FittedModel(model=ising(field=False), value=np.array([1.0]), covariance=np.zeros((1, 1)))
    conditions = Conditions(crystal=crystal, temperatures=tuple(critical * np.linspace(0.96, 1.04, 5)))
    plan = DiagramPlan(sizes=(16, 24, 32), n_samples=3000, n_draws=50, shells=1)
    return find_transition(phase_diagram(known, conditions=conditions, rng=np.random.default_rng(seed), plan=plan))


def known_bands(crystal, coupling, critical, *, n_worlds, seed, step=0.2, n_samples=200, sizes=(10, 16)):
    """Return the credible interval of Tc for an Ising coupling that is known, from short chains."""
    rng = np.random.default_rng(seed)
    known = FittedModel(model=ising(field=False), value=np.array([coupling]), covariance=np.zeros((1, 1)))
    temperatures = tuple(critical * np.arange(0.66, 1.77, step))
    conditions = Conditions(crystal=crystal, temperatures=temperatures)
    plan = DiagramPlan(sizes=sizes, n_samples=n_samples, n_draws=40, shells=1)
    diagrams = (phase_diagram(known, conditions=conditions, rng=rng, plan=plan) for _ in range(n_worlds))
    return np.array([find_transition(diagram).interval for diagram in diagrams])


@pytest.mark.science
def test_bands_of_known_couplings_hold_the_exact_transition():
    lines, shares = ["# Transition temperatures of known couplings, from short chains"], []
    head(
        lines, "Ising, sizes 10 and 16, 4 chains", "worlds", "resolved", "covers Tc", "95 % interval", "mean width / Tc"
    )
    for crystal, coupling, exact, step, n_samples in (
        (SQUARE, 0.4, SQUARE_TC, 0.2, 200),
        (SQUARE, 0.4, SQUARE_TC, 0.05, 200),
        (SQUARE, -0.4, SQUARE_TC, 0.2, 200),
        (TRIANGULAR, 0.4, TRIANGULAR_TC, 0.2, 200),
        (SQUARE, 0.4, SQUARE_TC, 0.2, 50),
        (SQUARE, 0.4, SQUARE_TC, 0.2, 500),
    ):
        critical = abs(coupling) * exact
        intervals = known_bands(crystal, coupling, critical, n_worlds=N_KNOWN, seed=6, step=step, n_samples=n_samples)
        resolved = np.isfinite(intervals).all(axis=1)
        held = coverage(intervals[resolved], critical)
        width = np.diff(intervals[resolved]).mean() / critical
        lines.append(
            f"| {crystal.name}, K = {coupling}, step {step}, {n_samples} samples | {N_KNOWN} | {resolved.sum()} | "
            f"{held.fraction:.1%} | {held.low:.1%} to {held.high:.1%} | {width:.3f} |"
        )
        shares.append(held)
        write("prediction_known_transitions.md", lines)
    assert all(held.high > 0.95 and held.fraction > 0.9 for held in shares)


@pytest.mark.science
def test_predictive_p_values_of_unseen_and_of_fitted_images():
    lines, uniform, power = ["# Images predicted from couplings fitted elsewhere"], [], 0.0
    head(lines, "predictive p-values, 20 x 20 windows", "worlds", "KS p of uniformity", "p < .05", "p < .5")
    for name, options in {
        "three compositions predict a fourth at another temperature": {"use": "held out"},
        "the fitted image itself, refitted": {"use": "own"},
        "two couplings, the fitted image itself": {"use": "own", "truth": (0.4, 0.15), "shells": 2},
        "second shell missing in the model, a fourth image": {"use": "held out", "truth": (0.2, 0.6)},
    }.items():
        p = forecast_p_values(n_worlds=N_FORECASTS, seed=4, **options)
        ks = kstest(p, "uniform").pvalue
        lines.append(f"| {name} | {len(p)} | {ks:.3f} | {(p < 0.05).mean():.1%} | {(p < 0.5).mean():.1%} |")
        if "missing" in name:
            power = (p < 0.05).mean()
        else:
            uniform.append(ks)
        write("prediction_forecasts.md", lines)
    assert min(uniform) > 0.01
    assert power > 0.1


@pytest.mark.science
def test_gaussian_processes_at_unmeasured_conditions():
    lines, covered = ["# Gaussian processes with a fitted model inside"], []
    head(lines, "short-range order at 4 new conditions", "worlds", "covers", "model alone covers", "P(no discrepancy)")
    for lacking in (False, True):
        for n_measured in (3, 4, 5):
            both, alone, sure = process_coverage(lacking=lacking, n_measured=n_measured, n_worlds=N_PROCESSES, seed=5)
            name = "model lacks a term" if lacking else "model is right"
            lines.append(f"| {name}, {n_measured} measured | {N_PROCESSES} | {both:.1%} | {alone:.1%} | {sure:.2f} |")
            covered.append(both)
            write("prediction_processes.md", lines)
    assert min(covered[k] for k in (1, 2, 4, 5)) > 0.93
    assert min(covered[0], covered[3]) > 0.88


@pytest.mark.science
def test_transition_temperatures_and_their_bands():
    lines, errors, bands = ["# Transition temperatures of fitted models"], [], []
    head(lines, "couplings known exactly", "Tc", "band (Monte Carlo)", "exact")
    for crystal, critical in ((SQUARE, SQUARE_TC), (TRIANGULAR, TRIANGULAR_TC)):
        found = known_transition(crystal, critical, 1)
        low, high = found.interval
        lines.append(
            f"| {crystal.name}, sizes 16, 24, 32 | {found.value:.4f} | {low:.4f} to {high:.4f} | {critical:.4f} |"
        )
        errors.append(abs(found.value / critical - 1))
    write("prediction_transitions.md", lines)
    head(lines, "couplings from one 40 x 40 image above Tc", "worlds", "resolved", "covers Tc", "95 % interval of that")
    for couplings, n_worlds in (((0.36,), N_BANDS), ((0.28, 0.06), N_TWO_COUPLINGS)):
        critical = couplings[0] * SQUARE_TC if len(couplings) == 1 else reference_transition(couplings, 0.92, 2).value
        intervals, _ = transition_bands(couplings, critical, n_worlds=n_worlds, seed=3)
        resolved = np.isfinite(intervals).all(axis=1)
        held = coverage(intervals[resolved], critical)
        lines.append(
            f"| {len(couplings)} coupling(s), T/Tc = {1 / critical:.2f} | {n_worlds} | {resolved.sum()} | "
            f"{held.fraction:.1%} | {held.low:.1%} to {held.high:.1%} |"
        )
        bands.append(held)
        write("prediction_transitions.md", lines)
    assert max(errors) < 0.003
    assert all(held.high > 0.95 and held.fraction > 0.9 for held in bands)


def test_a_process_covers_whether_the_model_is_right_or_lacks_a_term():
    both, _, sure = process_coverage(lacking=False, n_measured=5, n_worlds=40, seed=1, n_samples=60)
    lacking, alone, doubt = process_coverage(lacking=True, n_measured=5, n_worlds=40, seed=1, n_samples=60)
    assert both > 0.9
    assert lacking > 0.85
    assert alone < lacking
    assert doubt < sure


def test_predictive_p_values_are_uniform():
    p = forecast_p_values(use="held out", n_worlds=32, seed=1, plan=ForecastPlan(n_samples=100))
    assert kstest(p, "uniform").pvalue > 0.001
    low, high = binomial_interval(np.count_nonzero(p < 0.5), len(p), confidence=0.999)
    assert low <= 0.5 <= high


def test_bands_of_known_couplings_from_short_chains_hold_the_exact_transition():
    critical = 0.4 * SQUARE_TC
    bands = [
        known_bands(SQUARE, coupling, critical, n_worlds=2, seed=7, n_samples=100, sizes=(6, 10))
        for coupling in (0.4, -0.4)
    ]
    pulls = (np.mean(bands, axis=2) - critical) / np.diff(bands)[..., 0] * 3.92
    assert np.abs(pulls).max() < 2.6
    assert np.diff(bands).max() < 0.4 * critical
