"""Is the posterior what it says? Couplings from the prior, data from the couplings, and the rank of the truth.

If every step is right, the truth is as likely to have any rank among the draws as any other (simulation-based
calibration). Each data set goes through the public call: pseudolikelihood, Monte Carlo surface, chains.
"""

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from tusi.errors import ScarceDataWarning
from tusi.generative.estimation.coupling_posterior import PosteriorSettings
from tusi.generative.estimation.observation import observe
from tusi.generative.estimation.posterior import sample_posterior
from tusi.generative.estimation.prior import NormalPrior, Priors
from tusi.generative.estimation.surface import SurfaceSampling
from tusi.generative.lattice import (
    SQUARE,
    ising,
    lattice_system,
    periodic_sites,
    potts,
    window_sites,
)
from tusi.generative.montecarlo import Exchange, SamplingPlan, draw_samples

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
N_SETS, N_BINS, N_RANKED = 1000, 20, 99
SETTINGS = PosteriorSettings(
    n_samples=500,
    n_warm_up=400,
    least_effective_size=150.0,
    sampling=SurfaceSampling(n_samples=400, burn_in=40, spacing=1),
)
SHAPE, CRYSTAL = (16, 16), (32, 32)


@dataclasses.dataclass(frozen=True)
class World:
    """A model, where its couplings come from, and how its images look."""

    name: str
    model: object
    priors: Priors
    window: bool = False
    minority: float = 0.0
    label_error: float = 0.0

    @property
    def composition(self):
        return "own" if self.minority else "model"


def normal(**numbers):
    """Return priors from (mean, width) of each coupling."""
    return Priors(by_name={name: NormalPrior(mean=mean, width=width) for name, (mean, width) in numbers.items()})


WORLDS = (
    World("Ising K", ising(field=False), normal(K=(0.15, 0.1))),
    World("Ising K, window", ising(field=False), normal(K=(0.15, 0.1)), window=True),
    World("Ising K, h", ising(), normal(K=(0.12, 0.1), h=(0.0, 0.15))),
    World("Ising K1, K2, 30 % up", ising(shells=2, field=False), normal(K1=(0.1, 0.1), K2=(0.0, 0.08)), minority=0.3),
    World("Potts 3 K", potts(3), normal(K=(0.3, 0.2))),
    World("Ising K, 2 % mislabelled", ising(field=False), normal(K=(0.15, 0.1)), label_error=0.02),
)


def simulated(world, couplings, rng):
    """Return one image of a world."""
    wide = periodic_sites(SQUARE, CRYSTAL if world.window else SHAPE)
    system = lattice_system(world.model, wide)
    plan, sampler = SamplingPlan(n_samples=1, n_chains=1, burn_in=300), None
    if world.minority:
        start = rng.permutation((np.arange(len(wide)) < world.minority * len(wide)).astype(np.int8))
        plan, sampler = dataclasses.replace(plan, start=start), Exchange()
    species = draw_samples(system, couplings, rng=rng, plan=plan, sampler=sampler).final[0]
    sites = wide
    if world.window:
        sites = window_sites(SQUARE, SHAPE)
        species = species[wide.find(sites.index)]
    q = world.model.n_species
    wrong = rng.random(len(species)) < world.label_error
    labels = np.where(wrong, (species + rng.integers(1, q, len(species))) % q, species)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScarceDataWarning)
        return observe(sites, labels, label_error=world.label_error)


def ranks(world, n_sets, seed):
    """Return the rank of each true coupling among the draws, whether all converged, and z-scores of the truth."""
    rows, converged, z_scores = [], 0, []
    for number in range(n_sets):
        rng = np.random.default_rng([seed, number])
        prior = world.priors.of(world.model.parameters)
        truth = prior.sample(1, rng=rng)[0]
        posterior = sample_posterior(
            simulated(world, truth, rng), world.model, rng=rng, priors=world.priors, composition=world.composition,
            settings=SETTINGS,
        )  # fmt: skip
        flat = posterior.flat
        thinned = flat[np.linspace(0, len(flat) - 1, N_RANKED).round().astype(int)]
        rows.append((thinned < truth).sum(axis=0))
        z_scores.append((truth - posterior.mean) / np.sqrt(np.diag(posterior.covariance)))
        converged += posterior.converged
    return np.array(rows), converged, np.array(z_scores)


def uniformity(column):
    """Return the p-value of uniform ranks."""
    counts = np.bincount(column * N_BINS // (N_RANKED + 1), minlength=N_BINS)
    expected = len(column) / N_BINS
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), N_BINS - 1))


def table_rows(world, n_sets, seed):
    """Return the lines of one world and the p-values."""
    found, converged, z_scores = ranks(world, n_sets, seed)
    lines, p_values = [], []
    for k, name in enumerate(world.model.parameters):
        p_values.append(uniformity(found[:, k]))
        inside = [np.mean(np.abs(found[:, k] - N_RANKED / 2) < level / 2 * (N_RANKED + 1)) for level in (0.5, 0.9)]
        lines.append(
            f"| {world.name} | {name} | {n_sets} | {p_values[-1]:.3f} | {100 * inside[0]:.1f} % | "
            f"{100 * inside[1]:.1f} % | {z_scores[:, k].mean():+.3f} | {z_scores[:, k].std():.3f} | {converged} |"
        )
    return lines, p_values


HEAD = [
    "# Posterior of the couplings: ranks of the truth",
    "",
    "Couplings drawn from normal priors, one image of 16 x 16 sites simulated with them (a torus; or a window cut from",
    "32 x 32, its border conditioned on; or a torus of fixed composition; or labels of which 2 % are wrong), and the",
    f"posterior drawn by the public call. Ranks among {N_RANKED} draws in {N_BINS} bins, p of uniform ranks (chi2);",
    "how often the truth lies in the central half and nine tenths of the draws; mean and standard deviation of",
    "(truth - posterior mean) / posterior width, which would be 0 and 1; posteriors that called themselves converged.",
    "",
    "| world | coupling | data sets | p (uniform) | in 50 % | in 90 % | mean z | sd z | converged |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
]


@pytest.mark.science
def test_ranks_are_uniform():
    lines, p_values = list(HEAD), []
    for number, world in enumerate(WORLDS):
        more, values = table_rows(world, N_SETS, 100 + number)
        lines += more
        p_values += values
        TABLES.mkdir(parents=True, exist_ok=True)
        (TABLES / "posterior_calibration.md.partial").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (TABLES / "posterior_calibration.md.partial").replace(TABLES / "posterior_calibration.md")
    assert min(p_values) > 0.01
