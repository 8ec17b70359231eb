"""How fast the bit-packed replicas are beside the coloured heat bath, and how far they are from drawing random bits.

Run with `python benchmarks/bench_packed.py`. Both samplers run through `draw_samples` on 40x40 sites, in turn, best of
several; their mean energies must agree before any time is printed. The bound is the packed sampler's own generator
(xoshiro256++ on eight words) doing nothing but drawing.
"""

import time

import numba
import numpy as np

from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import HeatBath, PackedIsing, SamplingPlan, draw_samples
from tusi.generative.montecarlo.words import load, shift_left, shift_right, store

DRAWS = 10.33
"""Random bits that one replica's update takes on average where 512 replicas must all be decided."""
SIDE, N_REPLICAS, ROUNDS = 40, 512, 5
CASES = {"nearest neighbours": (1, [0.3, 0.0]), "two shells": (2, [0.2, 0.1, 0.0]), "in a field": (1, [0.3, 0.1])}


@numba.njit
def draw_only(generator, n_draws):
    """Draw 512 random bits so many times."""
    a, b, c, d = load(generator, 0), load(generator, 1), load(generator, 2), load(generator, 3)
    result = a
    for _ in range(n_draws):
        total = a + d
        result = result ^ ((shift_left(total, np.uint64(23)) | shift_right(total, np.uint64(41))) + a)
        c, d, shifted = c ^ a, d ^ b, shift_left(b, np.uint64(17))
        b, a, c = b ^ c, a ^ d, c ^ shifted
        d = shift_left(d, np.uint64(45)) | shift_right(d, np.uint64(19))
    store(generator, 0, result)


def seconds(action) -> float:
    """Return the processor time of an action."""
    started = time.process_time()
    action()
    return time.process_time() - started


def main() -> None:
    generator = np.random.default_rng(0).integers(0, 2**64, size=(4, 8), dtype=np.uint64)
    draw_only(generator, 1)
    bits = 10**6 * 512 / min(seconds(lambda: draw_only(generator, 10**6)) for _ in range(ROUNDS))
    print(f"random bits: {bits / 1e9:.0f} billion / CPU-s")
    print("| model | heat bath / CPU-s | packed / CPU-s | ratio | of the bound | means apart, standard errors |")
    print("| --- | --- | --- | --- | --- | --- |")
    plans = {
        "heat bath": (HeatBath(), SamplingPlan(n_samples=500, n_chains=4, burn_in=100, spacing=4), 4),
        "packed": (PackedIsing(n_replicas=N_REPLICAS), SamplingPlan(n_samples=250, burn_in=100, spacing=4), N_REPLICAS),
    }
    for name, (shells, couplings) in CASES.items():
        system = lattice_system(ising(shells=shells), periodic_sites(SQUARE, (SIDE, SIDE)))
        best, mean, error = {}, {}, {}
        for turn in range(ROUNDS):
            for which, (sampler, plan, n_chains) in plans.items():
                started = time.process_time()
                samples = draw_samples(
                    system, np.array(couplings), rng=np.random.default_rng(turn), sampler=sampler, plan=plan
                )
                rate = n_chains * plan.n_steps * SIDE**2 / (time.process_time() - started)
                if turn:
                    best[which] = max(best.get(which, 0.0), rate)
                mean[which], error[which] = samples.mean, samples.standard_error
        apart = np.abs(mean["packed"] - mean["heat bath"]) / np.hypot(error["packed"], error["heat bath"])
        assert (apart < 4.5).all(), f"the two samplers disagree: {apart}"
        bound = best["packed"] / (bits / DRAWS)
        print(
            f"| {name} | {best['heat bath'] / 1e6:.0f} million | {best['packed'] / 1e6:.0f} million | "
            f"{best['packed'] / best['heat bath']:.1f} x | {bound:.2f} | {apart.max():.1f} |"
        )
        assert shells > 1 or best["packed"] > 12 * best["heat bath"], "slower than promised"


if __name__ == "__main__":
    main()
