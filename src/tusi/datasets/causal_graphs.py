"""Random causal graphs without cycles, and effects that are as strong as stated."""

import numpy as np
from jaxtyping import Bool, Float

from tusi.errors import InputError


def random_acyclic_graph(
    n_variables: int, *, rng: np.random.Generator, n_neighbours: float = 2.0
) -> Bool[np.ndarray, "cause effect"]:
    """Return a random graph in a random order: every pair is connected with the same probability.

    Parameters
    ----------
    n_variables
        Number of variables.
    rng
        Source of randomness.
    n_neighbours
        Expected number of others that each variable is connected with.

    References
    ----------
    P. Erdos, A. Renyi, Publ. Math. Debrecen 6, 290 (1959).

    Examples
    --------
    >>> arrow = random_acyclic_graph(6, rng=np.random.default_rng(0))
    >>> arrow.shape, bool(np.linalg.matrix_power(arrow.astype(int), 6).any())
    ((6, 6), False)
    """
    if n_variables < 2 or not 0 <= n_neighbours <= n_variables - 1:
        raise InputError(
            "n_neighbours", expected=f"0 to n_variables - 1 = {n_variables - 1}", got=str(n_neighbours)
        )  # fmt: skip
    arrow = np.triu(rng.random((n_variables, n_variables)) < n_neighbours / (n_variables - 1), 1)
    order = rng.permutation(n_variables)
    return arrow[np.ix_(order, order)]


def random_effects(
    arrow: Bool[np.ndarray, "cause effect"],
    *,
    rng: np.random.Generator,
    size: tuple[float, float] = (0.3, 0.7),
    explained: float = 0.8,
) -> Float[np.ndarray, "cause effect"]:
    """Return standardised effects of random size and sign, made smaller where they would explain too much.

    Parameters
    ----------
    arrow
        Entry (i, j): whether i acts on j.
    rng
        Source of randomness.
    size
        Least and largest size, in standard deviations of the effect for one of the cause.
    explained
        Largest share of a variable's variance that others explain.

    Examples
    --------
    >>> arrow = np.array([[0, 1], [0, 0]], dtype=bool)
    >>> bool(0.3 <= np.abs(random_effects(arrow, rng=np.random.default_rng(0))[0, 1]) <= 0.7)
    True
    """
    effect = np.where(arrow, rng.uniform(*size, arrow.shape) * rng.choice([-1.0, 1.0], arrow.shape), 0.0)
    correlation = np.eye(len(arrow))
    for j in _causes_first(arrow):
        variance = float(effect[:, j] @ correlation @ effect[:, j])
        effect[:, j] *= min(1.0, np.sqrt(explained / variance)) if variance > 0 else 1.0
        _join(correlation, effect, j)
    return effect


def coefficients_of_standardised(
    effect: Float[np.ndarray, "cause effect"],
) -> Float[np.ndarray, "cause effect"]:
    """Return coefficients, for disturbances of variance one, under which the standardised effects are those given.

    Parameters
    ----------
    effect
        Entry (i, j): standard deviations by which j follows one standard deviation of i; without cycles.

    Raises
    ------
    InputError
        The effects on a variable explain all of its variance or more.

    Examples
    --------
    >>> round(float(coefficients_of_standardised(np.array([[0, 0.6], [0, 0]]))[0, 1]), 6)
    0.75
    """
    correlation, disturbance = np.eye(len(effect)), np.ones(len(effect))
    for j in _causes_first(effect != 0):
        unexplained = 1.0 - float(effect[:, j] @ correlation @ effect[:, j])
        if unexplained <= 0:
            raise InputError("effect", expected="effects that leave some variance", got=f"{effect[:, j]} on {j}")
        disturbance[j] = np.sqrt(unexplained)
        _join(correlation, effect, j)
    return effect * disturbance[:, None] / disturbance[None, :]


def _causes_first(arrow: np.ndarray) -> list[int]:
    """Return the variables in an order in which causes come before effects."""
    order: list[int] = []
    while len(order) < len(arrow):
        waiting = np.setdiff1d(np.arange(len(arrow)), order)
        ready = [int(j) for j in waiting if not arrow[waiting, j].any()]
        if not ready:
            raise InputError("arrow", expected="a graph without cycles", got="one with a cycle")
        order += ready
    return order


def _join(correlation: np.ndarray, effect: np.ndarray, j: int) -> None:
    """Set the correlations of a variable with those before it in the order."""
    row = effect[:, j] @ correlation
    correlation[j], correlation[:, j] = row, row
    correlation[j, j] = 1.0
