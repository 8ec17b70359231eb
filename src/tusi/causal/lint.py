"""What a table cannot bear, said before anybody asks it for causes: each fault by name, with what to do about it."""

import dataclasses
import itertools
from typing import Literal

import numpy as np
from jaxtyping import Float

from tusi.causal.independence.linear import PartialCorrelation
from tusi.causal.table import CausalTable
from tusi.inference.spatial import HighPass, Layout, centred, effective_sample_size

Fault = Literal[
    "constant", "functional dependence", "shared denominator", "ties", "slow field", "few effective samples", "noise",
    "between images",
]  # fmt: skip
"""What can be wrong with a table."""

EXACT = 1e-6
"""Share of a variable's variance that others may leave unexplained in an exact dependence."""

MOST_CAUSES = 3
"""Variables in an exact dependence that is worth naming."""

TIED = 0.2
"""Share of rows that may have the value of another row."""

SLOW = 0.5
"""Share of the variance that waves longer than half the image may carry."""

LEAST_SIZE = 40.0
"""Effective samples below which correlations under .3 cannot be seen."""

NOISY = 0.5
"""Share of the variance that errors may make up."""

LEVEL = 0.01
"""Level of the tests behind a suspected denominator."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault.

    Attributes
    ----------
    fault
        What kind.
    names
        Variables that it concerns.
    measure
        How bad: the share or the number that the text names.
    text
        What is wrong, in a sentence.
    advice
        What to do about it.
    """

    fault: Fault
    names: tuple[str, ...]
    measure: float
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text} {self.advice}"


def lint_table(table: CausalTable) -> tuple[Finding, ...]:
    """Look for what would make causal conclusions from a table wrong.

    Exact dependences: a variable that the others, their logarithms or their squares explain to one part in a million.
    Shared denominators: x and y are correlated, both go with one over a third variable c, and x c and y c know nothing
    of c or of each other. Ties: values that repeat. Slow fields: most variance in waves longer than half the image, as
    thickness, tilt and drift make it. Few effective samples: pairs whose correlation rests on fewer than forty. Noise:
    known errors make up half of the variance. Variables that only differ between images are named too.

    Parameters
    ----------
    table
        The variables.

    Returns
    -------
    tuple[Finding, ...]
        Faults, the same for the same table in any units; empty when nothing was found.

    References
    ----------
    K. Pearson, Proc. R. Soc. London 60, 489 (1897), for ratios with a common denominator.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).standard_normal((2, 400))
    >>> table = CausalTable.of({"x": x, "y": y, "sum": x + y}, layout=Layout.grid((20, 20)))
    >>> [(one.fault, one.names) for one in lint_table(table)]
    [('functional dependence', ('x', 'y', 'sum'))]
    """
    still = _constant(table)
    left = table.select([name for name in table.names if name not in still and name not in table.between])
    findings = [
        Finding(
            fault="constant", names=(name,), measure=0.0, text=f"{name} is the same everywhere.", advice="Leave it out."
        )
        for name in still
    ]
    findings += [_between(table, name) for name in table.between if name not in still]
    if left.n_variables:
        findings += [*_dependences(left), *_denominators(left), *_ties(left), *_slow(left), *_noise(left), *_few(left)]
    return tuple(findings)


def _constant(table: CausalTable) -> tuple[str, ...]:
    spread = np.ptp(table.value, axis=0)
    size = np.abs(table.value).max(axis=0)
    return tuple(n for n, s, m in zip(table.names, spread, size, strict=True) if s <= 1e-12 * max(m, 1e-300))


def _between(table: CausalTable, name: str) -> Finding:
    return Finding(
        fault="between images",
        names=(name,),
        measure=float(table.n_images),
        text=f"{name} is the same everywhere in an image: it has {table.n_images} samples, one an image.",
        advice="Its effects are compared between images: degrees of freedom are images less two.",
    )


def _dependences(table: CausalTable) -> list[Finding]:
    """Return sets of variables that determine each other exactly."""
    found: list[Finding] = []
    named: set[frozenset[str]] = set()
    for what, columns in _versions(table).items():
        numbers = sorted(columns)
        for size in range(1, MOST_CAUSES + 1):
            for group in itertools.combinations(numbers, size + 1):
                names = frozenset(table.names[k] for k in group)
                if any(one <= names for one in named) or not _exact([columns[k] for k in group]):
                    continue
                named.add(names)
                listed = tuple(table.names[k] for k in group)
                found.append(
                    Finding(
                        fault="functional dependence",
                        names=listed,
                        measure=1.0,
                        text=f"{_and(listed)} determine each other exactly ({what}).",
                        advice="An equation is no cause: leave one of them out.",
                    )
                )
    return found


def _versions(table: CausalTable) -> dict[str, dict[int, Float[np.ndarray, "row term"]]]:
    """Return the columns as they are, as logarithms where positive, and with their squares."""
    out: dict[str, dict[int, np.ndarray]] = {"a sum": {}, "a product or a ratio": {}, "a sum of squares": {}}
    for k, column in enumerate(table.value.T):
        out["a sum"][k] = _standard(column)[:, None]
        if (column > 0).all():
            out["a product or a ratio"][k] = _standard(np.log(column))[:, None]
        out["a sum of squares"][k] = _standard(column**2)[:, None]
    return out


def _exact(columns: list[np.ndarray]) -> bool:
    """Return whether the columns have an exact linear relation in which each takes part."""
    matrix = np.concatenate(columns, axis=1)
    values, vectors = np.linalg.eigh(matrix.T @ matrix / len(matrix))
    return bool(values[0] < EXACT and (np.abs(vectors[:, 0]) > np.sqrt(EXACT)).all() and values[1] >= EXACT)


