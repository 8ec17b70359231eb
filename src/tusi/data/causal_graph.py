"""What acts on what: a graph over variables in which every pair carries probabilities of what holds between them."""

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import InputError

Relation = Literal["acts on", "each on the other", "hidden common cause", "undecided"]
"""What can hold between two variables that are not independent of each other given the rest."""

DECISIVE = 0.75
"""Share of a connection's probability that one relation must have to be named; else the pair is undecided."""

TOLERANCE = 1e-6
"""By how much the probabilities of a pair may exceed one in all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalEdge:
    """What holds between two variables that are probably connected; undecided unless one relation is by far likeliest.

    Attributes
    ----------
    cause, effect
        The two variables; in the order of the graph where the relation has no direction.
    relation
        What holds between them.
    probability
        Of this relation; of any, where it is undecided.
    connected
        Probability that anything holds between them.
    strength, strength_error
        Direct effect of one standard deviation of the cause, in standard deviations of the effect, and its standard
        error; NaN where it is not known or has no direction.
    """

    cause: str
    effect: str
    relation: Relation
    probability: float
    connected: float
    strength: float
    strength_error: float

    def __str__(self) -> str:
        sign = {"acts on": "->", "each on the other": "<=>", "hidden common cause": "<->", "undecided": "--"}
        return f"{self.cause} {sign[self.relation]} {self.effect} (P = {self.probability:.2f})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CausalGraph(Record):
    """Probabilities of what holds between every two variables.

    Of each pair exactly one holds: nothing; i acts on j; j acts on i; each acts on the other; both have a hidden common
    cause; or they are connected and the direction cannot be told. What the fields leave of one is the probability that
    the two are not connected directly.

    Attributes
    ----------
    arrow
        Entry (i, j): probability that i acts directly on j, and not j on i.
    feedback
        Symmetric: probability that each acts on the other.
    confounded
        Symmetric: probability of a hidden common cause and no direct action.
    undecided
        Symmetric: probability that they are connected without the direction being known.
    effect, effect_error
        Entry (i, j): direct effect of one standard deviation of i in standard deviations of j given that i acts on j,
        and its standard error; NaN where it is not known.
    names
        The variables.
    method
        How the graph was found, in words.
    notes
        What the reader must know: assumptions that failed, what cannot be identified.

    Examples
    --------
    >>> graph = CausalGraph.of_arrows({("strain", "polarisation"): 0.97}, names=("strain", "polarisation"))
    >>> [str(edge) for edge in graph.edges()]
    ['strain -> polarisation (P = 0.97)']
    """

    format_name: ClassVar[str] = "causal-graph"
    row: ClassVar[str] = "cause"

    arrow: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    feedback: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    confounded: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    undecided: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    effect: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    effect_error: Float[np.ndarray, "cause effect"] = array("cause", "effect_")
    names: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()

    def _check(self) -> None:
        n_nodes = len(self.names)
        if self.arrow.shape != (n_nodes, n_nodes):
            raise InputError("arrow", expected=f"{n_nodes} rows and columns", got=f"shape {self.arrow.shape}")
        for name in ("feedback", "confounded", "undecided"):
            if not np.allclose(getattr(self, name), getattr(self, name).T, atol=TOLERANCE):
                raise InputError(name, expected="a symmetric matrix", got="another")
        least = min(part.min(initial=0.0) for part in (self.arrow, self.feedback, self.confounded, self.undecided))
        most = self.connected.max(initial=0.0)
        if least < -TOLERANCE or most > 1 + TOLERANCE or np.diagonal(self.connected).any():
            raise InputError(
                "arrow", expected="probabilities that make at most one for each pair and none on the diagonal",
                got=f"{least:.3g} to {most:.3g} in all",
            )  # fmt: skip

    def __getitem__(self, rows: object) -> "CausalGraph":
        raise TypeError("a CausalGraph cannot be sliced: use `among`")

    @classmethod
    def of_arrows(
        cls, arrows: dict[tuple[str, str], float], *, names: tuple[str, ...], method: str = "given"
    ) -> "CausalGraph":
        """Return the graph with these arrows, each with its probability.

        Parameters
        ----------
        arrows
            (cause, effect) and the probability that the one acts on the other.
        names
            All variables.
        method
            How the graph was found.
        """
        matrix = np.zeros((len(names), len(names)))
        for (cause, effect), probability in arrows.items():
            matrix[_number(names, cause), _number(names, effect)] = probability
        return cls.of(arrow=matrix, names=names, method=method)

    @classmethod
    def of(
        cls, *, names: tuple[str, ...], method: str, notes: tuple[str, ...] = (), **matrices: np.ndarray
    ) -> "CausalGraph":
        """Return the graph with these matrices; probabilities that are not given are zero, effects unknown.

        Parameters
        ----------
        names
            All variables.
        method
            How the graph was found.
        notes
            What the reader must know.
        **matrices
            Fields by name.
        """
        shape = (len(names), len(names))
        zero = {name: np.zeros(shape) for name in ("arrow", "feedback", "confounded", "undecided")}
        unknown = {name: np.full(shape, np.nan) for name in ("effect", "effect_error")}
        return cls(**{**zero, **unknown, **matrices}, names=names, method=method, notes=notes)

    @property
    def connected(self) -> Float[np.ndarray, "cause effect"]:
        """Probability that anything holds between two variables."""
        return self.arrow + self.arrow.T + self.feedback + self.confounded + self.undecided

    @property
    def acts(self) -> Float[np.ndarray, "cause effect"]:
        """Entry (i, j): probability that i acts directly on j, whether or not j acts back."""
        return self.arrow + self.feedback

    def probability(self, cause: str, effect: str) -> float:
        """Return the probability that one variable acts directly on another."""
        return float(self.acts[_number(self.names, cause), _number(self.names, effect)])

    def edges(self, threshold: float = 0.5) -> tuple[CausalEdge, ...]:
        """Return what holds between every pair that is connected with at least this probability, surest first.

        A relation is named that has three quarters of the connection's probability; else the pair is undecided.

        Parameters
        ----------
        threshold
            Least probability of any connection.
        """
        found = []
        for i, j in zip(*np.triu_indices(len(self.names), 1), strict=True):
            total = float(self.connected[i, j])
            if total >= threshold and total > 0:
                found.append(self._likeliest(int(i), int(j), total))
        return tuple(sorted(found, key=lambda edge: -edge.probability))

    def _likeliest(self, i: int, j: int, total: float) -> CausalEdge:
        options: list[tuple[Relation, int, int, float]] = [
            ("acts on", i, j, self.arrow[i, j]),
            ("acts on", j, i, self.arrow[j, i]),
            ("each on the other", i, j, self.feedback[i, j]),
            ("hidden common cause", i, j, self.confounded[i, j]),
            ("undecided", i, j, self.undecided[i, j]),
        ]
        relation, a, b, probability = max(options, key=lambda option: option[3])
        if relation == "undecided" or probability < DECISIVE * total:
            relation, a, b, probability = "undecided", i, j, total
        directed = relation == "acts on"
        return CausalEdge(
            cause=self.names[a],
            effect=self.names[b],
            relation=relation,
            probability=float(probability),
            connected=total,
            strength=float(self.effect[a, b]) if directed else float("nan"),
            strength_error=float(self.effect_error[a, b]) if directed else float("nan"),
        )

    def among(self, names: tuple[str, ...]) -> "CausalGraph":
        """Return the relations among these variables alone, in this order."""
        places = np.ix_(*[[_number(self.names, name) for name in names]] * 2)
        fields = ("arrow", "feedback", "confounded", "undecided", "effect", "effect_error")
        return dataclasses.replace(self, names=names, **{name: getattr(self, name)[places] for name in fields})


def _number(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise InputError("name", expected=f"one of {', '.join(names)}", got=repr(name))
    return names.index(name)
