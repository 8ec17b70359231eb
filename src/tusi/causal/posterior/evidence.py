"""Evidence of linear-Gaussian causal models, family by family, from as many samples as the fields are worth."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import multigammaln

from tusi.causal.measurement import LEAST_RELIABILITY, mean_error
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending, Layout, PairLags

ALIKE = 2.0
"""Pairs whose effective sample sizes are within this factor of the smallest count as equally smooth: the smallest of
several estimates of one number is too small."""

MOST_VARIABLES = 14
"""Variables up to which all families are listed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FamilyEvidence:
    """Log evidence of every variable given every possible set of direct causes, in that of having none.

    Attributes
    ----------
    log_evidence
        Entry (k, j, s): of variable j with the causes whose bits are set in s, at the k-th strength of the prior; minus
        infinity where j is among them.
    names
        The variables.
    n_effective
        Independent samples that the evidence was worth.
    correlation
        Of the variables, corrected for errors.
    """

    log_evidence: Float[np.ndarray, "strength variable subset"]
    names: tuple[str, ...]
    n_effective: float
    correlation: Float[np.ndarray, "variable variable_"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Standardised:
    """Variables of standard deviation one after detrending.

    Attributes
    ----------
    value
        One column for each variable.
    error
        Mean covariance of their errors.
    reliable
        Share of each variance that is not error.
    correlation
        Of what they would be without error.
    layout
        Where the rows lie.
    freedom
        Degrees of freedom that were taken out, beyond one mean.
    """

    value: Float[np.ndarray, "row variable"]
    error: Float[np.ndarray, "variable variable_"]
    reliable: Float[np.ndarray, " variable"]
    correlation: Float[np.ndarray, "variable variable_"]
    layout: Layout
    freedom: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianEvidence:
    """The evidence of a linear-Gaussian model with a Wishart prior (BGe), the same for equivalent graphs.

    Rows of an image are not independent samples: the likelihood is raised to the power n_eff/n, where n_eff is that of
    the smoothest pairs of variables (the harmonic mean of all within twice the smallest), so that no edge is believed
    on the strength of samples that are not there. Known errors of the values are taken off the covariance, and the
    samples count as much less as the errors make a correlation less certain. Variables are standardised first: units
    decide nothing.

    How large effects are is not known beforehand: the strength of the prior is one of several, equally probable, and
    the posterior over graphs averages over them.

    Attributes
    ----------
    detrending
        What is taken out of all variables first; the mean of each image at least.
    strengths
        Weights that the prior may have, in samples; direct effects are about one over the root of it.

    References
    ----------
    J. Kuipers, G. Moffa, D. Heckerman, Ann. Statist. 42, 1689 (2014), for the evidence.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> x, noise = np.random.default_rng(0).standard_normal((2, 400))
    >>> table = CausalTable.of({"x": x, "y": x + noise}, layout=Layout.grid((20, 20)))
    >>> found = GaussianEvidence().families(table)
    >>> bool((found.log_evidence[:, 1, 0b01] > 20).all())
    True
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)
    strengths: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise InputError("strengths", expected="positive numbers of samples", got=str(self.strengths))

    def families(self, table: CausalTable) -> FamilyEvidence:
        """Return the evidence of all families of a table's variables.

        Parameters
        ----------
        table
            Between two and fourteen variables, none of which is constant.

        Raises
        ------
        InputError
            There are too few or too many variables, or one does not vary within the images.
        """
        if not 2 <= table.n_variables <= MOST_VARIABLES:
            got = f"{table.n_variables} variables"
            raise InputError("table", expected=f"between 2 and {MOST_VARIABLES} variables", got=got)
        correlation, n_effective = self.samples(table)
        everything = np.arange(1 << table.n_variables)
        families = np.full((len(self.strengths), table.n_variables, len(everything)), -np.inf)
        for k, strength in enumerate(self.strengths):
            subsets = log_evidence_of_subsets(correlation, n_effective, strength=strength)
            for j in range(table.n_variables):
                free = everything[(everything >> j) & 1 == 0]
                families[k, j, free] = subsets[free | (1 << j)] - subsets[free] - subsets[1 << j]
        return FamilyEvidence(
            log_evidence=families, names=table.names, n_effective=n_effective, correlation=correlation
        )

    def samples(self, table: CausalTable) -> tuple[Float[np.ndarray, "variable variable_"], float]:
        """Return the correlations of a table's variables, and how many independent samples they rest on.

        Parameters
        ----------
        table
            The variables.
        """
        standard = self.standardised(table)
        most = max(len(standard.value) - standard.freedom, 2.0)
        return standard.correlation, float(np.clip(typical_size(self._sizes(standard)), 2.0, most))

    def standardised(self, table: CausalTable) -> Standardised:
        """Return the variables without trends and of standard deviation one.

        Parameters
        ----------
        table
            The variables, none of which is constant within the images.
        """
        detrended = self.detrending(table.value, table.layout)
        value, layout = detrended.value, detrended.layout
        spread = value.std(axis=0)
        still = [
            name
            for name, left, full in zip(table.names, spread, np.abs(table.value).max(axis=0), strict=True)
            if left <= 1e-9 * full or left == 0
        ]
        if still:
            raise InputError(
                "table", expected="variables that vary within the images", got=f"constant {', '.join(still)}",
                then="Compare images with `tusi.causal.panel`, or leave these variables out.",
            )  # fmt: skip
        value = value / spread
        error = mean_error(table, detrended) / np.outer(spread, spread)
        reliable = np.clip(1 - np.diagonal(error), LEAST_RELIABILITY, 1.0)
        covariance = value.T @ value / len(value) - error
        correlation = _nearest_correlation(covariance / np.sqrt(np.outer(reliable, reliable)))
        return Standardised(
            value=value, error=error, reliable=reliable, correlation=correlation, layout=layout,
            freedom=detrended.freedom,
        )  # fmt: skip

    def _sizes(self, standard: Standardised) -> Float[np.ndarray, " pair"]:
        """Return how many independent samples each pair of variables is worth."""
        value, reliable = standard.value, standard.reliable
        lags = PairLags(standard.layout)
        sums = [lags.sums(column) for column in value.T]
        return np.array([
            pair_size(len(value) ** 2, lags.variance_of_products(sums[i], sums[j]), len(value))
            * reliable[i] * reliable[j]
            for i in range(len(sums)) for j in range(i)
        ])  # fmt: skip


def pair_size(squares: float, variance: float, n_rows: int) -> float:
    """Return how many independent samples two fields are worth; at most four times as many as there are rows.

    Parameters
    ----------
    squares
        Product of their sums of squares.
    variance
        Of the sum of their products; an estimate of it may be negative.
    n_rows
        Number of rows.
    """
    return 1.0 + squares / max(variance, squares / (4.0 * n_rows))


def typical_size(sizes: Float[np.ndarray, " pair"]) -> float:
    """Return the harmonic mean of the smallest sizes, all within a factor of `ALIKE`.

    Parameters
    ----------
    sizes
        Of all pairs.
    """
    return float(1 / np.mean(1 / sizes[sizes <= ALIKE * sizes.min()]))


def log_evidence_of_subsets(
    correlation: Float[np.ndarray, "variable variable_"], n_samples: float, *, strength: float = 1.0
) -> Float[np.ndarray, " subset"]:
    """Return the log evidence of every set of variables, all of them connected freely.

    The evidence of variable j with causes s is that of s and j together less that of s. Prior: the inverse covariance
    of the variables follows a Wishart law about the unit matrix.

    Parameters
    ----------
    correlation
        Of the variables, which have mean zero.
    n_samples
        Independent samples; need not be whole.
    strength
        Weight of the prior, in samples.

    Returns
    -------
    numpy.ndarray
        Entry s: of the variables whose bits are set in s.

    References
    ----------
    J. Kuipers, G. Moffa, D. Heckerman, Ann. Statist. 42, 1689 (2014), equation 15, with known mean.

    Examples
    --------
    >>> strong = log_evidence_of_subsets(np.array([[1.0, 0.9], [0.9, 1.0]]), 100.0)
    >>> bool(strong[0b11] - strong[0b01] - strong[0b10] > 50)
    True
    """
    n_variables = len(correlation)
    scatter = strength * np.eye(n_variables) + n_samples * correlation
    out = np.zeros(1 << n_variables)
    for subset in range(1, 1 << n_variables):
        own = [k for k in range(n_variables) if subset >> k & 1]
        size = len(own)
        before = strength + 1.0 + size
        after = n_samples + before
        out[subset] = (
            -0.5 * size * n_samples * np.log(np.pi)
            + multigammaln(after / 2, size)
            - multigammaln(before / 2, size)
            + 0.5 * before * size * np.log(strength)
            - 0.5 * after * np.linalg.slogdet(scatter[np.ix_(own, own)])[1]
        )
    return out


def slopes_given(
    correlation: Float[np.ndarray, "variable variable_"],
    n_effective: float,
    *,
    causes: Int[np.ndarray, " cause"],
    effect: int,
) -> tuple[Float[np.ndarray, " cause"], Float[np.ndarray, " cause"]]:
    """Return direct effects of causes in standard deviations, each with the others held fixed, and their variances.

    Parameters
    ----------
    correlation
        Of the variables.
    n_effective
        Independent samples that it rests on.
    causes, effect
        Numbers of variables.

    Examples
    --------
    >>> slope, variance = slopes_given(np.array([[1.0, 0.6], [0.6, 1.0]]), 67.0, causes=np.array([0]), effect=1)
    >>> slope.round(3), variance.round(3)
    (array([0.6]), array([0.01]))
    """
    inside = correlation[np.ix_(causes, causes)]
    slope = np.linalg.solve(inside, correlation[causes, effect])
    left = max(1 - float(slope @ correlation[causes, effect]), 0.0)
    freedom = max(n_effective - len(causes) - 2, 1.0)
    return slope, np.diagonal(np.linalg.inv(inside)) * left / freedom


def effects_given(
    correlation: Float[np.ndarray, "variable variable_"],
    n_effective: float,
    *,
    arrow: Bool[np.ndarray, "cause effect"],
) -> tuple[Float[np.ndarray, "cause effect"], Float[np.ndarray, "cause effect"]]:
    """Return the direct effects of a graph in standard deviations and their standard errors; NaN without an arrow.

    Parameters
    ----------
    correlation
        Of the variables.
    n_effective
        Independent samples that it rests on.
    arrow
        The graph.

    Examples
    --------
    >>> graph = np.array([[False, True], [False, False]])
    >>> effects_given(np.array([[1.0, 0.6], [0.6, 1.0]]), 67.0, arrow=graph)[0].round(3).tolist()
    [[nan, 0.6], [nan, nan]]
    """
    slope, error = np.full((2, *arrow.shape), np.nan)
    for effect in np.flatnonzero(arrow.any(axis=0)):
        causes = np.flatnonzero(arrow[:, effect])
        slope[causes, effect], variance = slopes_given(correlation, n_effective, causes=causes, effect=int(effect))
        error[causes, effect] = np.sqrt(variance)
    return slope, error


def _nearest_correlation(matrix: np.ndarray) -> Float[np.ndarray, "variable variable_"]:
    """Return a correlation matrix whose eigenvalues are not smaller than errors of its entries allow."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    fixed = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    scale = np.sqrt(np.diagonal(fixed))
    return fixed / np.outer(scale, scale)
