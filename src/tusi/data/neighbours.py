"""Who is whose neighbour: a sparse graph over atoms or sites."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse

from tusi.data.record import Record, array
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NeighborGraph(Record):
    """Neighbours of each atom, as compressed rows: those of atom i are `neighbour[start[i] : start[i + 1]]`.

    The relation need not be symmetric: the six nearest of one atom may not have it among theirs.

    Attributes
    ----------
    start
        Where the neighbours of each atom begin; one entry more than there are atoms.
    neighbour
        Rows of the neighbours, atom after atom.
    rule
        How neighbours were chosen, in words.

    Examples
    --------
    >>> graph = NeighborGraph(start=np.array([0, 1, 3, 4]), neighbour=np.array([1, 0, 2, 1]), rule="chain")
    >>> graph.of(1).tolist(), graph.degree.tolist(), graph.n_atoms
    ([0, 2], [1, 2, 1], 3)
    """

    format_name: ClassVar[str] = "neighbor-graph"
    row: ClassVar[str] = "link"

    start: Int[np.ndarray, " bound"] = array("bound", dtype=np.int64)
    neighbour: Int[np.ndarray, " link"] = array("link", dtype=np.int64)
    rule: str

    def _check(self) -> None:
        if not len(self.start) or self.start[0] != 0 or (np.diff(self.start) < 0).any():
            raise InputError("start", expected="offsets that begin at 0 and never fall", got="others")
        if self.start[-1] != len(self.neighbour):
            raise InputError("start", expected=f"a last offset of {len(self.neighbour)}", got=str(self.start[-1]))
        if len(self.neighbour) and not 0 <= self.neighbour.min() <= self.neighbour.max() < self.n_atoms:
            raise InputError("neighbour", expected=f"rows from 0 to {self.n_atoms - 1}", got="others")

    def __getitem__(self, rows: object) -> "NeighborGraph":
        raise TypeError("a NeighborGraph cannot be sliced: its rows refer to each other")

    @classmethod
    def from_pairs(cls, pairs: Int[np.ndarray, "pair 2"], *, n_atoms: int, rule: str) -> "NeighborGraph":
        """Return the graph in which both atoms of every pair are neighbours of each other; repeated pairs count once.

        Parameters
        ----------
        pairs
            Rows of two atoms each.
        n_atoms
            How many atoms there are.
        rule
            How neighbours were chosen, in words.
        """
        pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        matrix = sparse.csr_matrix((np.ones(len(one), bool), (one, other)), shape=(n_atoms, n_atoms))
        matrix.sum_duplicates()
        return cls(start=matrix.indptr, neighbour=matrix.indices, rule=rule)

    @property
    def n_atoms(self) -> int:
        """Atoms in the graph, with neighbours or without."""
        return len(self.start) - 1

    @property
    def degree(self) -> Int[np.ndarray, " atom"]:
        """Number of neighbours of each atom."""
        return np.diff(self.start)

    @property
    def atom(self) -> Int[np.ndarray, " link"]:
        """Row of the atom to which each entry of `neighbour` belongs."""
        return np.repeat(np.arange(self.n_atoms), self.degree)

    @property
    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """Pairs of atoms of which one at least counts the other as a neighbour, each once, the lower row first."""
        both = np.stack([self.atom, self.neighbour], axis=1)
        return np.unique(np.sort(both[both[:, 0] != both[:, 1]], axis=1), axis=0)

    @property
    def symmetric(self) -> bool:
        """Whether every neighbour of an atom has it as a neighbour too."""
        matrix = self.matrix
        return (matrix != matrix.T).nnz == 0

    @property
    def matrix(self) -> sparse.csr_matrix:
        """The adjacency matrix."""
        entries: Bool[np.ndarray, " link"] = np.ones(len(self.neighbour), bool)
        return sparse.csr_matrix((entries, self.neighbour, self.start), shape=(self.n_atoms, self.n_atoms))

    def of(self, atom: int) -> Int[np.ndarray, " neighbour"]:
        """Return the rows of the neighbours of one atom."""
        return self.neighbour[self.start[atom] : self.start[atom + 1]]
