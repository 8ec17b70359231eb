"""Are two variables independent given others? The one question of constraint-based search, and its answer."""

import dataclasses
from abc import ABC, abstractmethod

import numpy as np

from tusi.causal.table import CausalTable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Independence:
    """Answer of a test.

    Attributes
    ----------
    p_value
        Probability of at least this much dependence if there is none.
    estimate
        Measure of dependence: the partial correlation, for a linear test.
    n_effective
        Number of independent samples that the rows are worth for this question.
    """

    p_value: float
    estimate: float
    n_effective: float


class PreparedTest(ABC):
    """A test that has seen the table and answers questions about it."""

    names: tuple[str, ...]

    @abstractmethod
    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        """Return whether columns x and y are independent given others.

        Parameters
        ----------
        x, y
            Columns of the table.
        given
            Columns that are held fixed.
        """


class IndependenceTest(ABC):
    """A choice of test; `prepare` does once what all questions to a table share."""

    @abstractmethod
    def prepare(self, table: CausalTable, *, rng: np.random.Generator | None = None) -> PreparedTest:
        """Return the test ready for questions about this table.

        Parameters
        ----------
        table
            Variables and where they lie.
        rng
            Source of randomness, for tests that draw surrogates.
        """
