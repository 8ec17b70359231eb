"""A chosen acyclic graph and the form of its equations."""

import dataclasses
from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.structural.mechanisms import Family, Intercepts, Linear, Mechanism
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError
from tusi.inference.spatial import Detrending


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """A chosen acyclic graph and the form of its equations: x_j = constant + sum of f_jk(x_k) over causes + noise.

    Attributes
    ----------
    names
        The variables.
    arrow
        Entry (i, j): whether i acts on j.
    mechanism
        Form of all equations.
    intercepts
        Whether images have constants of their own, which compares only within images, or all share one.
    detrending
        Taken out of all variables before slopes are fitted; for linear equations only, which it leaves as they are.
    notes
        What the graph said that the arrows do not.

    Examples
    --------
    >>> structure = Structure.of([("strain", "polarisation")], names=("strain", "polarisation"))
    >>> structure.causes("polarisation")
    ('strain',)
    """

    names: tuple[str, ...]
    arrow: Bool[np.ndarray, "cause effect"]
    mechanism: Mechanism = dataclasses.field(default_factory=Linear)
    intercepts: Intercepts = "image"
    detrending: Detrending | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.arrow.shape != (len(self.names),) * 2:
            raise InputError("arrow", expected=f"{len(self.names)} rows and columns", got=f"shape {self.arrow.shape}")
        if self.detrending is not None and not self.mechanism.linear:
            raise InputError(
                "detrending", expected="none, where equations are not linear", got=repr(self.detrending),
                then="Splines of detrended values would not be those of the values.",
            )  # fmt: skip
        _ = self.order

    @classmethod
    def of(
        cls,
        graph: CausalGraph | Bool[np.ndarray, "cause effect"] | Collection[tuple[str, str]],
        *,
        names: tuple[str, ...] = (),
        threshold: float = 0.5,
        mechanism: Mechanism | None = None,
        intercepts: Intercepts = "image",
        detrending: Detrending | None = None,
    ) -> "Structure":
        """Return the structure with a graph's arrows.

        Parameters
        ----------
        graph
            A `CausalGraph`, a matrix, or pairs (cause, effect).
        names
            The variables; those of a `CausalGraph` when not given.
        threshold
            Least probability of an arrow of a `CausalGraph`. Pairs that are connected otherwise, or whose direction is
            not decided, are left out and noted.
        mechanism, intercepts, detrending
            As in the class.

        Raises
        ------
        InputError
            The arrows make a circle, or name a variable that there is not.
        """
        notes: tuple[str, ...] = ()
        if isinstance(graph, CausalGraph):
            graph = graph.among(names) if names else graph
            names, arrow = graph.names, np.zeros(graph.arrow.shape, dtype=bool)
            for edge in graph.edges(threshold):
                if edge.relation == "acts on" and edge.probability >= threshold:
                    arrow[number_of(names, edge.cause), number_of(names, edge.effect)] = True
                else:
                    notes = (*notes, f"{edge}: left out, effects through it are not in the equations")
        elif isinstance(graph, np.ndarray):
            arrow = graph.astype(bool)
        else:
            arrow = np.zeros((len(names), len(names)), dtype=bool)
            for cause, effect in graph:
                arrow[number_of(names, cause), number_of(names, effect)] = True
        return cls(
            names=names, arrow=arrow, mechanism=mechanism or Linear(), intercepts=intercepts, detrending=detrending,
            notes=notes,
        )  # fmt: skip

    @property
    def order(self) -> tuple[int, ...]:
        """The variables in an order in which causes come before effects."""
        order: list[int] = []
        waiting = list(range(len(self.names)))
        while waiting:
            ready = [j for j in waiting if not self.arrow[waiting, j].any()]
            if not ready:
                circle = ", ".join(self.names[j] for j in waiting)
                raise InputError(
                    "arrow", expected="a graph without circles", got=f"a circle among {circle}",
                    then="Raise the threshold, or say by `Knowledge` which way is forbidden.",
                )  # fmt: skip
            order += ready
            waiting = [j for j in waiting if j not in ready]
        return tuple(order)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """All pairs (cause, effect)."""
        return tuple((self.names[i], self.names[j]) for i, j in np.argwhere(self.arrow))

    def causes(self, name: str) -> tuple[str, ...]:
        """Return the direct causes of a variable."""
        return tuple(self.names[i] for i in np.flatnonzero(self.arrow[:, number_of(self.names, name)]))

    def rows(self, table: CausalTable) -> CausalTable:
        """Return the rows that slopes are fitted to: the table's, detrended where that was chosen.

        Parameters
        ----------
        table
            The variables.
        """
        table = table.select(self.names)
        if self.detrending is None:
            return table
        detrended = self.detrending(table.value, table.layout)
        gain = np.asarray(detrended.noise_gain)[detrended.layout.image]
        kept = table[detrended.kept]
        return dataclasses.replace(
            kept, value=detrended.value, error_covariance=kept.error_covariance * gain[:, None, None]
        )

    def family(self, table: CausalTable, effect: int, weight: Float[np.ndarray, " row"] | None = None) -> Family:
        """Return a variable with its causes, ready for a fit.

        Parameters
        ----------
        table
            The rows.
        effect
            Number of the variable.
        weight
            How often each row counts; once when not given.
        """
        own = [*np.flatnonzero(self.arrow[:, effect]), effect]
        weight = np.ones(len(table)) if weight is None else weight
        return Family(
            cause=table.value[:, own[:-1]],
            effect=table.value[:, effect],
            error=np.tensordot(weight / weight.sum(), table.error_covariance[:, own][:, :, own], axes=1),
            layout=table.layout,
            weight=weight,
            intercepts=self.intercepts,
            names=tuple(self.names[k] for k in own),
        )


def number_of(names: tuple[str, ...], name: str) -> int:
    """Return the place of a name among names.

    Parameters
    ----------
    names
        All of them.
    name
        The one that is looked for.
    """
    if name not in names:
        raise InputError("name", expected=f"one of {', '.join(names)}", got=repr(name))
    return names.index(name)
