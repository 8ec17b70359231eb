"""Lattice models beside other programs: Monte Carlo speed of smol and icet, and estimators of couplings on known truth.

Run `python benchmarks/bench_lattice_peers.py --peer-python PATH` with the Python of an environment made from
`benchmarks/peers.txt`. All programs simulate the same 40 x 40 crystal with the same two couplings in one run, and their
mean energies must agree before any time is printed. The estimators all see the same simulated crystals. The table goes
to `docs/tables/lattice_peers.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "lattice_peers.md"
PROGRAMS = Path(__file__).with_name("lattice_programs.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
WIDTH, COUPLINGS = 40, (0.2, 0.05)
RATIOS = (1.1, 1.5, 2.2, 4.0)
CRITICAL = float(np.log(1 + np.sqrt(2)) / 2)
TITLE = "# Lattice models beside smol and icet, and beside the published protocol"
ESTIMATORS = "## Estimators of a coupling"
METHODS = ("maximum likelihood", "pseudolikelihood", "minimum distance", "published protocol")
MOST_SNAPSHOTS, N_CURVE = 40, 15


def mean_and_error(energies: np.ndarray) -> tuple[float, float]:
    """Return the mean of a series and its standard error from 20 blocks."""
    blocks = np.array_split(np.asarray(energies), 20)
    means = np.array([block.mean() for block in blocks])
    return float(np.mean(energies)), float(means.std(ddof=1) / np.sqrt(len(means)))


def our_speed(move: str, species: np.ndarray) -> dict:
    """Return energies and CPU seconds per step of the public call."""
    from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    from tusi.generative.montecarlo import Exchange, HeatBath, SamplingPlan, draw_samples

    model = ising(shells=2, field=False)
    system = lattice_system(model, periodic_sites(SQUARE, (WIDTH, WIDTH)))
    couplings = np.array(COUPLINGS)
    sampler = Exchange() if move == "swap" else HeatBath()
    rng = np.random.default_rng(2)
    draw_samples(system, couplings, rng=rng, sampler=sampler, plan=SamplingPlan(n_samples=5, start=species))
    plan = SamplingPlan(n_samples=4000, n_chains=1, burn_in=200, spacing=2, start=species)
    start = time.process_time()
    samples = draw_samples(system, couplings, rng=rng, sampler=sampler, plan=plan)
    seconds = time.process_time() - start
    n_steps = plan.n_steps * plan.n_chains * system.n_sites
    return {"energy": samples.statistics[0] @ couplings, "rate": n_steps / seconds}


def speed_lines(python: str, n_steps: int) -> list[str]:
    """Return the table of Monte Carlo speeds; all mean energies must agree."""
    species = np.random.default_rng(1).permutation(WIDTH**2) % 2
    task = {
        "couplings": COUPLINGS, "width": WIDTH, "species": species.tolist(), "burn_in": n_steps // 4,
        "n_steps": n_steps, "thin": WIDTH**2 // 4,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "task.json").write_text(json.dumps(task))
        command = [python, str(PROGRAMS), folder]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
        theirs = json.loads((Path(folder) / "result.json").read_text())
    lines = [
        "| move | program | mean energy, kT | standard error | steps per CPU-s | tusi is faster by |",
        "|" + " --- |" * 6,
    ]
    for move in ("swap", "flip"):
        ours = our_speed(move, species.astype(np.int8))
        rows = [("tusi", ours["energy"], ours["rate"])]
        for program in ("smol", "icet"):
            one = theirs[f"{program} {move}"]
            rows.append((program, np.array(one["energy"]), n_steps / one["seconds"]))
        mean, error = mean_and_error(rows[0][1])
        for program, energies, rate in rows:
            its_mean, its_error = mean_and_error(energies)
            if abs(its_mean - mean) > 4 * np.hypot(error, its_error):
                raise RuntimeError(
                    f"{program} {move}: {its_mean:.2f} +- {its_error:.2f}, tusi {mean:.2f} +- {error:.2f}"
                )
            faster = "" if program == "tusi" else f"{rows[0][2] / rate:.0f} x"
            lines.append(f"| {move} | {program} | {its_mean:.2f} | {its_error:.2f} | {rate:.3g} | {faster} |")
    return lines


def published_protocol(system, counter, species: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Fit the coupling by Nelder-Mead on S^2 against one simulated snapshot; return it and its claimed error.

    The error is that of `exp(-2 N S^2)` read as a likelihood, from a parabola through snapshots around the minimum.
    """
    from tusi.generative.montecarlo import Exchange, SamplingPlan, draw_samples
    from tusi.inference import statistical_distance

    observed = counter.count(species)

    def squared(coupling: float) -> float:
        start = rng.permutation(species)
        plan = SamplingPlan(n_samples=1, n_chains=1, burn_in=100, start=start)
        final = draw_samples(system, np.array([coupling]), rng=rng, sampler=Exchange(), plan=plan).final[0]
        return float(statistical_distance(observed, counter.count(final))) ** 2

    found = minimize(
        lambda w: squared(float(np.clip(w[0], -1.0, 1.0))), [0.1], method="Nelder-Mead",
        options={"maxfev": MOST_SNAPSHOTS, "xatol": 1e-3, "fatol": 1e-4, "initial_simplex": [[0.1], [0.3]]},
    )  # fmt: skip
    best = float(np.clip(found.x[0], -1.0, 1.0))
    places = best + np.linspace(-0.12, 0.12, N_CURVE)
    curvature = np.polyfit(places, [squared(w) for w in places], 2)[0]
    error = np.sqrt(1.0 / (4.0 * observed.sum() * curvature)) if curvature > 0 else np.inf
    return best, float(error)


