"""Are probabilities of edges what they say, on fields whose samples are not independent?"""

import os
from pathlib import Path

import numpy as np
import pytest

from tusi.causal.posterior import ExactPosterior, GaussianEvidence, acyclic_graphs
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.inference import binomial_interval, reliability
from tusi.inference.spatial import AdaptiveHighPass

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SMOOTHINGS = (0.0, 1.0, 2.0, 4.0)
N_INDEPENDENT, N_GRAPHS = 2000, 500
KINDS = {"periodic, normal": (True, "normal"), "cut out, Student t with 3": (False, "student")}
EVIDENCE = GaussianEvidence(detrending=AdaptiveHighPass())


def recipe_of(kind, smoothing):
    periodic, tail = KINDS[kind]
    return FieldRecipe(shape=(64, 64), smoothing=smoothing, periodic=periodic, tail=tail)


def pair_probabilities(recipe, n_worlds, seed, evidence=EVIDENCE):
    """Return the probability of a connection of each pair of three independent fields."""
    rng = np.random.default_rng(seed)
    search = ExactPosterior(evidence=evidence)
    found = [search.find(linear_fields(np.zeros((3, 3)), recipe, rng=rng)).graph.connected for _ in range(n_worlds)]
    return np.array(found)[:, *np.triu_indices(3, 1)].ravel()


def graph_probabilities(recipe, n_worlds, seed, size=(0.0, 0.4)):
    """Return stated probabilities and truth of connections and of arrows in random graphs of four variables."""
    rng = np.random.default_rng(seed)
    graphs = acyclic_graphs(4)
    pairs, arrows = np.triu_indices(4, 1), ~np.eye(4, dtype=bool)
    stated = {"connection": [], "arrow": []}
    true = {"connection": [], "arrow": []}
    search = ExactPosterior(evidence=EVIDENCE)
    for _ in range(n_worlds):
        graph = graphs[rng.integers(len(graphs))]
        coefficients = graph * rng.uniform(*size, (4, 4)) * rng.choice([-1, 1], (4, 4))
        edge = search.find(linear_fields(coefficients, recipe, rng=rng)).edge
        stated["connection"].append(np.minimum(edge + edge.T, 1.0)[pairs])
        true["connection"].append((graph | graph.T)[pairs])
        stated["arrow"].append(edge[arrows])
        true["arrow"].append(graph[arrows])
    return {name: (np.concatenate(stated[name]), np.concatenate(true[name])) for name in stated}


@pytest.mark.science
def test_probabilities_of_edges_hold_on_fields():
    lines = [
        "# Posterior probabilities of edges",
        "",
        "64 x 64 fields; all three pairs of three independent ones. Edges believed with P > .95 are false.",
        "",
        "| fields | smoothing | pairs | P > .95 | 95 % interval |",
        "| --- | --- | --- | --- | --- |",
    ]
    worst = 0.0
    for kind in KINDS:
        for number, smoothing in enumerate(SMOOTHINGS):
            p = pair_probabilities(recipe_of(kind, smoothing), N_INDEPENDENT, 10 + number)
            low, high = binomial_interval(int((p > 0.95).sum()), len(p))
            lines.append(f"| {kind} | {smoothing:g} | {len(p)} | {(p > 0.95).mean():.2%} | {low:.2%} to {high:.2%} |")
            worst = max(worst, (p > 0.95).mean())
            write(lines)
    bins = " | ".join(f"{k / 10:.1f}-{(k + 1) / 10:.1f}" for k in range(10))
    lines += [
        "",
        "Random graphs of four variables, every acyclic graph equally probable, coefficients uniform within .4 either "
        "way: stated probability, share that was true, number of cases.",
        "",
        f"| fields | smoothing | graphs | what | {bins} |",
        "| --- | --- | --- | --- | " + " | ".join(["---"] * 10) + " |",
    ]
    pooled = {(kind, name): ([], []) for kind in KINDS for name in ("connection", "arrow")}
    for kind in KINDS:
        for number, smoothing in enumerate(SMOOTHINGS):
            found = graph_probabilities(recipe_of(kind, smoothing), N_GRAPHS, 50 + number)
            for name, (stated, true) in found.items():
                pooled[kind, name][0].append(stated)
                pooled[kind, name][1].append(true)
                lines.append(line(kind, f"{smoothing:g}", N_GRAPHS, name, stated, true))
            write(lines)
    gaps = []
    for (kind, name), parts in pooled.items():
        stated, true = (np.concatenate(part) for part in parts)
        lines.append(line(kind, "all", N_GRAPHS * len(SMOOTHINGS), name, stated, true))
        gaps.append(reliability(stated, true, n_bins=10).worst(least_cases=400))
    write(lines)
    assert worst <= 0.02
    assert max(gaps) <= 0.07


def line(kind, smoothing, n_graphs, name, stated, true):
    """Return a row: stated and happened in each bin."""
    found = reliability(stated, true, n_bins=10)
    cells = [
        f"{said:.2f} {came:.2f} ({n})" if n else "-"
        for said, came, n in zip(found.stated, found.happened, found.n_cases, strict=True)
    ]
    return f"| {kind} | {smoothing} | {n_graphs} | {name} | " + " | ".join(cells) + " |"


def write(lines):
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / "causal_posterior.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_independent_fields_are_not_believed_to_be_connected():
    for kind in KINDS:
        p = pair_probabilities(recipe_of(kind, 2.0), 25, 3)
        assert (p > 0.95).mean() <= 0.06


def test_the_likelihood_of_rows_believes_them():
    """Without tempering, smooth independent fields look connected: the check above can fail."""

    class Naive(GaussianEvidence):
        def samples(self, table):
            return super().samples(table)[0], float(len(table))

    p = pair_probabilities(recipe_of("periodic, normal", 2.0), 15, 4, evidence=Naive())
    assert (p > 0.95).mean() > 0.3
