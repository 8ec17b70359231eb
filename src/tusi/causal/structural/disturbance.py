"""The autocovariance of an equation's noise, as far as a fit lets it be seen, and what it says of sums of products."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import fft

from tusi.causal.bootstrap import correlation_length
from tusi.inference.spatial import AdaptiveHighPass, Centring, Detrending, HighPass, Layout, PairLags, Polynomial
from tusi.inference.spatial.lags import LagSums

LENGTHS = 4.0
"""Lags that are always used in full, in correlation lengths of the noise: those of a Gaussian are gone beyond."""

LEAST_CELLS = 4.0
"""The same in raster cells."""

ENOUGH_FREEDOM = 20.0
"""Degrees of freedom with which longer lags are used too: Student's t is then wider by a fifteenth."""

MOST_DIRECTIONS, N_MIXTURES = 16, 16
"""Directions that are taken one by one at most, and mixtures that stand for more of them."""

SPARE = 5
"""Random fields beyond the number of directions that they are to span."""

N_CORRECTIONS = 3
"""How often the autocovariance is corrected for what was taken out of noise that has it."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NoiseCovariance:
    """The autocovariance of the noise of an equation.

    Residuals vary less than noise, and less alike, since the fit has followed them: what it took out is put back, for
    noise of the autocovariance that results. Lags count in full up to a reach, and fade out at twice the reach.

    Attributes
    ----------
    lags
        Pairs of rows.
    covariance
        At each lag, in each image.
    weight
        One over the number of pairs at each lag, faded.

    References
    ----------
    D. N. Politis and J. P. Romano, J. Time Ser. Anal. 16, 67 (1995), for the fading; R. M. Bell and D. F. McCaffrey,
    Survey Methodol. 28, 169 (2002), for the correction and the degrees of freedom.
    """

    lags: PairLags
    covariance: LagSums
    weight: LagSums

    @classmethod
    def of_residuals(
        cls, residual: Float[np.ndarray, " row"], *, removed: Float[np.ndarray, "row direction"],
        used: Float[np.ndarray, "row sum"], lags: PairLags,
        rng: np.random.Generator,
    ) -> "NoiseCovariance":  # fmt: skip
        """Return the autocovariance, lags used as far as leaves enough degrees of freedom.

        Parameters
        ----------
        residual
            What the fit left.
        removed
            The fit subtracts these directions times their products with the noise; the mean of each image goes too.
        used
            Weights of the sums that the covariance is wanted for.
        lags
            Pairs of rows.
        rng
            Source of randomness, for a sketch of what was removed in many directions.
        """
        least = _reach(residual, lags)
        longest = max(max(lags.layout.shape(image)) for image in range(lags.layout.n_images)) / 2
        reach = max(least, longest)
        while True:
            found = cls._within(residual, lags, reach)
            if reach == least or found.freedom(used) >= ENOUGH_FREEDOM:
                return found._corrected(removed, used, _sketch(removed.shape[1], rng))
            reach = max(reach / 2**0.5, least)

    @classmethod
    def of_field(cls, field: Float[np.ndarray, " row"], *, lags: PairLags) -> "NoiseCovariance":
        """Return the autocovariance of a field as it is, within a few correlation lengths.

        Parameters
        ----------
        field
            Its values, about their mean.
        lags
            Pairs of rows.
        """
        return cls._within(field, lags, _reach(field, lags))

    @classmethod
    def _within(cls, field: Float[np.ndarray, " row"], lags: PairLags, reach: float) -> "NoiseCovariance":
        weight = _faded(lags, reach)
        covariance = tuple(a * b for a, b in zip(lags.sums(field), weight, strict=True))
        return cls(lags=lags, weight=weight, covariance=covariance)

    @property
    def n_lags(self) -> float:
        """Number of lags that are used, faded ones in part, in the mean over images."""
        sums = self.lags.sums(np.ones(len(self.lags.layout)))
        return float(np.mean([(one * own).sum() for one, own in zip(self.weight, sums, strict=True)]))

    def of_sums(self, weights: Float[np.ndarray, "row sum"]) -> Float[np.ndarray, "sum sum_"]:
        """Return the covariance of weighted sums over the noise of all rows.

        Parameters
        ----------
        weights
            One column for each sum.
        """
        n_sums = weights.shape[1]
        out = np.empty((n_sums, n_sums))
        for a in range(n_sums):
            for b in range(a + 1):
                products = self.lags.sums(weights[:, a], weights[:, b])
                value = sum(float((one * own).sum()) for one, own in zip(products, self.covariance, strict=True))
                out[a, b] = out[b, a] = value
        return out

    def freedom(self, weights: Float[np.ndarray, "row sum"]) -> float:
        """Return on how many degrees of freedom the variance of a weighted sum rests, the least of all sums.

        The variance is a quadratic form in the residuals; its mean and variance are matched to those of a chi-square
        (Satterthwaite), traces of matrices taken as integrals over the spectra of both fields.

        Parameters
        ----------
        weights
            One column for each sum.
        """
        return min((self._freedom(column) for column in weights.T), default=np.inf)

    def _freedom(self, weights: Float[np.ndarray, " row"]) -> float:
        mean = square = 0.0
        for image, own in enumerate(self.lags.sums(weights)):
            share = len(self.lags.layout.rows(image)) / own.size
            form = fft.rfft2(own * self.weight[image]).real
            spectrum = np.maximum(fft.rfft2(self.covariance[image]).real, 0.0)
            both = np.full(form.shape[1], 2.0)
            both[0] = 1.0
            if own.shape[1] % 2 == 0:
                both[-1] = 1.0
            mean += share * float((form * spectrum * both).sum())
            square += share * float(((form * spectrum) ** 2 * both).sum())
        return mean**2 / square if square > 0 else np.inf

    def _corrected(self, removed: np.ndarray, used: np.ndarray, sketch: np.ndarray) -> "NoiseCovariance":
        """Return the autocovariance of noise whose residuals have this one on average.

        What is put back is itself seen through the fit, hence by iteration; steps are short where fits that allow for
        errors have added to the noise instead of following it.
        """
        out, step = self, 0.0
        for _ in range(N_CORRECTIONS):
            taken = out._taken_out(removed, sketch)
            whole = tuple(a + b * c for a, b, c in zip(self.covariance, taken, self.weight, strict=True))
            if not step:
                before, after = (
                    float(np.trace(dataclasses.replace(self, covariance=one).of_sums(used)))
                    for one in (self.covariance, whole)
                )
                step = 1 / (1 + max(before - after, 0.0) / before) if before > 0 else 1.0
            moved = tuple(a + step * (b - a) for a, b in zip(out.covariance, whole, strict=True))
            out = dataclasses.replace(self, covariance=moved)
        return out

    def _taken_out(self, removed: Float[np.ndarray, "row direction"], sketch: np.ndarray) -> LagSums:
        """Return by how much the fit and the means of images lower the noise's lag sums on average."""
        layout = self.lags.layout
        rows = [layout.rows(image) for image in range(layout.n_images)]
        local = [np.column_stack([np.full(len(own), len(own) ** -0.5), removed[own]]) for own in rows]
        mixed = [np.column_stack([own[:, :1], own[:, 1:] @ sketch]) for own in local]
        turned = [self._applied(own, image) for image, own in enumerate(mixed)]
        inner = [one.T @ other for one, other in zip(local, turned, strict=True)]
        shared = sum(one[1:, 1:] for one in inner)
        out = []
        for image, own in enumerate(local):
            inner[image][1:, 1:] = shared
            pair = mixed[image], 2 * turned[image] - own @ inner[image]
            first, second = (self._waves(one, image) for one in pair)
            out.append(fft.irfft2(np.real(first.conj() * second).sum(axis=0), self.covariance[image].shape))
        return tuple(out)

    def _applied(self, columns: Float[np.ndarray, "own column"], image: int) -> Float[np.ndarray, "own column"]:
        """Return the covariance matrix of the noise in an image times columns."""
        covariance = self.covariance[image]
        product = fft.irfft2(self._waves(columns, image) * fft.rfft2(covariance), covariance.shape)
        cell = self.lags.layout.cell[self.lags.layout.rows(image)]
        return product[:, cell[:, 0], cell[:, 1]].T

    def _waves(self, columns: Float[np.ndarray, "own column"], image: int) -> np.ndarray:
        layout = self.lags.layout
        full = np.zeros((len(layout), columns.shape[1]))
        full[layout.rows(image)] = columns
        return fft.rfft2(np.moveaxis(layout.raster(full, image), -1, 0), self.covariance[image].shape)


