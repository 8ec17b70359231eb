"""Species that are uncertain: draws from their posterior given the image and the couplings."""

from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit

from tusi.generative.lattice.model import LatticeModel
from tusi.generative.models import kind_table
from tusi.generative.window import Window

CERTAIN = 1e-6
"""A species less likely than this is taken as ruled out."""

TINY = 1e-12

WIDEST_FIELD, MOST_STEPS, FIELD_TOLERANCE = 16.0, 60, 1e-4
"""Bracket (kT) beyond the flips' energies in which the field of a composition is sought, steps, and its precision."""

N_SWEEPS = 6
"""Gibbs sweeps from an independent draw; label probabilities leave little to equilibrate."""


def labels_are_certain(windows: Sequence[Window]) -> bool:
    """Return whether no site of any window has an uncertain species."""
    return not any(_uncertain(window).any() for window in windows)


def draw_labels(window: Window, n_draws: int, *, rng: np.random.Generator) -> Int[np.ndarray, "draw site"]:
    """Draw the species of every site from its own probability, without regard to its neighbours."""
    species = rng.random((n_draws, window.n_sites)) < window.probability
    settled = ~_uncertain(window)
    species[:, settled] = window.probability[settled] > 0.5
    return species.astype(np.int8)


def draw_labels_given(
    window: Window,
    model: LatticeModel,
    couplings: Float[np.ndarray, "draw parameter"],
    *,
    rng: np.random.Generator,
) -> Int[np.ndarray, "draw site"]:
    """Draw the species from their posterior: what the image says of each site, times the model as the prior.

    The probabilities that came with the sites are posteriors under independent sites of the mean composition; that
    prior is divided out and replaced by the model's conditional probability, with a field that keeps its mean
    composition. Gibbs sweeps over all sites; of the surroundings of a border site only what was seen acts on it, and it
    has a field of its own. One row of couplings (kT) per draw.
    """
    species = draw_labels(window, len(couplings), rng=rng)
    uncertain = _uncertain(window)
    if not uncertain.any() or not len(model.terms):
        return species
    narrow = window.only(model)
    energy = np.ascontiguousarray(np.diff(kind_table(model) @ couplings.T, axis=1).transpose(2, 0, 1))
    near = (narrow.start, narrow.others, narrow.entry_kind, energy)
    states = np.concatenate([species, np.zeros((len(species), 1), np.int8)], axis=1)
    for _ in range(N_SWEEPS):
        for group in (window.free, window.occupied & ~window.free):
            chosen = np.flatnonzero(group & uncertain)
            if len(chosen):
                prior = float(np.clip(window.probability[group].mean(), CERTAIN, 1 - CERTAIN))
                flips = narrow.flips(model, states[:, :-1], np.flatnonzero(group))
                fields = _fields(np.einsum("dsk,dk->ds", flips, couplings), prior)
                margin = fields[:, None] + logit(window.probability[chosen]) - logit(prior)
                _gibbs(states, chosen, margin - logit(rng.random((len(species), len(chosen)))), near)
    return states[:, :-1].copy()


def most_likely_labels(window: Window) -> Int[np.ndarray, " site"]:
    """Return the more probable species of every site."""
    return (window.probability > 0.5).astype(np.int8)


def label_error_rates(window: Window) -> tuple[float, float]:
    """Return how often the most likely label is wrong where species 0, and where species 1, truly sits."""
    probability = window.probability[window.occupied]
    called = probability > 0.5
    wrong_zero, wrong_one = (1 - probability)[called].sum(), probability[~called].sum()
    return float(wrong_zero / max((1 - probability).sum(), TINY)), float(wrong_one / max(probability.sum(), TINY))


def mislabel(
    window: Window, species: Int[np.ndarray, "replica site"], *, rng: np.random.Generator
) -> Int[np.ndarray, "replica site"]:
    """Return arrangements as they would be labelled: each species is mistaken at the rate that the labels state."""
    rates = label_error_rates(window)
    wrong = rng.random(species.shape) < np.where(species == 0, rates[0], rates[1])
    return np.where(wrong & window.occupied, 1 - species, species).astype(np.int8)


def _fields(flips: np.ndarray, prior: float) -> np.ndarray:
    """Return for each draw the field at which the mean conditional probability is the prior: Newton, kept in bounds."""
    low, high = flips.min(axis=1) - WIDEST_FIELD, flips.max(axis=1) + WIDEST_FIELD
    fields = flips.mean(axis=1) + logit(prior)
    for _ in range(MOST_STEPS):
        probability = expit(fields[:, None] - flips)
        excess = probability.mean(axis=1) - prior
        if np.abs(excess).max() < FIELD_TOLERANCE:
            break
        low, high = np.where(excess > 0, low, fields), np.where(excess > 0, fields, high)
        step = fields - excess / np.maximum((probability * (1 - probability)).mean(axis=1), TINY)
        fields = np.where((step > low) & (step < high), step, 0.5 * (low + high))
    return fields


def _uncertain(window: Window) -> np.ndarray:
    """Return which sites could hold either species."""
    return (window.probability > CERTAIN) & (window.probability < 1 - CERTAIN)


@numba.njit(cache=True, nogil=True)
def _gibbs(states, sites, margin, near):
    """Update the given sites of every draw once, in place: species 1 where the margin exceeds the energy it costs."""
    start, others, entry_kind, energy = near
    for draw in range(states.shape[0]):
        state = states[draw]
        for place in range(len(sites)):
            site = sites[place]
            cost = 0.0
            for entry in range(start[site], start[site + 1]):
                cost += energy[draw, entry_kind[entry], state[others[entry, 0]] + state[others[entry, 1]]]
            state[site] = 1 if margin[draw, place] > cost else 0
