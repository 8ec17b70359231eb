"""How fast the lattice sampler is beside the same Metropolis walk in plain Python, and what a whole comparison costs.

Run with `python benchmarks/bench_hamiltonian.py`. Both walks must give the same mean energy before any time is
printed; the comparison is of four windows of about 460 clusters, four models, 999 permutations, 499 replicas.
"""

import math
import random
import time

import numpy as np

from tusi.generative import MODELS, SamplerSettings, fit_hamiltonians, sample_crystal, square_window, window_graph
from tusi.generative.sampling import autocorrelation_time, sample
from tusi.generative.window import condition

COMPOSITIONS = (0.05, 0.55, 0.78, 0.95)
COUPLINGS = {"P1": [0.2], "P2": [0.15, -0.1], "M": [0.2, 0.1]}
N_SAMPLES, N_SLOW = 6000, 400


def plain_walk(window, model, couplings, species, n_samples):
    """Exchange Metropolis with dictionaries and lists; returns the statistics of each sample and the exchanges."""
    generator = random.Random(0)
    energy = [row.tolist() for row in np.diff(kind_table(model) @ couplings, axis=1)]
    near = [
        [
            (int(a), int(b), int(kind))
            for (a, b), kind in zip(
                window.others[window.start[site] : window.start[site + 1]],
                window.entry_kind[window.start[site] : window.start[site + 1]],
                strict=True,
            )
        ]
        for site in range(window.n_sites)
    ]
    state = [*map(int, species), 0]
    ones = [int(site) for site in np.flatnonzero(window.free) if state[site]]
    zeros = [int(site) for site in np.flatnonzero(window.free) if not state[site]]
    rows, n_exchanges = [], min(len(ones), len(zeros))
    for _ in range(n_samples + 20):
        for _ in range(n_exchanges):
            a, b = generator.randrange(len(ones)), generator.randrange(len(zeros))
            first, second = ones[a], zeros[b]
            change = -sum(energy[kind][state[i] + state[j]] for i, j, kind in near[first])
            state[first] = 0
            change += sum(energy[kind][state[i] + state[j]] for i, j, kind in near[second])
            if change <= 0 or generator.random() < math.exp(-change):
                state[second] = 1
                ones[a], zeros[b] = second, first
            else:
                state[first] = 1
        rows.append(window.statistics(model, np.array(state[:-1])))
    return np.array(rows[20:]), n_exchanges * (n_samples + 20)


def graphs(coupling=-0.2):
    rng = np.random.default_rng(5)
    shape = (60, 60)
    inside = square_window(shape, height=24, width=23)
    return [
        window_graph(
            sample_crystal(shape, MODELS["P1"], couplings=np.array([coupling]), composition=x, rng=rng),
            inside=inside, species=("Mo", "Re"), image=number,
        )
        for number, x in enumerate(COMPOSITIONS)
    ]  # fmt: skip


def main() -> None:
    images = graphs()
    print("| model | exchanges / CPU-s | beside plain Python | difference of means, standard errors |")
    print("| --- | --- | --- | --- |")
    for name, values in COUPLINGS.items():
        model, couplings = MODELS[name], np.array(values)
        window = condition(images[1], list(MODELS.values())).only(model)
        species = (window.probability > 0.5).astype(np.int8)
        rng = np.random.default_rng(0)
        sample(window, model, couplings=couplings, species=species, n_samples=2, rng=rng)
        started = time.process_time()
        chain = sample(
            window, model, couplings=couplings, species=species, n_samples=N_SAMPLES, rng=rng,
            settings=SamplerSettings(spacing=1.0, burn_in=20),
        )  # fmt: skip
        fast = time.process_time() - started
        n_ones = int(species[window.free].sum())
        n_fast = min(n_ones, int(window.free.sum()) - n_ones) * (N_SAMPLES + 20)
        started = time.process_time()
        slow_rows, n_slow = plain_walk(window, model, couplings, species, N_SLOW)
        slow = time.process_time() - started
        variance = sum(
            rows.var(axis=0) * [autocorrelation_time(series) for series in rows.T] / len(rows)
            for rows in (chain.statistics, slow_rows)
        )
        apart = np.abs(chain.statistics.mean(axis=0) - slow_rows.mean(axis=0)) / np.sqrt(variance)
        assert (apart < 4).all(), "the two walks disagree"
        rate, plain = n_fast / fast, n_slow / slow
        print(f"| {name} | {rate / 1e6:.1f} million | {rate / plain:.0f} x | {apart.max():.1f} |")
    started = time.process_time()
    result = fit_hamiltonians(images, rng=np.random.default_rng(1))
    print(f"\nfour images, four models, 999 permutations, 499 replicas each: {time.process_time() - started:.1f} CPU-s")
    print("\n".join(result.verdict))


if __name__ == "__main__":
    main()
