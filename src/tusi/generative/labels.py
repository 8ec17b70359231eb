"""Species that are uncertain: draws from their posterior given the image and the couplings."""

from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit

from tusi.generative.models import LatticeModel
from tusi.generative.window import Window

CERTAIN = 1e-6
"""A species less likely than this is taken as ruled out."""

N_SWEEPS = 8
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
    composition. Gibbs sweeps over the free sites; border sites keep their own probability. One row of couplings (kT)
    per draw.
    """
    species = draw_labels(window, len(couplings), rng=rng)
    sites = np.flatnonzero(_uncertain(window) & window.free)
    if not len(sites) or not len(model.terms):
        return species
    narrow = window.only(model)
    prior = float(np.clip(narrow.probability[narrow.free].mean(), CERTAIN, 1 - CERTAIN))
    evidence = logit(narrow.probability[sites]) - logit(prior)
    energy = np.ascontiguousarray(np.diff(model.table @ couplings.T, axis=1).transpose(2, 0, 1))
    states = np.concatenate([species, np.zeros((len(species), 1), np.int8)], axis=1)
    fields = np.full(len(species), logit(prior))
    for _ in range(N_SWEEPS):
        flips = np.einsum("dsk,dk->ds", narrow.flips(model, states[:, :-1]), couplings)
        for _ in range(20):
            mean = expit(fields[:, None] - flips)
            fields += np.clip((prior - mean.mean(axis=1)) / (mean * (1 - mean)).mean(axis=1), -1.0, 1.0)
        thresholds = logit(rng.random((len(species), len(sites))))
        _gibbs(states, sites, evidence, fields, (narrow.start, narrow.others, narrow.entry_kind, energy), thresholds)
    return states[:, :-1].copy()


def _uncertain(window: Window) -> np.ndarray:
    """Return which sites could hold either species."""
    return (window.probability > CERTAIN) & (window.probability < 1 - CERTAIN)


@numba.njit(cache=True, nogil=True)
def _gibbs(states, sites, evidence, fields, near, thresholds):
    """Update every uncertain site of every draw once, in place."""
    start, others, entry_kind, energy = near
    for draw in range(states.shape[0]):
        state = states[draw]
        for place in range(len(sites)):
            site = sites[place]
            log_odds = evidence[place] + fields[draw]
            for entry in range(start[site], start[site + 1]):
                log_odds -= energy[draw, entry_kind[entry], state[others[entry, 0]] + state[others[entry, 1]]]
            state[site] = 1 if thresholds[draw, place] < log_odds else 0