def _denominators(table: CausalTable) -> list[Finding]:
    """Return pairs that are correlated only because both were divided by a third variable."""
    found = []
    for c, (x, y) in itertools.product(range(table.n_variables), itertools.combinations(range(table.n_variables), 2)):
        if c in (x, y) or not (table.value[:, c] > 0).all():
            continue
        divisor = table.value[:, c]
        names = (table.names[x], table.names[y], table.names[c])
        looked = CausalTable.of(
            {
                "x": table.value[:, x], "y": table.value[:, y], "one over c": 1 / divisor, "c": divisor,
                "xc": table.value[:, x] * divisor, "yc": table.value[:, y] * divisor,
            },
            layout=table.layout,
        )  # fmt: skip
        if any(np.ptp(column) <= 1e-12 * np.abs(column).max() for column in looked.value.T):
            continue
        ask = PartialCorrelation().prepare(looked).ask
        related = all(ask(a, b).p_value < LEVEL for a, b in ((0, 1), (0, 2), (1, 2)))
        if related and all(ask(a, b).p_value > LEVEL for a, b in ((4, 3), (5, 3), (4, 5))):
            found.append(
                Finding(
                    fault="shared denominator",
                    names=names,
                    measure=ask(0, 1).estimate,
                    text=f"{names[0]} and {names[1]} look as if both were divided by {names[2]}: times {names[2]} they "
                    "have nothing in common.",
                    advice=f"Use the numerators, or hold {names[2]} fixed.",
                )
            )
    return found


def _ties(table: CausalTable) -> list[Finding]:
    found = []
    for name, column in zip(table.names, table.value.T, strict=True):
        share = 1 - len(np.unique(column)) / len(column)
        if share > TIED:
            found.append(
                Finding(
                    fault="ties",
                    names=(name,),
                    measure=float(share),
                    text=f"{100 * share:.0f} % of the values of {name} occur more than once.",
                    advice="Counts and rounded values are not continuous: methods that read a direction off the shape "
                    "of a distribution do not apply to it.",
                )
            )
    return found


def _slow(table: CausalTable) -> list[Finding]:
    found = []
    for name, column in zip(table.names, table.value.T, strict=True):
        share = slow_share(column, layout=table.layout)
        if share > SLOW:
            found.append(
                Finding(
                    fault="slow field",
                    names=(name,),
                    measure=share,
                    text=f"{100 * share:.0f} % of the variance of {name} lies in waves longer than half the image.",
                    advice="Thickness, tilt and drift look like this and touch everything: take long waves out "
                    "(AdaptiveHighPass) and see what is left.",
                )
            )
    return found


def slow_share(values: Float[np.ndarray, " row"], *, layout: Layout) -> float:
    """Return the share of a variable's variance within images that waves longer than half an image carry.

    Parameters
    ----------
    values
        One for each row.
    layout
        Where the rows lie.

    Examples
    --------
    >>> grid = Layout.grid((32, 32))
    >>> plane, rough = grid.cell[:, 0] * 1.0, np.random.default_rng(0).standard_normal(1024)
    >>> [round(slow_share(one, layout=grid), 1) for one in (plane, rough)]
    [1.0, 0.0]
    """
    value = centred(values, layout=layout)
    slow = 0.0
    for image in range(layout.n_images):
        rows = layout.rows(image)
        own = Layout(cell=layout.cell[rows] - layout.cell[rows].min(axis=0), image=np.zeros(len(rows), dtype=int))
        side = np.sqrt(len(rows))
        if side < 4 or not value[rows].any():
            continue
        left = HighPass(scale=max(side / 2, 2.5))(value[rows, None], own)
        taken = min(left.freedom / len(rows), 0.9)
        slow += max(value[rows] @ value[rows] - (left.value[:, 0] @ left.value[:, 0]) / (1 - taken), 0.0)
    total = value @ value
    return float(slow / total) if total > 0 else 0.0


def _noise(table: CausalTable) -> list[Finding]:
    found = []
    error = np.diagonal(table.error_covariance.mean(axis=0))
    for k, name in enumerate(table.names):
        value = centred(table.value[:, k], layout=table.layout)
        share = float(error[k] / np.mean(value**2))
        if share > NOISY:
            found.append(
                Finding(
                    fault="noise",
                    names=(name,),
                    measure=share,
                    text=f"Errors of measurement make up {100 * min(share, 1):.0f} % of the variance of {name}.",
                    advice="Noise on a cause can turn an arrow round: expect directions to be undecided.",
                )
            )
    return found


def _few(table: CausalTable) -> list[Finding]:
    """Return the pair of variables that shares the fewest effective samples, if these are too few."""
    pairs = [
        (
            effective_sample_size(table.value[:, x], table.value[:, y], layout=table.layout),
            table.names[x],
            table.names[y],
        )
        for x, y in itertools.combinations(range(table.n_variables), 2)
    ]
    few = sorted(pair for pair in pairs if pair[0] < LEAST_SIZE)
    if not few:
        return []
    size, first, second = few[0]
    more = f", and {len(few) - 1} more pair{'s' * (len(few) > 2)}" if len(few) > 1 else ""
    return [
        Finding(
            fault="few effective samples",
            names=(first, second),
            measure=float(size),
            text=f"The {len(table)} rows of {first} and {second} are worth {size:.0f} independent ones{more}.",
            advice="More or larger images would help, or long waves taken out; more atoms of one field would not.",
        )
    ]


def _standard(column: np.ndarray) -> np.ndarray:
    value = column - column.mean()
    spread = value.std()
    return value / spread if spread > 0 else value


def _and(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
