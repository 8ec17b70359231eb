"""The image model that finding fits: round spots of one shape on a slowly varying background."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.numerics.normal_equations import hat_matrix
from tusi.numerics.spots import add_shape_derivatives, add_spots, weigh

CUTOFF = 4.0
"""Half side of a spot's window, in widths of its widest Gaussian."""

NODE_SPACING = 16.0
"""Distance between background nodes, in widths of the narrowest Gaussian; at least a window."""

SMALLEST_VARIANCE = 0.02
"""No pixel is believed to have less than this fraction of the image's mean variance."""


@dataclasses.dataclass(kw_only=True)
class SpotModel:
    """One image and the current parameters of its model, in pixels; changed in place by the refinement."""

    image: Float[np.ndarray, "y x"]
    noise: Float[np.ndarray, " 4"]
    position: Float[np.ndarray, "atom 2"]
    amplitude: Float[np.ndarray, " atom"]
    profile: Float[np.ndarray, "gaussian 2"]
    nodes: Float[np.ndarray, "node_y node_x"]
    along_y: Float[np.ndarray, "y node_y"]
    along_x: Float[np.ndarray, "x node_x"]

    @property
    def width(self) -> float:
        """Width of the spot's core, pixel."""
        return float(self.profile[0, 1])

    @property
    def radius(self) -> float:
        """Half side of a spot's window, pixel."""
        return CUTOFF * float(self.profile[:, 1].max())

    @property
    def area(self) -> float:
        """Integral of a spot of unit amplitude, pixel squared."""
        return float(2 * np.pi * (self.profile[:, 0] * self.profile[:, 1] ** 2).sum())

    @property
    def spots(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """What the compiled loops take."""
        return self.position, self.amplitude, self.profile, self.radius

    @property
    def node_spacing(self) -> tuple[float, float]:
        """Distance between background nodes, pixel."""
        return tuple(
            max(size - 1, 1) / (n_nodes - 1) for size, n_nodes in zip(self.image.shape, self.nodes.shape, strict=True)
        )  # pyright: ignore[reportReturnType]

    def background(self) -> Float[np.ndarray, "y x"]:
        """Return the background under every pixel."""
        return self.along_y @ self.nodes @ self.along_x.T

    def render(self) -> Float[np.ndarray, "y x"]:
        """Return the whole model image."""
        image = self.background()
        add_spots(image, *self.spots)
        return image

    def shape_derivatives(self) -> Float[np.ndarray, "shape y x"]:
        """Return the derivative of the image by each shared shape parameter.

        One Gaussian: the logarithm of its width. Two: that, the second's weight, the logarithm of the second's width.
        """
        layers = np.zeros((2 * len(self.profile), *self.image.shape))
        add_shape_derivatives(layers, *self.spots)
        if len(self.profile) == 1:
            return layers[1:]
        weights = self.profile[:, 0]
        return np.stack([weights[0] * layers[1], layers[2] - layers[0], weights[1] * layers[3]])

    def weigh(
        self, model: Float[np.ndarray, "y x"]
    ) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"], float, float]:
        """Return residual, inverse variance, deviance and chi-square of the data against a model image."""
        residual, weight = np.empty_like(model), np.empty_like(model)
        deviance, chi_square = weigh(self.image, model, self.noise, residual, weight)
        return residual, weight, deviance, chi_square

    def keep(self, rows: np.ndarray) -> None:
        """Drop all spots but these."""
        self.position, self.amplitude = self.position[rows].copy(), self.amplitude[rows].copy()

    def add(self, position: Float[np.ndarray, "new 2"], amplitude: Float[np.ndarray, " new"]) -> None:
        """Append spots."""
        self.position = np.concatenate([self.position, position])
        self.amplitude = np.concatenate([self.amplitude, amplitude])


def noise_parameters(noise: NoiseModel, image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " 4"]:
    """Return gain, offset, read variance and the smallest believable variance, as the compiled loops take them."""
    typical = float(noise.variance(np.asarray(image.mean())))
    floor = max(noise.read_variance, SMALLEST_VARIANCE * typical, np.finfo(np.float64).tiny)
    return np.array([noise.gain, noise.offset, noise.read_variance, floor])


def start_model(
    image: Float[np.ndarray, "y x"],
    noise: Float[np.ndarray, " 4"],
    *,
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    width: float,
) -> SpotModel:
    """Return a model with these spots on a flat background at zero."""
    spacing = max(NODE_SPACING, 2 * CUTOFF + 1) * width + 2
    n_nodes = [max(2, round(size / spacing) + 1) for size in image.shape]
    return SpotModel(
        image=image,
        noise=noise,
        position=np.array(position, dtype=np.float64),
        amplitude=np.array(amplitude, dtype=np.float64),
        profile=np.array([[1.0, width]]),
        nodes=np.zeros(n_nodes),
        along_y=hat_matrix(image.shape[0], n_nodes[0]),
        along_x=hat_matrix(image.shape[1], n_nodes[1]),
    )
