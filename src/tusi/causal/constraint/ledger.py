"""What a search has asked of a test: every question once, every answer kept."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from tusi.causal.independence import Independence, PreparedTest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A question of conditional independence that a search asked, and its answer.

    Attributes
    ----------
    x, y
        The two variables.
    given
        Variables that were held fixed.
    answer
        What the test said.

    Examples
    --------
    >>> answer = Independence(p_value=0.4, estimate=0.02, n_effective=900.0)
    >>> str(Question(x="strain", y="tilt", given=("composition",), answer=answer))
    'strain, tilt | composition: p = 0.4'
    """

    x: str
    y: str
    given: tuple[str, ...]
    answer: Independence

    def __str__(self) -> str:
        held = f" | {', '.join(self.given)}" if self.given else ""
        return f"{self.x}, {self.y}{held}: p = {self.answer.p_value:.3g}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Everything that a search asked.

    Attributes
    ----------
    questions
        Pair by pair, smallest sets first.
    largest_p_value
        Of each pair, over all that was asked about it; NaN where nothing was. An edge that is not there is drawn only
        if every question about it errs, so that this is a p-value of "no edge".
    level
        P-value up to which two variables were called dependent, question by question.
    """

    questions: tuple[Question, ...]
    largest_p_value: Float[np.ndarray, "variable variable"]
    level: float

    def about(self, x: str, y: str) -> tuple[Question, ...]:
        """Return what was asked about a pair."""
        return tuple(question for question in self.questions if {question.x, question.y} == {x, y})

    def separating_set(self, x: str, y: str) -> tuple[str, ...] | None:
        """Return the smallest set given which the two looked most independent; `None` when no set made them so."""
        found = [question for question in self.about(x, y) if question.answer.p_value > self.level]
        return max(found, key=lambda question: question.answer.p_value).given if found else None


class Ledger:
    """Asks a test on behalf of a search and remembers, so that nothing is asked twice.

    The two variables and those held fixed are put in the order of the table, because the question does not depend on
    their order.
    """

    def __init__(self, test: PreparedTest) -> None:
        self._test = test
        self._answers: dict[tuple[int, int], dict[tuple[int, ...], Independence]] = {}
        self.names = test.names

    def p_value(self, x: int, y: int, given: tuple[int, ...] = ()) -> float:
        """Return how probable at least this much dependence is if there is none; `given` in ascending order."""
        answers = self._answers.setdefault((x, y) if x < y else (y, x), {})
        if given not in answers:
            answers[given] = self._test.ask(min(x, y), max(x, y), given)
        return answers[given].p_value

    def largest(self, x: int, y: int, sets: Iterable[tuple[int, ...]]) -> float:
        """Return the largest p-value over several sets; minus one when there are none."""
        return max((self.p_value(x, y, given) for given in sets), default=-1.0)

    def separating_set(self, x: int, y: int) -> tuple[int, ...] | None:
        """Return the set given which the two looked most independent; `None` when they were not asked about."""
        answers = self._answers.get((min(x, y), max(x, y)))
        return max(answers, key=lambda given: (answers[given].p_value, -len(given))) if answers else None

    def evidence(self, level: float) -> Evidence:
        """Return all that was asked."""
        largest = np.full((len(self.names), len(self.names)), np.nan)
        for (x, y), answers in self._answers.items():
            largest[x, y] = largest[y, x] = max(answer.p_value for answer in answers.values())
        questions = tuple(
            Question(
                x=self.names[x],
                y=self.names[y],
                given=tuple(self.names[k] for k in given),
                answer=self._answers[x, y][given],
            )
            for x, y in sorted(self._answers)
            for given in sorted(self._answers[x, y], key=lambda given: (len(given), given))
        )
        return Evidence(questions=questions, largest_p_value=largest, level=level)
