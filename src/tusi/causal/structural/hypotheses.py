"""The graphs that remain, each with equations that fit what was seen equally well as its kind can."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.posterior import GraphPosterior
from tusi.errors import InputError

LEAST_NOISE = 1e-4
"""Share of a variable's variance that is left to noise at least."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Hypothesis:
    """A linear-Gaussian causal model of standardised variables, and how probable it is.

    Attributes
    ----------
    names
        The variables, hidden ones too.
    coefficient
        Entry (i, j): direct effect of i on j.
    noise
        Variance of the noise in each equation.
    probability
        Of this model among those that are compared.
    hidden
        Variables that have not been measured so far.

    Examples
    --------
    >>> correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
    >>> arrow = np.array([[False, True], [False, False]])
    >>> model = Hypothesis.of(arrow, names=("x", "y"), correlation=correlation, probability=0.5)
    >>> str(model), model.covariance().round(12).tolist()
    ('x -> y', [[1.0, 0.6], [0.6, 1.0]])
    """

    names: tuple[str, ...]
    coefficient: Float[np.ndarray, "cause effect"]
    noise: Float[np.ndarray, " variable"]
    probability: float
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.noise.min() <= 0 or self.probability < 0 or set(self.hidden) - set(self.names):
            raise InputError("noise", expected="positive variances, a probability, known hidden names", got=repr(self))

    @classmethod
    def of(
        cls,
        arrow: Bool[np.ndarray, "cause effect"],
        *,
        names: tuple[str, ...],
        correlation: Float[np.ndarray, "variable variable_"],
        probability: float,
    ) -> "Hypothesis":
        """Return the graph with the coefficients that the correlations of what was seen give it.

        Parameters
        ----------
        arrow
            The graph.
        names
            Its variables.
        correlation
            Of the variables.
        probability
            Of the graph.
        """
        coefficient, noise = np.zeros(arrow.shape), np.ones(len(arrow))
        for j in range(len(arrow)):
            own = np.flatnonzero(arrow[:, j])
            coefficient[own, j] = np.linalg.solve(correlation[np.ix_(own, own)], correlation[own, j])
            noise[j] = max(1.0 - float(coefficient[own, j] @ correlation[own, j]), LEAST_NOISE)
        return cls(names=names, coefficient=coefficient, noise=noise, probability=probability)

    def confounded(self, cause: str, effect: str, *, hidden: str, probability: float) -> "Hypothesis":
        """Return the model in which a hidden variable acts on both instead of one on the other.

        What is seen without intervention stays the same: the hidden variable acts on both as strongly, in the geometric
        mean of what is possible.

        Parameters
        ----------
        cause, effect
            An arrow whose cause has no causes itself.
        hidden
            Name of the hidden variable.
        probability
            Of the new model.

        Raises
        ------
        InputError
            There is no such arrow, or its cause has causes.
        """
        i, j = self.names.index(cause), self.names.index(effect)
        effect_of = float(self.coefficient[i, j])
        if effect_of == 0 or self.coefficient[:, i].any():
            raise InputError(
                "cause", expected="the start of an arrow on which nothing acts", got=f"{cause} -> {effect}",
                then="Give the hidden variable's coefficients yourself: `Hypothesis(...)`.",
            )  # fmt: skip
        shared, other = effect_of * self.noise[i], self.noise[j] + effect_of**2 * self.noise[i]
        share = np.sqrt(abs(shared) / np.sqrt(self.noise[i] * other))
        n_old = len(self.names)
        coefficient = np.pad(self.coefficient, (0, 1))
        coefficient[i, j] = 0.0
        coefficient[n_old, i] = share * np.sqrt(self.noise[i])
        coefficient[n_old, j] = np.sign(effect_of) * share * np.sqrt(other)
        noise = np.append(self.noise, 1.0)
        noise[[i, j]] = self.noise[i] * (1 - share**2), other * (1 - share**2)
        return Hypothesis(
            names=(*self.names, hidden), coefficient=coefficient, noise=noise, probability=probability,
            hidden=(*self.hidden, hidden),
        )  # fmt: skip

    def covariance(self, names: tuple[str, ...] = (), *, sets: str = "", spread: float = 1.0) -> np.ndarray:
        """Return the covariance of variables.

        Parameters
        ----------
        names
            Which of them; all that are not hidden when not given. Variables that the model does not have are
            independent of all others, with variance one.
        sets
            A variable that is set at random from outside.
        spread
            Standard deviation of what it is set to.
        """
        coefficient, noise = self.coefficient.copy(), self.noise.copy()
        if sets:
            coefficient[:, self.names.index(sets)] = 0.0
            noise[self.names.index(sets)] = spread**2
        mixing = np.linalg.inv(np.eye(len(noise)) - coefficient)
        full = mixing.T @ (noise[:, None] * mixing)
        names = names or tuple(name for name in self.names if name not in self.hidden)
        out = np.eye(len(names))
        known = [(k, self.names.index(name)) for k, name in enumerate(names) if name in self.names]
        place, own = (list(part) for part in zip(*known, strict=True))
        out[np.ix_(place, place)] = full[np.ix_(own, own)]
        return out

    def relation(self, first: str, second: str) -> str:
        """Return what holds between two variables: "->", "<-", "<->" by a hidden cause, or "" for nothing.

        Parameters
        ----------
        first, second
            The variables.
        """
        i, j = self.names.index(first), self.names.index(second)
        if self.coefficient[i, j] or self.coefficient[j, i]:
            return "->" if self.coefficient[i, j] else "<-"
        shared = any(self.coefficient[k, i] and self.coefficient[k, j] for k in map(self.names.index, self.hidden))
        return "<->" if shared else ""

    def __str__(self) -> str:
        edges = [f"{self.names[i]} -> {self.names[j]}" for i, j in np.argwhere(self.coefficient != 0)]
        return ", ".join(edges) or "nothing acts on anything"


def remaining_hypotheses(
    posterior: GraphPosterior, *, correlation: Float[np.ndarray, "variable variable_"], share: float = 0.95
) -> tuple[Hypothesis, ...]:
    """Return the likeliest graphs that have a share of the probability together, with their coefficients.

    Parameters
    ----------
    posterior
        Over graphs.
    correlation
        Of its variables, as `GaussianEvidence.samples` gives it.
    share
        Of the probability.

    Raises
    ------
    InputError
        The posterior has too many variables to list graphs.

    Examples
    --------
    >>> from tusi.causal.posterior import ExactPosterior
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> table = linear_fields(np.array([[0, 0.6], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> search = ExactPosterior()
    >>> correlation, _ = search.evidence.samples(table)
    >>> models = remaining_hypotheses(search.find(table), correlation=correlation)
    >>> sorted((str(model), round(model.probability, 2)) for model in models)
    [('x0 -> x1', 0.5), ('x1 -> x0', 0.5)]
    """
    if posterior.likeliest is None or posterior.probability is None:
        raise InputError(
            "posterior", expected="one whose graphs are listed", got=f"{len(posterior.names)} variables",
            then="Ask about up to five variables at a time.",
        )  # fmt: skip
    enough = int(np.searchsorted(np.cumsum(posterior.probability), min(share, posterior.probability.sum()) - 1e-12)) + 1
    kept = posterior.probability[:enough] / posterior.probability[:enough].sum()
    return tuple(
        Hypothesis.of(
            graph.astype(bool), names=posterior.names, correlation=correlation, probability=float(probability)
        )
        for graph, probability in zip(posterior.likeliest[:enough], kept, strict=True)
    )
