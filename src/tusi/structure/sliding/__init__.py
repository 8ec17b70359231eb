"""Transforms of windows that slide over an image: spectra, projections, orientations, or one's own function."""

from tusi.structure.sliding.apply import sliding_fft, sliding_transform, transform_blocks
from tusi.structure.sliding.transforms import FourierTransform, RadonTransform, StructureTensor, Transform
from tusi.structure.sliding.windows import SlidingWindows, windows_for

__all__ = [
    "FourierTransform",
    "RadonTransform",
    "SlidingWindows",
    "StructureTensor",
    "Transform",
    "sliding_fft",
    "sliding_transform",
    "transform_blocks",
    "windows_for",
]
