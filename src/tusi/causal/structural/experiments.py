"""Which intervention or measurement would best separate the graphs that remain."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.causal.structural.hypotheses import Hypothesis
from tusi.errors import InputError

N_DRAWS = 400
"""Outcomes of an experiment that are drawn under each hypothesis."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """What could be done next.

    Attributes
    ----------
    n_samples
        Independent samples that it would give: effective ones, not rows.
    sets
        A variable that is set at random from outside; none, for more images of the same kind.
    spread
        Standard deviation of what it is set to, in standard deviations of what it was.
    measures
        Hidden variables that would be measured too.

    Examples
    --------
    >>> str(Experiment(n_samples=50, sets="composition"))
    'set composition in 50 samples'
    """

    n_samples: float
    sets: str = ""
    spread: float = 1.0
    measures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.n_samples > 0 or not self.spread > 0:
            raise InputError("n_samples", expected="a positive number and spread", got=repr(self))

    def __str__(self) -> str:
        done = f"set {self.sets} in" if self.sets else "see"
        also = f", {' and '.join(self.measures)} measured too" if self.measures else ""
        return f"{done} {self.n_samples:g} {'samples' if self.sets else 'more samples'}{also}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankedExperiment:
    """An experiment and what it is expected to teach.

    Attributes
    ----------
    experiment
        What would be done.
    gain, gain_error
        Expected loss of entropy of the graph, in bits, and its Monte Carlo standard error.
    unknown
        Entropy of the graph now, in bits.
    pair
        The two variables about whose relation it teaches most.
    pair_gain
        Expected loss of entropy of this relation, in bits.
    """

    experiment: Experiment
    gain: float
    gain_error: float
    unknown: float
    pair: tuple[str, str]
    pair_gain: float

    def __str__(self) -> str:
        if self.gain <= max(3 * self.gain_error, 0.01 * self.unknown):
            return f"{self.experiment}: teaches nothing about the graph"
        return (
            f"{self.experiment}: {self.gain:.2f} of {self.unknown:.2f} bits expected, most of it about "
            f"{self.pair[0]} and {self.pair[1]} ({self.pair_gain:.2f} bits)"
        )


def rank_experiments(
    hypotheses: Sequence[Hypothesis], experiments: Sequence[Experiment], *, rng: np.random.Generator
) -> tuple[RankedExperiment, ...]:
    """Return experiments with what each is expected to teach about the graph, best first.

    The gain is the mutual information between graph and outcome, by simulation: outcomes are drawn under each
    hypothesis, and each outcome's posterior over hypotheses is exact. Equations are linear with normal noise and their
    coefficients those that fit best, taken as known: an experiment that would mostly improve coefficients gains nothing
    here.

    Parameters
    ----------
    hypotheses
        The graphs that remain, with probabilities.
    experiments
        What could be done.
    rng
        Source of randomness.

    Raises
    ------
    InputError
        There are no two hypotheses, or an experiment has fewer samples than variables.

    References
    ----------
    K. P. Murphy, Active learning of causal Bayes net structure (UC Berkeley, 2001); D. V. Lindley, Ann. Math. Statist.
    27, 986 (1956).

    Examples
    --------
    >>> correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
    >>> forth = Hypothesis.of(np.array([[False, True], [False, False]]), names=("x", "y"), correlation=correlation,
    ...                       probability=0.5)
    >>> back = Hypothesis.of(np.array([[False, False], [True, False]]), names=("x", "y"), correlation=correlation,
    ...                      probability=0.5)
    >>> options = [Experiment(n_samples=100), Experiment(n_samples=100, sets="x")]
    >>> for one in rank_experiments([forth, back], options, rng=np.random.default_rng(0)):
    ...     print(one)
    set x in 100 samples: 1.00 of 1.00 bits expected, most of it about x and y (1.00 bits)
    see 100 more samples: teaches nothing about the graph
    """
    if len(hypotheses) < 2:
        raise InputError("hypotheses", expected="at least two to tell apart", got=str(len(hypotheses)))
    ranked = [_ranked(hypotheses, one, rng) for one in experiments]
    return tuple(sorted(ranked, key=lambda one: -one.gain))


def _ranked(hypotheses: Sequence[Hypothesis], experiment: Experiment, rng: np.random.Generator) -> RankedExperiment:
    prior = np.array([one.probability for one in hypotheses])
    prior = prior / prior.sum()
    posterior = _posteriors(hypotheses, experiment, prior, rng)
    entropy = _bits(posterior)
    unknown = float(_bits(prior))
    spread = np.sqrt((prior**2 * entropy.var(axis=1) / entropy.shape[1]).sum())
    visible = [name for name in hypotheses[0].names if name not in hypotheses[0].hidden]
    gains = {
        (first, second): _gain_about([one.relation(first, second) for one in hypotheses], prior, posterior)
        for k, first in enumerate(visible)
        for second in visible[k + 1 :]
    }
    pair = max(gains, key=lambda one: gains[one])
    return RankedExperiment(
        experiment=experiment, gain=max(unknown - float(prior @ entropy.mean(axis=1)), 0.0), gain_error=float(spread),
        unknown=unknown, pair=pair, pair_gain=max(gains[pair], 0.0),
    )  # fmt: skip


def _posteriors(
    hypotheses: Sequence[Hypothesis], experiment: Experiment, prior: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "truth draw hypothesis"]:
    """Return the posterior over hypotheses after outcomes that are drawn under each of them."""
    visible = tuple(name for name in hypotheses[0].names if name not in hypotheses[0].hidden)
    names = (*visible, *experiment.measures)
    covariances = np.array(
        [one.covariance(names, sets=experiment.sets, spread=experiment.spread) for one in hypotheses]
    )
    n_samples = experiment.n_samples
    if n_samples < len(names):
        raise InputError("n_samples", expected=f"at least one for each of {len(names)} variables", got=str(n_samples))
    inverse, size = np.linalg.inv(covariances), np.linalg.slogdet(covariances)[1]
    root = np.linalg.cholesky(covariances)
    # Bartlett's decomposition: the sums of squares of samples without drawing the samples.
    low = np.tril(rng.standard_normal((N_DRAWS, len(names), len(names))), -1)
    freedom = n_samples - np.arange(len(names))
    low[:, range(len(names)), range(len(names))] = np.sqrt(rng.chisquare(freedom, size=(N_DRAWS, len(names))))
    out = np.empty((len(hypotheses), N_DRAWS, len(hypotheses)))
    for truth, one in enumerate(root):
        factor = one @ low
        scatter = factor @ factor.transpose(0, 2, 1)
        weight = np.log(prior) - 0.5 * (n_samples * size + np.einsum("hab,dab->dh", inverse, scatter))
        weight -= weight.max(axis=1, keepdims=True)
        out[truth] = np.exp(weight) / np.exp(weight).sum(axis=1, keepdims=True)
    return out


def _gain_about(relations: list[str], prior: np.ndarray, posterior: np.ndarray) -> float:
    """Return the expected loss of entropy of what holds between two variables."""
    member = np.array([[relation == one for relation in relations] for one in sorted(set(relations))], dtype=float)
    return float(_bits(member @ prior) - prior @ _bits(posterior @ member.T).mean(axis=1))


def _bits(probability: Float[np.ndarray, "*case outcome"]) -> Float[np.ndarray, "*case"]:
    return np.asarray(-(probability * np.log2(np.maximum(probability, 1e-300))).sum(axis=-1))
