"""The image model that finding fits: round spots of one shape on a slowly varying background."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.numerics.normal_equations import hat_matrix
from tusi.numerics.spots import add_spots, add_width_derivative, weigh

CUTOFF = 4.0
"""Half side of a spot's window, in widths."""

NODE_SPACING = 16.0
"""Smallest distance between background nodes, in widths; more than a window."""

SMALLEST_PLATEAU, LARGEST_PLATEAU = 10, 0.1
"""An image counts as clipped when at least so many pixels, and at most this fraction, share the largest value."""

SMALLEST_VARIANCE = 0.02
"""No pixel is believed to have less than this fraction of the image's mean variance."""


@dataclasses.dataclass(kw_only=True)
class SpotModel:
    """One image and the current parameters of its model, in pixels; changed in place by the refinement."""

    image: Float[np.ndarray, "y x"]
    noise: Float[np.ndarray, " 5"]
    position: Float[np.ndarray, "atom 2"]
    amplitude: Float[np.ndarray, " atom"]
    width: float
    nodes: Float[np.ndarray, "node_y node_x"]
    along_y: Float[np.ndarray, "y node_y"]
    along_x: Float[np.ndarray, "x node_x"]
    correlation_area: float
    stiffness: sparse.csr_array
    buffers: dict[str, np.ndarray] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def area(self) -> float:
        """Integral of a spot of unit amplitude, pixel squared."""
        return 2 * np.pi * self.width**2

    @property
    def spots(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """What the compiled loops take: positions, amplitudes, width, half side of a window."""
        return self.position, self.amplitude, self.width, CUTOFF * self.width

    @property
    def typical_amplitude(self) -> float:
        """Median amplitude, or the image's spread where there is no spot; above zero."""
        typical = np.median(self.amplitude) if len(self.amplitude) else self.image.std()
        return max(float(typical), 1e-100)

    @property
    def ridge(self) -> Float[np.ndarray, " 3"]:
        """Information on (y, x, amplitude) added to a step so that faint spots stay in place; a hundredth atom's."""
        return np.array([0.1 / self.width**2, 0.1 / self.width**2, 0.01 / self.typical_amplitude**2])

    @property
    def node_spacing(self) -> tuple[float, float]:
        """Distance between background nodes, pixel."""
        (rows, columns), (n_y, n_x) = self.image.shape, self.nodes.shape
        return max(rows - 1, 1) / (n_y - 1), max(columns - 1, 1) / (n_x - 1)

    def buffer(self, name: str) -> Float[np.ndarray, "y x"]:
        """Return working memory of the image's size; it is the same memory at every call with this name."""
        if name not in self.buffers:
            self.buffers[name] = np.empty_like(self.image)
        return self.buffers[name]

    def background(self, out: np.ndarray | None = None) -> Float[np.ndarray, "y x"]:
        """Return the background under every pixel."""
        return np.matmul(self.along_y @ self.nodes, self.along_x.T, out=out)

    def render(self) -> Float[np.ndarray, "y x"]:
        """Return the whole model image, in the buffer "model"."""
        image = self.background(self.buffer("model"))
        add_spots(image, *self.spots)
        return image

    def width_derivative(self) -> Float[np.ndarray, "y x"]:
        """Return the derivative of the image by the logarithm of the common width, in the buffer "derivative"."""
        image = self.buffer("derivative")
        image[:] = 0.0
        add_width_derivative(image, *self.spots)
        return image

    def weigh(self, copy: str = "") -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"], float]:
        """Return residual, inverse variance and chi-square of the data against the current model.

        The images are buffers: they hold until the next call with the same `copy`.
        """
        residual, weight = self.buffer("residual" + copy), self.buffer("weight" + copy)
        chi_square = weigh(self.image, self.render(), self.noise, residual, weight)
        return residual, weight, chi_square

    def keep(self, rows: np.ndarray) -> None:
        """Drop all spots but these."""
        self.position, self.amplitude = self.position[rows].copy(), self.amplitude[rows].copy()

    def add(self, position: Float[np.ndarray, "new 2"], amplitude: Float[np.ndarray, " new"]) -> None:
        """Append spots."""
        self.position = np.concatenate([self.position, position])
        self.amplitude = np.concatenate([self.amplitude, amplitude])


def noise_parameters(noise: NoiseModel, image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " 5"]:
    """Return gain, offset, read variance, smallest believable variance and saturation level for the compiled loops."""
    typical = float(noise.variance(np.asarray(image.mean())))
    floor = max(noise.read_variance, SMALLEST_VARIANCE * typical, np.finfo(np.float64).tiny)
    return np.array([noise.gain, noise.offset, noise.read_variance, floor, saturation_level(image)])


def saturation_level(image: Float[np.ndarray, "y x"]) -> float:
    """Return the level at which the image was clipped, or infinity: the maximum, where it comes as plateaus."""
    clipped = image == image.max()
    together = np.zeros_like(clipped)
    for axis in (0, 1):
        first = np.moveaxis(together, axis, 0)
        pairs = np.moveaxis(clipped[1:] & clipped[:-1] if axis == 0 else (clipped[:, 1:] & clipped[:, :-1]).T, 0, 0)
        first[1:] |= pairs
        first[:-1] |= pairs
    n_clipped = int(clipped.sum())
    many = SMALLEST_PLATEAU <= n_clipped < LARGEST_PLATEAU * image.size
    return float(image.max()) if many and together.sum() > n_clipped / 2 else np.inf


def start_model(
    image: Float[np.ndarray, "y x"],
    noise: NoiseModel,
    *,
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    width: float,
) -> SpotModel:
    """Return a model with these spots on a flat background at zero."""
    n_nodes = [max(2, int((size - 1) / (NODE_SPACING * width)) + 1) for size in image.shape]
    return SpotModel(
        image=image,
        noise=noise_parameters(noise, image),
        correlation_area=noise.correlation_area,
        position=np.array(position, dtype=np.float64),
        amplitude=np.array(amplitude, dtype=np.float64),
        width=width,
        nodes=np.zeros(n_nodes),
        along_y=hat_matrix(image.shape[0], n_nodes[0]),
        along_x=hat_matrix(image.shape[1], n_nodes[1]),
        stiffness=_differences(*n_nodes),
    )


def _differences(n_y: int, n_x: int) -> sparse.csr_array:
    """Return the quadratic form that sums the squared differences between neighbouring nodes."""
    along_y, along_x = (
        sparse.diags_array([-np.ones(n), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)) for n in (n_y, n_x)
    )
    rows = sparse.kron(along_y.T @ along_y, sparse.eye_array(n_x))
    return sparse.csr_array(rows + sparse.kron(sparse.eye_array(n_y), along_x.T @ along_x))
