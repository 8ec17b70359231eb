"""Lattice models as data: each term says which clusters it counts, and everything else follows from that table.

Energies are in kT. A cluster is a bond or a triangle; what it contributes depends only on how many of its sites hold
the counted species. Energies, energy changes and sufficient statistics are all read from the same table.
"""

import dataclasses
import enum
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError

LARGEST_CLUSTER = 3
"""Sites in the largest cluster that a term can count."""


class ClusterKind(enum.IntEnum):
    """The clusters of a site graph that terms can count."""

    FIRST_PAIR = 0
    SECOND_PAIR = 1
    TRIANGLE = 2
    TRIANGLE_WITH_VACANCY = 3


class Term(ABC):
    """One term of a lattice energy: a coupling times a count of clusters."""

    @property
    @abstractmethod
    def table(self) -> Float[np.ndarray, "kind count"]:
        """Contribution of a cluster of each kind by the number of its sites that hold the counted species."""

    @abstractmethod
    def expression(self, species: tuple[str, str]) -> str:
        """Return what the term counts, e.g. "sum_NN d(unlike)"."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlikePairs(Term):
    """Number of bonds between unlike species, each bond counted once.

    Attributes
    ----------
    shell
        1 for nearest neighbours, 2 for next-nearest.
    """

    shell: int = 1

    def __post_init__(self) -> None:
        if self.shell not in (1, 2):
            raise InputError("shell", expected="1 or 2", got=str(self.shell))

    @property
    def table(self) -> Float[np.ndarray, "kind count"]:
        """One for a bond of which exactly one site holds the counted species."""
        table = _empty_table()
        table[ClusterKind.FIRST_PAIR if self.shell == 1 else ClusterKind.SECOND_PAIR, 1] = 1.0
        return table

    def expression(self, species: tuple[str, str]) -> str:  # noqa: ARG002
        """Return "sum_NN d(unlike)", or with NNN for the second shell."""
        return f"sum_{'NN' if self.shell == 1 else 'NNN'} d(unlike)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triangles(Term):
    """Number of nearest-neighbour triangles with this many sites of the counted species, each triangle counted once.

    A triangle with a vacancy holds one bond only. If that bond is unlike, it adds 1/4 to both mixed kinds, so that
    equal weights of the two kinds are exactly a nearest-neighbour pair energy, vacancies or not.

    Attributes
    ----------
    n_counted
        1 or 2 of the three sites hold the counted species.
    """

    n_counted: int

    def __post_init__(self) -> None:
        if self.n_counted not in (1, 2):
            raise InputError("n_counted", expected="1 or 2", got=str(self.n_counted))

    @property
    def table(self) -> Float[np.ndarray, "kind count"]:
        """One for a triangle with this many counted sites; a quarter for an unlike bond next to a vacancy."""
        table = _empty_table()
        table[ClusterKind.TRIANGLE, self.n_counted] = 1.0
        table[ClusterKind.TRIANGLE_WITH_VACANCY, 1] = 0.25
        return table

    def expression(self, species: tuple[str, str]) -> str:
        """Return e.g. "sum_T d(Mo Mo Re)"."""
        corners = [species[0]] * (LARGEST_CLUSTER - self.n_counted) + [species[1]] * self.n_counted
        return f"sum_T d({' '.join(corners)})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatticeModel:
    """A lattice Hamiltonian `E/kT = sum_k w_k T_k`, linear in its couplings.

    Attributes
    ----------
    name
        Short name.
    terms
        What each coupling multiplies; none for the random alloy.

    Examples
    --------
    >>> print(MODELS["P1"])
    E/kT = w1 sum_NN d(unlike)
    >>> MODELS["M"].equation(("Mo", "Re"))
    'E/kT = w1 sum_T d(Mo Mo Re) + w2 sum_T d(Mo Re Re)'
    """

    name: str
    terms: tuple[Term, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the couplings."""
        return tuple(f"w{k}" for k in range(1, len(self.terms) + 1))

    @property
    def table(self) -> Float[np.ndarray, "kind count parameter"]:
        """Contribution of every cluster to every statistic."""
        return (
            np.stack([term.table for term in self.terms], axis=-1) if self.terms else _empty_table()[..., None][..., :0]
        )

    @property
    def kinds(self) -> tuple[ClusterKind, ...]:
        """The kinds of clusters that the model counts."""
        return tuple(kind for kind in ClusterKind if self.table[kind].any())

    def equation(self, species: tuple[str, str] = ("A", "B")) -> str:
        """Return the energy as an equation, with these names of the species."""
        parts = [f"{w} {term.expression(species)}" for w, term in zip(self.parameters, self.terms, strict=True)]
        return "E/kT = " + (" + ".join(parts) or "0")

    def __str__(self) -> str:
        return self.equation()


MODELS = {
    model.name: model
    for model in (
        LatticeModel(name="random"),
        LatticeModel(name="P1", terms=(UnlikePairs(shell=1),)),
        LatticeModel(name="P2", terms=(UnlikePairs(shell=1), UnlikePairs(shell=2))),
        LatticeModel(name="M", terms=(Triangles(n_counted=1), Triangles(n_counted=2))),
    )
}
"""The models by name: random alloy, nearest-neighbour pairs, next-nearest pairs as well, and triangles."""


def model_named(name: str) -> LatticeModel:
    """Return a model by its name.

    Raises
    ------
    InputError
        There is no such model.
    """
    if name not in MODELS:
        raise InputError("models", expected=f"names among {tuple(MODELS)}", got=repr(name))
    return MODELS[name]


def embedding(smaller: LatticeModel, larger: LatticeModel) -> Float[np.ndarray, "larger smaller"] | None:
    """Return the matrix that turns couplings of the smaller model into equivalent ones of the larger; `None` if none.

    On sites whose surroundings are complete each bond lies in two triangles, so a nearest-neighbour pair energy w is
    a triangle energy with w for both mixed kinds.

    Examples
    --------
    >>> embedding(MODELS["P1"], MODELS["M"]).ravel().tolist()
    [1.0, 1.0]
    >>> embedding(MODELS["P2"], MODELS["M"]) is None
    True
    """
    if len(smaller.terms) >= len(larger.terms):
        return None
    mixed = (Triangles(n_counted=1), Triangles(n_counted=2))
    matrix = np.zeros((len(larger.terms), len(smaller.terms)))
    for column, term in enumerate(smaller.terms):
        if term in larger.terms:
            matrix[larger.terms.index(term), column] = 1.0
        elif term == UnlikePairs(shell=1) and all(kind in larger.terms for kind in mixed):
            matrix[[larger.terms.index(kind) for kind in mixed], column] = 1.0
        else:
            return None
    return matrix


def _empty_table() -> Float[np.ndarray, "kind count"]:
    return np.zeros((len(ClusterKind), LARGEST_CLUSTER + 1))
