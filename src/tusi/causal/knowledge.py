"""What a physicist knows before looking: what may cause what, what cannot, what must."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Constraints on a causal graph; variables that are not named are free.

    Attributes
    ----------
    tiers
        Groups of variables, causes first: a variable of a later group never acts on one of an earlier group.
    forbidden
        Pairs (cause, effect) that cannot be.
    required
        Pairs (cause, effect) that are known.
    exogenous
        Variables on which nothing in the table acts: composition as grown, temperature, position.

    Examples
    --------
    >>> known = Knowledge(tiers=(("composition",), ("polarisation",)))
    >>> known.allowed(("polarisation", "composition")).tolist()
    [[False, False], [True, False]]
    """

    tiers: tuple[tuple[str, ...], ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    required: tuple[tuple[str, str], ...] = ()
    exogenous: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tiered = [name for tier in self.tiers for name in tier]
        if len(set(tiered)) != len(tiered):
            raise InputError("tiers", expected="every variable in one tier", got=", ".join(tiered))
        both = set(self.forbidden) & set(self.required)
        if both:
            raise InputError("required", expected="pairs that are not forbidden too", got=str(sorted(both)))
        level = {name: number for number, tier in enumerate(self.tiers) for name in tier}
        for cause, effect in self.required:
            if effect in self.exogenous or level.get(cause, -1) > level.get(effect, len(self.tiers)):
                raise InputError(
                    "required", expected="causes in no later tier than effects", got=f"{cause} -> {effect}"
                )

    def allowed(self, names: tuple[str, ...]) -> Bool[np.ndarray, "cause effect"]:
        """Return whether each variable may act on each other one.

        Parameters
        ----------
        names
            Variables of the table, in order.

        Raises
        ------
        InputError
            The knowledge names a variable that is not among them.
        """
        self._known(names)
        allowed = ~np.eye(len(names), dtype=bool)
        level = {name: number for number, tier in enumerate(self.tiers) for name in tier}
        for i, cause in enumerate(names):
            for j, effect in enumerate(names):
                later = cause in level and effect in level and level[cause] > level[effect]
                if later or effect in self.exogenous or (cause, effect) in self.forbidden:
                    allowed[i, j] = False
        for cause, effect in self.required:
            allowed[names.index(effect), names.index(cause)] = False
        return allowed

    def demanded(self, names: tuple[str, ...]) -> Bool[np.ndarray, "cause effect"]:
        """Return whether each variable is known to act on each other one.

        Parameters
        ----------
        names
            Variables of the table, in order.
        """
        self._known(names)
        demanded = np.zeros((len(names), len(names)), dtype=bool)
        for cause, effect in self.required:
            demanded[names.index(cause), names.index(effect)] = True
        return demanded

    def possible(self, names: tuple[str, ...]) -> Bool[np.ndarray, "cause effect"]:
        """Return whether each variable may act on each other one if nothing acts back on its own causes.

        Parameters
        ----------
        names
            Variables of the table, in order.

        Raises
        ------
        InputError
            The required pairs make a cycle, or a variable is not among the names.
        """
        ancestor = reachable(self.demanded(names))
        if np.diagonal(ancestor).any():
            raise InputError("required", expected="pairs without a cycle", got=str(self.required))
        return self.allowed(names) & ~ancestor.T

    def _known(self, names: tuple[str, ...]) -> None:
        mentioned = {name for tier in self.tiers for name in tier} | set(self.exogenous)
        mentioned |= {name for pair in (*self.forbidden, *self.required) for name in pair}
        if mentioned - set(names):
            raise InputError(
                "knowledge",
                expected=f"variables among {', '.join(names)}",
                got=", ".join(sorted(mentioned - set(names))),
            )


def reachable(arrow: Bool[np.ndarray, "cause effect"]) -> Bool[np.ndarray, "cause effect"]:
    """Return whether one comes from i to j along one or more arrows.

    Parameters
    ----------
    arrow
        Entry (i, j): whether there is one from i to j.

    Examples
    --------
    >>> chain = np.array([[False, True, False], [False, False, True], [False, False, False]])
    >>> reachable(chain).astype(int).tolist()
    [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    """
    reached = arrow.copy()
    for middle in range(len(arrow)):
        reached |= reached[:, middle, None] & reached[None, middle, :]
    return reached
