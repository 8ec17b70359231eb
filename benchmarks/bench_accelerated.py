"""Site updates per second of the heat bath through JAX on this machine's device, beside the compiled one on a core.

Run with `python benchmarks/bench_accelerated.py`. Both must give the same mean energy before any time is printed; the
time to compile is shown apart. Wall time, since a device's work is not the CPU's.
"""

import time

import jax
import numpy as np

from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo.accelerated import AcceleratedHeatBath
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import SamplingPlan

CASES = ((40, 4), (40, 256), (128, 64))
"""Width of the square lattice, and chains."""

COUPLINGS = np.array([0.2, 0.05, 0.1])


def timed(sampler, system, plan, seed):
    """Return the samples and the time that they took."""
    started = time.perf_counter()
    samples = sampler.run(system, COUPLINGS, plan=plan, rng=np.random.default_rng(seed))
    return samples, time.perf_counter() - started


def main() -> None:
    device = jax.devices()[0]
    print(f"Device: {device.platform}, {device.device_kind}\n")
    print("| lattice | chains | precision | compiled in | updates / s | beside one core | means apart, s.e. |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for width, n_chains in CASES:
        system = lattice_system(ising(shells=2), periodic_sites(SQUARE, (width, width)))
        n_samples = max(20, 40_000_000 // (width**2 * n_chains))
        plan = SamplingPlan(n_samples=n_samples, n_chains=n_chains, burn_in=50)
        n_updates = width**2 * n_chains * plan.n_steps
        timed(HeatBath(), system, SamplingPlan(n_samples=2, n_chains=1, burn_in=0), 0)
        theirs, slow = timed(HeatBath(), system, plan, 1)
        for precision in ("single", "double"):
            sampler = AcceleratedHeatBath(precision=precision)
            _, first = timed(sampler, system, plan, 2)
            ours, fast = timed(sampler, system, plan, 3)
            apart = np.abs(ours.mean - theirs.mean) / np.hypot(ours.standard_error, theirs.standard_error)
            assert apart.max() < 4.5, "the two heat baths disagree"
            print(
                f"| {width} x {width} | {n_chains} | {precision} | {first - fast:.1f} s | {n_updates / fast / 1e6:.1f}"
                f" million | {slow / fast:.2f} x | {apart.max():.1f} |"
            )


if __name__ == "__main__":
    main()
