"""What a comparison says in words, and when it refuses to say anything."""

import dataclasses

import numpy as np

from tusi.generative.results import HamiltonianComparison, HamiltonianFit
from tusi.units import BOLTZMANN

LEVEL = 0.05
"""Level at which a model counts as rejected and an interaction as detected."""

DISTANCE_TOLERANCE = 1e-4
"""Differences of the pooled squared distance below this are numerical."""

GAIN_TOLERANCE = 1.0
"""Differences of the log-likelihood (nats) below this are Monte Carlo noise."""

MEANINGLESS = 3.0
"""Standard errors (kT) above this are no measurement."""


def judge(comparison: HamiltonianComparison) -> HamiltonianComparison:
    """Return the comparison with its ranking and its verdict filled in."""
    failed = _failed_searches(comparison)
    explained = tuple(fit.model for fit in comparison.fits if fit.calibrated_p >= LEVEL)
    usable = [fit for fit in comparison.fits if np.isfinite(fit.clic)]
    ranking = () if failed else tuple(fit.model for fit in sorted(usable, key=lambda fit: fit.clic))
    sentences = [
        *(_couplings(fit, comparison.temperature) for fit in comparison.fits if fit.parameters),
        _fit_sentence(comparison, explained),
        *_comparisons(comparison),
        *failed,
    ]
    return dataclasses.replace(
        comparison,
        ranking=ranking,
        search_failed=bool(failed),
        explained=explained,
        verdict=tuple(sentence for sentence in sentences if sentence),
    )


def _couplings(fit: HamiltonianFit, temperature: float | None) -> str:
    """Say what the couplings of one model are and whether they were detected."""
    if not np.isfinite(fit.value).all():
        return f"{fit.model}: these images say nothing of the couplings."
    if (fit.standard_error > MEANINGLESS).any():
        return f"{fit.model}: these images say almost nothing of the couplings."
    scale, unit = (1.0, "kT") if temperature is None else (1e3 * BOLTZMANN * temperature, "meV")
    parts = []
    for name, value, error, (low, high) in zip(
        fit.parameters, fit.value, fit.standard_error, fit.interval, strict=True
    ):
        numbers = " ".join(f"{scale * number:.3f}" for number in (value, error, low, high)).split()
        parts.append(f"{name} = {numbers[0]} +- {numbers[1]} {unit} (95 % interval {numbers[2]} to {numbers[3]})")
    what = "Nearest-neighbour interaction" if fit.model == "P1" else f"Interaction of model {fit.model}"
    if fit.gain_calibrated_p < LEVEL:
        found = f"{what} detected (p = {fit.gain_calibrated_p:.3g})"
    else:
        found = f"{what} not detected (p = {fit.gain_calibrated_p:.2g})"
    tail = "" if fit.converged else " The fit did not converge."
    return f"{found}: {', '.join(parts)}.{tail}"


def _fit_sentence(comparison: HamiltonianComparison, explained: tuple[str, ...]) -> str:
    """Say which models the images reject."""
    tested = [fit for fit in comparison.fits if np.isfinite(fit.calibrated_p)]
    if not tested:
        return "No model could be tested on these images."
    values = ", ".join(f"{fit.model} p = {fit.calibrated_p:.2g}" for fit in tested)
    if not explained:
        return f"No model here explains the images: all are rejected at 5 % ({values}, calibrated, all images pooled)."
    rejected = [fit.model for fit in tested if fit.model not in explained]
    text = f"Not rejected at 5 %: {', '.join(explained)}"
    if rejected:
        text += f"; rejected: {', '.join(rejected)}"
    return f"{text} ({values}, calibrated, all images pooled)."


def _comparisons(comparison: HamiltonianComparison) -> list[str]:
    """Say for each pair of nested models of interactions whether the larger one explains more."""
    sentences = []
    for test in comparison.nested_tests:
        if comparison.fit(test.smaller).parameters and np.isfinite(test.calibrated_p):
            verb = "explains more than" if test.calibrated_p < LEVEL else "cannot be told from"
            sentences.append(f"{test.larger} {verb} {test.smaller} (p = {test.calibrated_p:.2g}).")
    return sentences


def _failed_searches(comparison: HamiltonianComparison) -> list[str]:
    """Return a sentence for each larger model that came out worse than a smaller one it contains."""
    sentences = []
    vague = {fit.model for fit in comparison.fits if not (fit.standard_error <= MEANINGLESS).all()}
    for test in comparison.nested_tests:
        if vague & {test.smaller, test.larger}:
            continue
        lost = comparison.fit(test.smaller).log_likelihood_gain - comparison.fit(test.larger).log_likelihood_gain
        if lost > GAIN_TOLERANCE or test.distance_gain < -DISTANCE_TOLERANCE:
            sentences.append(
                f"{test.larger} contains {test.smaller} yet came out worse: its optimum was not found, and the models "
                "are not ranked."
            )
    return sentences
