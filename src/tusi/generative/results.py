"""What a comparison of lattice Hamiltonians returns: tables that are stored, drawn and quoted as they are."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.units import BOLTZMANN


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HamiltonianFit(Record):
    """One model fitted to all images together: couplings with their uncertainty, and how well it explains the images.

    Energies are in units of kT. All p-values marked `calibrated` come from permutations ("random") or from refitted
    parametric bootstrap replicas (all other models); those marked `naive` are the ones in common use.

    Attributes
    ----------
    model, equation
        Short name of the model, and its energy as an equation.
    parameters
        Names of the couplings; empty for "random".
    value
        Maximum-likelihood couplings, in kT.
    covariance
        Covariance of `value`: inverse Fisher information, label uncertainty and Monte Carlo error included.
    interval
        95 % interval of each coupling (low, high), in kT.
    monte_carlo_error
        The part of the standard error that more sampling would remove, in kT.
    p_value
        Calibrated two-sided p-value of each coupling being zero with the others free; NaN where it was not computed.
    converged, n_iterations
        Whether the likelihood equations were solved, and Newton steps taken.
    effective_sample_size
        Independent Monte Carlo samples behind the moments, in the image that has fewest.
    log_likelihood_gain
        Log-likelihood above that of "random", in nats; 0 for "random".
    gain_naive_p, gain_calibrated_p
        p-value of that gain under "random": chi-square with as many degrees of freedom as couplings, and by
        permutation. 1 for "random".
    distance_value
        Couplings that minimise the pooled squared statistical distance, in kT: the estimate in use in the literature.
    statistical_distance
        Pooled squared statistical distance of the cluster histograms from the model's, `sum_k (N_k/N) s_k^2`, at
        `distance_value`.
    statistical_distance_interval
        Its 95 % interval from the uncertainty of the labels alone.
    naive_p
        `chi2.sf(4 N S^2, 25 n_images)`, the p-value in use in the literature; it is not calibrated.
    calibrated_p
        Calibrated p-value of the pooled distance.
    bic
        `2 N S^2 + (k/2) ln N`, the criterion in use in the literature.
    clic
        Composite-likelihood information criterion of the pseudolikelihood, smaller is better.
    collinearity
        Largest absolute correlation between two couplings; 0 with fewer than two.
    """

    format_name: ClassVar[str] = "hamiltonian-fit"
    row: ClassVar[str] = "parameter"

    model: str
    equation: str
    parameters: tuple[str, ...]
    value: Float[np.ndarray, " parameter"] = array("parameter")
    covariance: Float[np.ndarray, "parameter parameter"] = array("parameter", "parameter_")
    interval: Float[np.ndarray, "parameter 2"] = array("parameter", "bound")
    monte_carlo_error: Float[np.ndarray, " parameter"] = array("parameter")
    p_value: Float[np.ndarray, " parameter"] = array("parameter")
    distance_value: Float[np.ndarray, " parameter"] = array("parameter")
    converged: bool
    n_iterations: int
    effective_sample_size: float
    log_likelihood_gain: float
    gain_naive_p: float
    gain_calibrated_p: float
    statistical_distance: float
    statistical_distance_interval: tuple[float, float]
    naive_p: float
    calibrated_p: float
    bic: float
    clic: float
    collinearity: float

    @property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of each coupling, in kT."""
        return np.sqrt(np.diag(self.covariance))

    def value_at(self, temperature: float) -> Float[np.ndarray, " parameter"]:
        """Return the couplings in eV if the arrangement froze in at this temperature (K)."""
        return self.value * BOLTZMANN * temperature


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NestedTest(Record):
    """Does the larger model explain more than the smaller one? The gain, and its p-value under the smaller model.

    Attributes
    ----------
    smaller, larger
        Names of the two models; the larger one contains the smaller.
    statistic
        Twice the log-likelihood gain.
    n_parameters
        How many couplings the larger model has more.
    naive_p
        From the chi-square distribution with `n_parameters` degrees of freedom.
    calibrated_p
        From permutations (smaller model "random") or refitted bootstrap replicas of it; NaN when not run.
    distance_gain
        Decrease of the pooled squared statistical distance; negative where the larger model came out worse by it.
    distance_gain_p
        p-value of that decrease from the same replicas; NaN when not run.
    """

    format_name: ClassVar[str] = "nested-test"

    smaller: str
    larger: str
    statistic: float
    n_parameters: int
    naive_p: float
    calibrated_p: float
    distance_gain: float
    distance_gain_p: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HamiltonianComparison(Record):
    """All models on all images: couplings, cluster histograms, distances, p-values and what they say in words.

    Attributes
    ----------
    image_names
        Names of the images, in the order of the graphs.
    models
        Names of the models, in the order of `fits`.
    fits
        One fit per model.
    nested_tests
        Every pair of nested models among `models`.
    class_labels
        What the symmetry classes of a site and its ring are, e.g. "Re+2Re o" (`symmetry_classes` has the full labels).
    species
        (species that is not counted, species that is counted), e.g. ("Mo", "Re").
    n_sites, n_free_sites, n_clusters
        Sites of each window, sites whose species the likelihood treats as random, and complete clusters.
    composition
        Expected fraction of the counted species at the centres of complete clusters.
    composition_interval
        Its 95 % interval from the uncertainty of the labels alone.
    statistical_distance
        Squared statistical distance s^2 of each image's histogram from the model's.
    statistical_distance_interval
        Its 95 % interval from the uncertainty of the labels alone.
    naive_p, calibrated_p
        `chi2.sf(4 N s^2, 25)`, and the calibrated p-value, for each model and image.
    observed
        Expected number of clusters of each class in each image, given the label probabilities.
    expected
        Number of clusters of each class under each model.
    null_low, null_high
        Band that holds 95 % of random arrangements of the observed composition.
    predictive_labels
        Names of statistics that were not fitted.
    predictive_p
        Two-sided posterior-predictive p-value of each of them under each model; NaN when not run.
    ranking
        Models from best to worst by CLIC; empty where the search failed and ranking is refused.
    search_failed
        A larger model came out worse than a smaller one that it contains, so the optimum was not found.
    explained
        Models that the data do not reject at 5 % (calibrated, pooled).
    verdict
        The result in words, most important sentence first.
    warnings
        Everything that was also given as a warning.
    temperature
        Temperature (K) that rescales couplings to eV for display; `None` keeps kT.
    n_permutations, n_bootstrap, n_imputations
        Replicas behind the calibrated p-values, and draws of the labels behind the label uncertainty.
    """

    format_name: ClassVar[str] = "hamiltonian-comparison"
    row: ClassVar[str] = "image"

    image_names: tuple[str, ...]
    models: tuple[str, ...]
    fits: tuple[HamiltonianFit, ...]
    nested_tests: tuple[NestedTest, ...]
    class_labels: tuple[str, ...]
    species: tuple[str, ...]
    n_sites: Int[np.ndarray, " image"] = array("image", dtype=np.int64)
    n_free_sites: Int[np.ndarray, " image"] = array("image", dtype=np.int64)
    n_clusters: Int[np.ndarray, " image"] = array("image", dtype=np.int64)
    composition: Float[np.ndarray, " image"] = array("image")
    composition_interval: Float[np.ndarray, "image 2"] = array("image", "bound")
    statistical_distance: Float[np.ndarray, "model image"] = array("model", "image")
    statistical_distance_interval: Float[np.ndarray, "model image 2"] = array("model", "image", "bound")
    naive_p: Float[np.ndarray, "model image"] = array("model", "image")
    calibrated_p: Float[np.ndarray, "model image"] = array("model", "image")
    observed: Float[np.ndarray, "image class"] = array("image", "class")
    expected: Float[np.ndarray, "model image class"] = array("model", "image", "class")
    null_low: Float[np.ndarray, "image class"] = array("image", "class")
    null_high: Float[np.ndarray, "image class"] = array("image", "class")
    predictive_labels: tuple[str, ...] = ()
    predictive_p: Float[np.ndarray, "model statistic"] = array("model", "statistic")
    ranking: tuple[str, ...]
    search_failed: bool
    explained: tuple[str, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    temperature: float | None = None
    n_permutations: int
    n_bootstrap: int
    n_imputations: int

    def __getitem__(self, rows: object) -> "HamiltonianComparison":
        raise TypeError("a HamiltonianComparison cannot be sliced: its arrays have models and images as rows")

    def fit(self, model: str) -> HamiltonianFit:
        """Return the fit of this model.

        Raises
        ------
        KeyError
            The model was not among those compared.
        """
        return dict(zip(self.models, self.fits, strict=True))[model]
