"""How fast the samplers of lattice systems are, beside loops written by hand for one model.

Run with `python benchmarks/bench_montecarlo.py [part ...]`; parts: `heat-bath`, `exchange`; all by default. Every rival
runs in the same process on the same 40 x 40 periodic Ising model with nearest and next-nearest neighbours, and must
give the same mean energies before its ratio is printed. One core; the best of several runs in turn.
"""

import sys
import time

import numba
import numpy as np

from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import Exchange, HeatBath, SamplingPlan, draw_samples

LENGTH = 40
NEAR, NEXT = 0.2, 0.05
SPACING = 100
N_TURNS = 5


def model():
    """The compiled model, and its couplings: the Hamiltonian is -J1 sum s s - J2 sum s s."""
    system = lattice_system(ising(shells=2, field=False), periodic_sites(SQUARE, (LENGTH, LENGTH)))
    return system, np.array([NEAR, NEXT])


@numba.njit(nogil=True)
def sweep_by_hand(spin, threshold, n_samples, spacing, seed):
    """Heat bath in four colours on a periodic square, for this model only; returns the sums of s s of each sample."""
    length = spin.shape[0]
    sums = np.zeros((n_samples, 2))
    random = np.uint64(seed)
    for sample in range(n_samples):
        for _ in range(spacing):
            for colour in range(4):
                for y in range(colour // 2, length, 2):
                    up, down = (y - 1) % length, (y + 1) % length
                    for x in range(colour % 2, length, 2):
                        left, right = (x - 1) % length, (x + 1) % length
                        near = spin[up, x] + spin[down, x] + spin[y, left] + spin[y, right]
                        following = spin[up, left] + spin[up, right] + spin[down, left] + spin[down, right]
                        random += np.uint64(0x9E3779B97F4A7C15)
                        bits = random
                        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                        bits ^= bits >> np.uint64(31)
                        spin[y, x] = (bits >> np.uint64(32)) >= threshold[near, following]
        for y in range(length):
            for x in range(length):
                here = 2 * spin[y, x] - 1
                below, beside = (y + 1) % length, (x + 1) % length
                sums[sample, 0] += here * (2 * spin[below, x] + 2 * spin[y, beside] - 2)
                sums[sample, 1] += here * (2 * spin[below, beside] + 2 * spin[below, x - 1] - 2)
    return sums


def by_hand(n_samples, spacing, seed):
    """Sums of s s over both kinds of pairs, from the loop written by hand."""
    count = np.arange(5)
    field = 2 * (NEAR * (2 * count[:, None] - 4) + NEXT * (2 * count - 4))
    threshold = np.rint(2.0**32 / (1 + np.exp(field))).astype(np.uint64)
    spin = np.random.default_rng(seed).integers(0, 2, size=(LENGTH, LENGTH)).astype(np.int8)
    return sweep_by_hand(spin, threshold, n_samples, spacing, seed)


def through_the_call(sampler, n_samples, spacing, *, start=None):
    """Statistics of one chain through the public call."""
    system, couplings = model()
    plan = SamplingPlan(n_samples=n_samples, n_chains=1, burn_in=0, spacing=spacing, start=start)
    return lambda seed: draw_samples(system, couplings, rng=np.random.default_rng(seed), sampler=sampler, plan=plan)


def race(*runners):
    """Best wall time of each runner, in turns, so that a busy machine meets all of them."""
    best = np.full(len(runners), np.inf)
    for seed in range(N_TURNS):
        for k, run in enumerate(runners):
            begin = time.perf_counter()
            run(seed + 1)
            best[k] = min(best[k], time.perf_counter() - begin)
    return best


def agree(ours, theirs):
    """Refuse to compare samplers whose mean sums differ by over 4 standard errors."""
    error = np.hypot(ours.std(axis=0), theirs.std(axis=0)) / np.sqrt(len(ours))
    score = (ours.mean(axis=0) - theirs.mean(axis=0)) / error
    assert (np.abs(score) < 4).all(), f"the means differ: {ours.mean(axis=0)}, {theirs.mean(axis=0)}"
    return score


def sums(samples):
    """Statistics of a model are minus the sums of s s: the energy is a coupling times a statistic."""
    return -samples.statistics[0]


def heat_bath():
    """General heat bath against the loop by hand, with samples far apart and after every sweep."""
    rows = []
    by_hand(2, 1, 1)
    for method in ("environments", "clusters"):
        sampler = HeatBath(method=method)
        means = sums(through_the_call(sampler, 1020, 20)(1))[20:]
        score = agree(means, by_hand(1020, 20, 2)[20:])
        for spacing in (SPACING, 1):
            n_samples = (20 if method == "environments" else 4) * SPACING // spacing * (5 if spacing == SPACING else 1)
            run = through_the_call(sampler, n_samples, spacing)
            ours, theirs = race(run, lambda seed, n=n_samples, gap=spacing: by_hand(n, gap, seed))
            updates = n_samples * spacing * LENGTH**2
            rows.append(
                f"| heat bath, {method} | {spacing} | {updates / ours / 1e6:.0f} | {updates / theirs / 1e6:.0f} "
                f"| {ours / theirs:.2f} | {np.abs(score).max():.1f} |"
            )
    print("| sampler | sweeps per sample | million updates/s | by hand | time / time by hand | means differ, s.e. |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows), flush=True)


def exchange():
    """Exchanges through the public call, tables against clusters, and both reaches."""
    start = np.arange(LENGTH**2) % 2
    print("| sampler | million attempts/s | acceptance | means differ, s.e. |")
    print("| --- | --- | --- | --- |")
    reference = sums(through_the_call(Exchange(method="clusters"), 420, 20, start=start)(1))[20:]
    for reach in ("any", "neighbours"):
        for method in ("environments", "clusters"):
            sampler = Exchange(reach=reach, method=method)
            gap = 20 if reach == "any" else 400
            score = agree(sums(through_the_call(sampler, 420, gap, start=start)(2))[20:], reference)
            run = through_the_call(sampler, 10, SPACING, start=start)
            acceptance = run(1).acceptance
            seconds = race(run)[0]
            rate = 10 * SPACING * LENGTH**2 / seconds / 1e6
            print(
                f"| exchange, {reach}, {method} | {rate:.1f} | {acceptance:.2f} | {np.abs(score).max():.1f} |",
                flush=True,
            )


PARTS = {"heat-bath": heat_bath, "exchange": exchange}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(f"\n## {part}\n")
        PARTS[part]()
