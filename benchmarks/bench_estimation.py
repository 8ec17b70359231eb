"""What a fit of two couplings to 2,000 sites costs, beside one pseudolikelihood of the same image.

Run with `python benchmarks/bench_estimation.py`. Both must give the same couplings within their errors before any time
is printed; the target is 10 CPU-seconds on one core.
"""

import statistics
import time

import numpy as np

from tusi.generative.estimation import MaximumLikelihood, Pseudolikelihood, estimate_couplings, observe
from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import SamplingPlan, draw_samples

COUPLINGS = np.array([0.3, 0.05])
SHAPE = (40, 50)
TARGET = 10.0
N_RUNS = 5
ERROR_RATE, UNSEEN = 0.02, 0.1


def images(rng):
    """The same arrangement with certain labels, with errors, and with unseen sites."""
    model, sites = ising(shells=2, field=False), periodic_sites(SQUARE, SHAPE)
    plan = SamplingPlan(n_samples=1, n_chains=1, burn_in=2000)
    species = draw_samples(lattice_system(model, sites), COUPLINGS, rng=rng, plan=plan).final[0]
    noisy = np.where(rng.random(len(species)) < ERROR_RATE, 1 - species, species)
    gaps = np.where(rng.random(len(species)) < UNSEEN, -1, species)
    return model, {
        "certain": observe(sites, species),
        "errors": observe(sites, noisy, label_error=ERROR_RATE),
        "unseen": observe(sites, gaps),
    }


def cpu_seconds(image, model, method, composition, rng):
    """Median time of a call, and the last result."""
    times = []
    for _ in range(N_RUNS + 1):
        started = time.process_time()
        fit = estimate_couplings(image, model, rng=rng, method=method, composition=composition)
        times.append(time.process_time() - started)
    return statistics.median(times[1:]), fit


def main() -> None:
    rng = np.random.default_rng(0)
    model, seen = images(rng)
    print(
        "| labels | composition | maximum likelihood, CPU-s | beside one pseudolikelihood | Monte Carlo error / s.e. |"
    )
    print("| --- | --- | --- | --- | --- |")
    for composition in ("model", "own"):
        reference, rough = cpu_seconds(seen["certain"], model, Pseudolikelihood(), composition, rng)
        for labels, image in seen.items():
            seconds, fit = cpu_seconds(image, model, MaximumLikelihood(), composition, rng)
            away = np.abs(fit.value - rough.value) / np.hypot(fit.standard_error, rough.standard_error)
            assert fit.converged, labels
            assert away.max() < 4.0, (labels, fit.value, rough.value)
            assert seconds < TARGET, f"{seconds:.1f} CPU-s for {labels}"
            share = (fit.monte_carlo_error / fit.standard_error).max()
            print(f"| {labels} | {composition} | {seconds:.2f} | {seconds / reference:.1f} x | {share:.3f} |")


if __name__ == "__main__":
    main()