def _sketch(n_directions: int, rng: np.random.Generator) -> Float[np.ndarray, "direction mixture"]:
    """Return all directions, or, where they are many, mixtures of random signs whose squares average to all."""
    if n_directions <= MOST_DIRECTIONS:
        return np.eye(n_directions)
    return rng.choice((-1.0, 1.0), size=(n_directions, N_MIXTURES)) / N_MIXTURES**0.5


def projected_out(
    detrending: Detrending | None, layout: Layout, *, rng: np.random.Generator
) -> Float[np.ndarray, "row direction"]:
    """Return an orthonormal basis of what a detrending takes out of fields, beyond the means of images.

    What is missing from random fields spans it. None of it is known, and the basis is empty, where the waves that are
    left have been evened out.

    Parameters
    ----------
    detrending
        Polynomials or long waves.
    layout
        Where the rows lie.
    rng
        Source of randomness.
    """
    nothing = np.zeros((len(layout), 0))
    if detrending is None or not isinstance(detrending, AdaptiveHighPass | HighPass | Polynomial):
        return nothing
    # Rows that a detrending has cut off at borders leave smaller full rasters behind.
    origin = [layout.cell[layout.rows(image)].min(axis=0) for image in range(layout.n_images)]
    layout = dataclasses.replace(layout, cell=layout.cell - np.array(origin)[layout.image])
    trial = rng.standard_normal((len(layout), 1))
    first = detrending(trial, layout)
    if len(first.kept) < len(layout) or not np.allclose(detrending(first.value, layout).value, first.value):
        return nothing
    fields = rng.standard_normal((len(layout), first.freedom + layout.n_images + SPARE))
    missing = fields - detrending(fields, layout).value
    missing = Centring()(missing, layout).value
    left, singular, _ = np.linalg.svd(missing, full_matrices=False)
    return left[:, singular > 1e-6 * singular[0]]


def _reach(field: Float[np.ndarray, " row"], lags: PairLags) -> float:
    """Return the lag up to which the autocovariance of a field must be used in full."""
    return max(LENGTHS * correlation_length(field, lags=lags), LEAST_CELLS)


def _faded(lags: PairLags, reach: float) -> LagSums:
    """Return one over the number of pairs at each lag, times a weight that falls from one at a reach to zero at two."""
    out = []
    for share in lags.share:
        y, x = (fft.fftfreq(n, 1 / n) for n in share.shape)
        out.append(share * np.clip(2 - np.hypot(y[:, None], x[None, :]) / reach, 0, 1))
    return tuple(out)
