"""The forward model of the microscope, and the noise of an image estimated from the image itself."""

from tusi.imaging.acquisition import Acquisition, Contamination, Detector, Display, acquire
from tusi.imaging.noise import estimate_noise
from tusi.imaging.scene import Distortion, Scene, distort, render_spots

__all__ = [
    "Acquisition",
    "Contamination",
    "Detector",
    "Display",
    "Distortion",
    "Scene",
    "acquire",
    "distort",
    "estimate_noise",
    "render_spots",
]
