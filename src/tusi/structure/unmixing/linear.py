"""Unmixing without a noise model: principal components, non-negative matrices, independent components, N-FINDR."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import ConvergenceError, InputError
from tusi.structure.unmixing.abundances import constrained_abundances
from tusi.structure.unmixing.vertices import checked_data, find_vertices

_TINY = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LinearMixture(Record):
    """Data as sums of components: `data = mean + abundance @ component` and a rest.

    Attributes
    ----------
    component
        One row for each component.
    abundance
        Weight of each component in each window.
    mean
        What is added to all windows; zero where the method takes no mean away.
    explained
        Fraction of the data's variance about its mean that the components explain.
    method
        How it was made, as code.
    """

    format_name: ClassVar[str] = "linear-mixture"
    row: ClassVar[str] = "window"

    component: Float[np.ndarray, "component feature"] = array("component", "feature")
    abundance: Float[np.ndarray, "window component"] = array("window", "component")
    mean: Float[np.ndarray, " feature"] = array("feature")
    explained: float
    method: str


class UnmixingMethod(ABC):
    """A way to write data as sums of components; derive from it and give `unmix`."""

    @abstractmethod
    def unmix(self, data: Float[np.ndarray, "window feature"], *, rng: np.random.Generator) -> LinearMixture:
        """Return components and their weights.

        Parameters
        ----------
        data
            One row for each window, finite.
        rng
            Source of randomness, where the method needs any.
        """

    def _mixture(
        self, data: np.ndarray, component: np.ndarray, abundance: np.ndarray, mean: np.ndarray | None = None
    ) -> LinearMixture:
        mean = np.zeros(data.shape[1]) if mean is None else mean
        total = float(((data - data.mean(axis=0)) ** 2).sum())
        rest = float(((data - mean - abundance @ component) ** 2).sum())
        return LinearMixture(
            component=component, abundance=abundance, mean=mean, method=repr(self),
            explained=1.0 - rest / total if total > 0 else 1.0,
        )  # fmt: skip


def unmix(
    data: Float[np.ndarray, "window feature"], method: UnmixingMethod, *, rng: np.random.Generator
) -> LinearMixture:
    """Write data as sums of components.

    Parameters
    ----------
    data
        One row for each window.
    method
        `PrincipalComponents`, `NonNegativeMatrix`, `IndependentComponents`, `SimplexVertices`, or one's own.
    rng
        Source of randomness.

    Returns
    -------
    LinearMixture
        Components, largest first where the method orders them, and their weights.

    Raises
    ------
    InputError
        Data that are not finite, too small for that many components, or negative where the method forbids it.
    ConvergenceError
        Independent components that do not settle.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = rng.dirichlet(np.ones(3), 200) @ np.eye(3, 8)
    >>> unmix(data, PrincipalComponents(n_components=2), rng=rng).explained > 0.999
    True
    """
    return method.unmix(np.asarray(data, dtype=np.float64), rng=rng)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrincipalComponents(UnmixingMethod):
    """Orthogonal directions of largest variance about the mean; each component's largest value is positive.

    Attributes
    ----------
    n_components
        How many.

    Examples
    --------
    >>> data = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> PrincipalComponents(n_components=1).unmix(data, rng=np.random.default_rng()).component.round(3).tolist()
    [[0.6, 0.8]]
    """

    n_components: int = 3

    def unmix(self, data: Float[np.ndarray, "window feature"], *, rng: np.random.Generator) -> LinearMixture:  # noqa: ARG002
        """Return the components; see `UnmixingMethod.unmix`."""
        values = checked_data(data, self.n_components)
        if self.n_components > min(values.shape):
            raise InputError("n_components", expected=f"at most {min(values.shape)}", got=str(self.n_components))
        mean = values.mean(axis=0)
        component = np.linalg.svd(values - mean, full_matrices=False)[2][: self.n_components]
        largest = np.take_along_axis(component, np.abs(component).argmax(axis=1)[:, None], axis=1)
        component = component * np.sign(largest)
        return self._mixture(values, component, (values - mean) @ component.T, mean)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NonNegativeMatrix(UnmixingMethod):
    """Non-negative components with non-negative weights, by hierarchical alternating least squares.

    The best of several random starts. Components have length one. The solution is unique only where each component is
    alone in some window and in some feature.

    Attributes
    ----------
    n_components
        How many.
    n_starts
        Random starts.
    n_steps
        Most steps of one start; it ends earlier once the misfit falls by less than a millionth a step.

    References
    ----------
    A. Cichocki, A.-H. Phan, IEICE Trans. Fundamentals E92-A, 708 (2009).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = np.repeat(np.eye(2), 20, axis=0) @ np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    >>> NonNegativeMatrix(n_components=2).unmix(data, rng=rng).explained > 0.999
    True
    """

    n_components: int = 3
    n_starts: int = 5
    n_steps: int = 500

    def unmix(self, data: Float[np.ndarray, "window feature"], *, rng: np.random.Generator) -> LinearMixture:
        """Return the components; see `UnmixingMethod.unmix`."""
        values = checked_data(data, self.n_components)
        if (values < 0).any():
            raise InputError("data", expected="no negative values", got=f"{int((values < 0).sum())} of them",
                             then="Cut them off at zero, or keep the noise floor.")  # fmt: skip
        found = [self._descend(values, rng) for _ in range(self.n_starts)]
        abundance, component, _ = min(found, key=lambda one: one[2])
        length = np.maximum(np.linalg.norm(component, axis=1), _TINY)
        order = np.argsort(-(abundance.sum(axis=0) * length), kind="stable")
        return self._mixture(values, (component / length[:, None])[order], (abundance * length)[:, order])

    def _descend(self, data: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """Return weights, components and misfit of one start."""
        scale = np.sqrt(max(float(data.mean()), _TINY) / self.n_components)
        abundance = scale * rng.random((len(data), self.n_components))
        component = scale * rng.random((self.n_components, data.shape[1]))
        total, before = float((data**2).sum()), np.inf
        for _ in range(self.n_steps):
            _alternate(abundance, data @ component.T, component @ component.T)
            _alternate(component.T, data.T @ abundance, abundance.T @ abundance)
            misfit = float(((data - abundance @ component) ** 2).sum())
            if before - misfit <= 1e-6 * misfit + 1e-15 * total:
                break
            before = misfit
        return abundance, component, misfit


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndependentComponents(UnmixingMethod):
    """Components whose weights are as independent as can be: symmetric FastICA with the contrast log cosh.

    Weights have variance one; each component's largest value is positive.

    Attributes
    ----------
    n_components
        How many.
    n_steps
        Most steps.
    tolerance
        Change of direction at which a step is the last.

    References
    ----------
    A. Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> sources = rng.uniform(-1, 1, size=(2000, 2))
    >>> found = IndependentComponents(n_components=2).unmix(sources @ np.array([[2.0, 1.0], [1.0, 3.0]]), rng=rng)
    >>> np.abs(np.corrcoef(sources.T, found.abundance.T)[:2, 2:]).max(axis=1).round(2).tolist()
    [1.0, 1.0]
    """

    n_components: int = 3
    n_steps: int = 500
    tolerance: float = 1e-6

    def unmix(self, data: Float[np.ndarray, "window feature"], *, rng: np.random.Generator) -> LinearMixture:
        """Return the components; see `UnmixingMethod.unmix`."""
        principal = PrincipalComponents(n_components=self.n_components).unmix(data, rng=rng)
        deviation = principal.abundance.std(axis=0)
        if not (deviation > _TINY * max(float(deviation.max()), _TINY)).all():
            raise InputError("n_components", expected="no more components than the data have directions",
                             got=str(self.n_components))  # fmt: skip
        white = principal.abundance / deviation
        turn = _orthogonal(rng.standard_normal((self.n_components, self.n_components)))
        change = np.inf
        for _ in range(self.n_steps):
            source = np.tanh(white @ turn.T)
            fresh = _orthogonal(source.T @ white / len(white) - (1.0 - source**2).mean(axis=0)[:, None] * turn)
            change = float(np.abs(np.abs((fresh * turn).sum(axis=1)) - 1.0).max())
            turn = fresh
            if change < self.tolerance:
                break
        component = (turn * deviation) @ principal.component
        largest = np.take_along_axis(component, np.abs(component).argmax(axis=1)[:, None], axis=1)
        sign = np.sign(largest)
        order = np.argsort(-np.linalg.norm(component, axis=1), kind="stable")
        result = self._mixture(
            np.asarray(data, float), (sign * component)[order], (white @ turn.T * sign[:, 0])[:, order], principal.mean
        )
        if change >= self.tolerance:
            raise ConvergenceError(
                f"independent components still turn after {self.n_steps} steps; the data may be too near to normal",
                result=result,
            )
        return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimplexVertices(UnmixingMethod):
    """The most extreme windows as end members, by N-FINDR, with fully constrained abundances.

    Attributes
    ----------
    n_components
        How many end members.

    References
    ----------
    M. E. Winter, Proc. SPIE 3753, 266 (1999).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = np.vstack([rng.dirichlet(np.ones(3), 50), np.eye(3)])
    >>> SimplexVertices(n_components=3).unmix(data, rng=rng).component.sum(axis=0).tolist()
    [1.0, 1.0, 1.0]
    """

    n_components: int = 3

    def unmix(self, data: Float[np.ndarray, "window feature"], *, rng: np.random.Generator) -> LinearMixture:  # noqa: ARG002
        """Return the end members; see `UnmixingMethod.unmix`."""
        values = checked_data(data, self.n_components)
        component = values[find_vertices(values, self.n_components)]
        return self._mixture(values, component, constrained_abundances(values, component))


def _alternate(factor: np.ndarray, linear: np.ndarray, gram: np.ndarray) -> None:
    """Improve each column of a non-negative factor in turn, in place."""
    for k in range(gram.shape[0]):
        change = (linear[:, k] - factor @ gram[:, k]) / max(float(gram[k, k]), _TINY)
        factor[:, k] = np.maximum(factor[:, k] + change, 0.0)


def _orthogonal(matrix: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """Return the nearest orthogonal matrix."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
