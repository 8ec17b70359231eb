"""Are the couplings, their intervals and the p-values what they say? Windows cut from crystals of known Hamiltonian.

Every replica is four images (compositions .05, .55, .78, .95) of a 24 x 23 window, 462 complete seven-site clusters
each, cut from a periodic crystal of 60 x 60 sites. The small tests run always; those marked `science` write
`docs/tables/hamiltonian_calibration.md`.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tusi.generative.bootstrap import ModelJob, fit_labels, replicate
from tusi.generative.clusters import centre_composition, cluster_histogram
from tusi.generative.crystal import periodic_graph, square_window, window_graph
from tusi.generative.labels import draw_labels
from tusi.generative.likelihood import Evidence, FitSettings, invert, maximise_likelihood, profile_interval
from tusi.generative.models import MODELS
from tusi.generative.nested import nested_score
from tusi.generative.permutation import PermutationJob, permute, random_distance, score_statistic
from tusi.generative.sampling import SamplerSettings, sample
from tusi.generative.surface import histogram_surface, minimise_distance
from tusi.generative.window import condition
from tusi.inference import binomial_interval, coverage, resampling_p_value
from tusi.numerics.symmetry import ring_classes

COMPOSITIONS = (0.05, 0.55, 0.78, 0.95)
SHAPE, HEIGHT, WIDTH = (60, 60), 24, 23
COUPLINGS = (-0.4, -0.2, 0.0, 0.2, 0.4)
QUICK = FitSettings(n_samples=900)
CLASSES = ring_classes(6)
TABLE = Path(__file__).parents[2] / "docs" / "tables" / "hamiltonian_calibration.md"


class World:
    """Replicas of the four images at one coupling of P1."""

    def __init__(self, coupling, seed, *, n_ahead=200):
        self.coupling, self.n_ahead = np.atleast_1d(float(coupling)), n_ahead
        self.rng = np.random.default_rng([seed, round(1000 * abs(coupling)), int(coupling < 0)])
        self.crystal = condition(periodic_graph(SHAPE), [MODELS["P1"]])
        self.inside = square_window(SHAPE, height=HEIGHT, width=WIDTH)
        graph = window_graph(np.zeros(SHAPE, dtype=int), inside=self.inside, species=("Mo", "Re"))
        self.windows = (condition(graph, list(MODELS.values())),) * len(COMPOSITIONS)
        self.narrow = (self.windows[0].only(MODELS["P1"]),) * len(COMPOSITIONS)
        self.stock = []

    def replica(self):
        """Return the species of the four windows; crystals are 10 exchanges per minority atom apart."""
        if not self.stock:
            settings = SamplerSettings(spacing=10.0, burn_in=20)
            chains = []
            for x in COMPOSITIONS:
                species = (np.arange(self.crystal.n_sites) < round(x * self.crystal.n_sites)).astype(np.int8)
                chain = sample(
                    self.crystal, MODELS["P1"], couplings=self.coupling, species=species, n_samples=self.n_ahead,
                    rng=self.rng, keep_species=True, settings=settings,
                )  # fmt: skip
                chains.append(chain.species[:, self.inside.ravel()])
            self.stock = list(zip(*chains, strict=True))
        return tuple(species[None] for species in self.stock.pop())


def fits(coupling, n_replicas, seed):
    """Fit P1 to replicas; columns are value, low, high, Fisher variance at the truth, stated standard error."""
    world = World(coupling, seed)
    rows = []
    for _ in range(n_replicas):
        evidence = Evidence(windows=world.narrow, species=world.replica())
        fit = maximise_likelihood(evidence, MODELS["P1"], rng=world.rng, settings=QUICK)
        information = fit.pool.log_likelihood(world.coupling)[2][0, 0]
        rows.append((fit.value[0], *profile_interval(fit, 0), 1 / information, np.sqrt(invert(fit.information)[0, 0])))
    return np.array(rows)


def labelled_fits(coupling, n_replicas, seed, *, error_rate=0.02):
    """Fit P1 to replicas of which the species are seen through overlapping intensities; 2 % would be mislabelled."""
    world = World(coupling, seed)
    offset = -2 * _normal_quantile(error_rate)
    rows = []
    for _ in range(n_replicas):
        windows = []
        for window, (species,), x in zip(world.windows, world.replica(), COMPOSITIONS, strict=True):
            intensity = offset * species + world.rng.normal(size=window.n_sites)
            odds = x / (1 - x) * np.exp(offset * intensity - offset**2 / 2)
            windows.append(dataclasses.replace(window, probability=odds / (1 + odds)))
        draws = tuple(draw_labels(window, 16, rng=world.rng) for window in windows)
        job = ModelJob(
            model=MODELS["P1"], larger=(), windows=tuple(windows), species=draws, histogram=np.zeros((1, 4, 26), int),
            n_imputations=16, n_bootstrap=2, settings=FitSettings(n_samples=1600),
        )  # fmt: skip
        fitted = fit_labels(job, world.rng)
        rows.append((fitted.value[0], *fitted.interval[0], fitted.covariance[0, 0], np.sqrt(fitted.covariance[0, 0])))
    return np.array(rows)


def null_p_values(n_replicas, seed, *, n_permutations=199):
    """Permutation p-values of random alloys: of the pooled distance, and of the scores of P1, P2 and M."""
    world = World(0.0, seed)
    models = tuple(MODELS[name] for name in ("P1", "P2", "M"))
    rows = []
    for _ in range(n_replicas):
        species = world.replica()
        drawn = permute(
            PermutationJob(windows=world.windows, species=species, models=models, n_permutations=n_permutations),
            world.rng,
        )
        observed = np.stack([cluster_histogram(w, s, CLASSES) for w, s in zip(world.windows, species, strict=True)], 1)
        distance = random_distance(observed, 6).mean()
        row = [resampling_p_value(distance, random_distance(drawn.histogram, 6).mean(axis=1))]
        for model, values in zip(models, drawn.statistics, strict=True):
            null = values.sum(axis=1)
            seen = sum(world.windows[0].only(model).statistics(model, one) for one in species)
            both = np.concatenate([null, seen])
            row.append(resampling_p_value(score_statistic(seen, both)[0], score_statistic(null, both)))
        rows.append(row)
    return np.array(rows)


def fitted_p_values(coupling, n_replicas, seed, *, n_bootstrap=99):
    """Bootstrap p-values under P1: of the pooled distance, and of what P2 and M add."""
    world = World(coupling, seed)
    information = np.array([[400.0]])
    surfaces = tuple(
        histogram_surface(MODELS["P1"], centre=world.coupling, information=information, composition=x, n_ring=6, n_samples=3600,
                          rng=world.rng)
        for x in COMPOSITIONS
    )  # fmt: skip
    larger = (MODELS["P2"], MODELS["M"])
    rows = []
    for _ in range(n_replicas):
        species = world.replica()
        fit = maximise_likelihood(
            Evidence(windows=world.narrow, species=species), MODELS["P1"], rng=world.rng, settings=QUICK
        )
        job = ModelJob(
            model=MODELS["P1"], larger=larger, windows=world.windows, species=species,
            histogram=np.zeros((1, 4, 26), int), n_imputations=1, n_bootstrap=n_bootstrap, settings=QUICK,
        )  # fmt: skip
        evidence = Evidence(windows=world.windows, species=species)
        replicas = replicate(job, evidence, fit.value, world.rng)
        pooled = [
            minimise_distance(surfaces, counts, centre_composition(counts, CLASSES)).pooled
            for counts in (replicas.observed_histogram, replicas.histogram)
        ]
        row = [resampling_p_value(pooled[0][0], pooled[1])]
        for place, model in enumerate(larger):
            seen, null = nested_score(
                replicas.observed_statistics[place], replicas.statistics[place], smaller=MODELS["P1"], larger=model
            )
            row.append(resampling_p_value(seen[0], null))
        rows.append(row)
    return np.array(rows)


def _normal_quantile(probability):
    from scipy.stats import norm

    return norm.ppf(probability)