def simulated_worlds(ratio: float, n_replicas: int, rng: np.random.Generator):
    """Return crystals of even composition at a temperature, and the Cramer-Rao bound of their coupling."""
    from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    from tusi.generative.montecarlo import Exchange, SamplingPlan, draw_samples

    model, sites = ising(field=False), periodic_sites(SQUARE, (WIDTH, WIDTH))
    system = lattice_system(model, sites)
    truth = np.array([CRITICAL / ratio])
    start = np.stack([rng.permutation(WIDTH**2) % 2 for _ in range(n_replicas)]).astype(np.int8)
    plan = SamplingPlan(n_samples=40, n_chains=n_replicas, burn_in=400, spacing=2, start=start)
    samples = draw_samples(system, truth, rng=rng, sampler=Exchange(), plan=plan)
    return model, sites, system, samples.final, float(1.0 / np.sqrt(samples.covariance[0, 0]))


def estimate_all(world, species: np.ndarray, rng: np.random.Generator) -> dict[str, tuple]:
    """Return estimate, interval and CPU seconds of each method on one crystal."""
    from tusi.generative.estimation import Pseudolikelihood, estimate_couplings, observe
    from tusi.generative.estimation.distance import MinimumDistance
    from tusi.generative.estimation.histograms import ClusterHistogram
    from tusi.generative.estimation.likelihood import MaximumLikelihood

    model, sites, system = world
    image = observe(sites, species)
    found = {}
    for name, method in zip(METHODS, (MaximumLikelihood(), Pseudolikelihood(), MinimumDistance()), strict=False):
        start = time.process_time()
        fit = estimate_couplings(image, model, rng=rng, method=method)
        found[name] = (fit.value[0], *fit.interval[0], time.process_time() - start)
    start = time.process_time()
    counter = ClusterHistogram().counter(sites, model.species)
    value, error = published_protocol(system, counter, species, rng)
    found[METHODS[-1]] = (value, value - 1.96 * error, value + 1.96 * error, time.process_time() - start)
    return found


def estimator_lines(n_replicas: int) -> list[str]:
    """Return the table of estimators."""
    from tusi.inference import binomial_interval

    lines = [
        "| T/Tc | method | bias / bound | rms error / bound | efficiency | 95 % interval covers | CPU-s |",
        "|" + " --- |" * 7,
    ]
    for number, ratio in enumerate(RATIOS):
        rng = np.random.default_rng([20, number])
        *world, crystals, bound = simulated_worlds(ratio, n_replicas, rng)
        estimate_all(world, crystals[0], rng)
        found = [estimate_all(world, species, rng) for species in crystals]
        truth = CRITICAL / ratio
        for name in METHODS:
            value, low, high, seconds = np.array([one[name] for one in found]).T
            rms = np.sqrt(np.mean((value - truth) ** 2)) / bound
            covered = int(((low <= truth) & (truth <= high)).sum())
            ends = binomial_interval(covered, n_replicas)
            lines.append(
                f"| {ratio:g} | {name} | {(value.mean() - truth) / bound:+.2f} | {rms:.2f} "
                f"| {(bound / value.std(ddof=1)) ** 2:.2f} | {100 * covered / n_replicas:.1f} % "
                f"({100 * ends[0]:.1f}-{100 * ends[1]:.1f}) | {seconds.mean():.2f} |"
            )
        print("\n".join(lines[-len(METHODS) :]), flush=True)
    return lines


def speed_part(python: str, n_steps: int) -> str:
    """Return the page's part on Monte Carlo."""
    head = [
        f"Monte Carlo of the Ising model with K1 = {COUPLINGS[0]}, K2 = {COUPLINGS[1]} on {WIDTH} x {WIDTH} sites,",
        "one core, same run, same couplings, through each program's public call. A swap exchanges two unlike atoms;",
        "a flip is one single-site update (Metropolis in smol and icet, heat bath in tusi).",
        "",
    ]
    return "\n".join([*head, *speed_lines(python, n_steps)])


def estimator_part(n_replicas: int) -> str:
    """Return the page's part on estimators."""
    head = [
        ESTIMATORS,
        "",
        "smol and icet fit effective interactions to *energies* from first principles and simulate with them. They do",
        "not take an observed arrangement and return the interactions that made it, so the estimators are compared",
        "with the published protocol instead: Nelder-Mead on S^2 between the five-site classes of the image and of one",
        f"simulated snapshot (at most {MOST_SNAPSHOTS} of them), with `exp(-2 N S^2)` read as a likelihood.",
        "",
        f"One coupling, one {WIDTH} x {WIDTH} periodic crystal of even composition, {n_replicas} crystals a",
        "temperature; every method sees the same crystals and the observed composition. The bound is Cramer-Rao's at",
        "that composition, efficiency the bound's variance over the estimator's; coverages of 95 % intervals have",
        "95 % limits of their own.",
        "",
    ]
    return "\n".join([*head, *estimator_lines(n_replicas)])


def write(speed: str | None, estimators: str | None) -> None:
    """Write the page; a part that was not run stays as it was."""
    old = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    before, _, after = old.removeprefix(TITLE).partition(ESTIMATORS)
    parts = [TITLE, speed or before.strip(), estimators or (ESTIMATORS + after).strip()]
    partial = TABLE.with_suffix(".partial")
    partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    partial.replace(TABLE)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="Python of the peers' environment; without it, estimators alone")
    parser.add_argument("--replicas", type=int, default=300, help="crystals per temperature; 0 for speed alone")
    parser.add_argument("--steps", type=int, default=400_000, help="Monte Carlo steps of the peers")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    warnings.simplefilter("ignore")
    if arguments.peer_python:
        speed = speed_part(arguments.peer_python, arguments.steps)
        print(speed, flush=True)
        write(speed, None)
    if arguments.replicas:
        write(None, estimator_part(arguments.replicas))


if __name__ == "__main__":
    main()
