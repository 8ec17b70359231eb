"""What can be wrong with an atom: one table of bits generates the decoder and the documentation."""

import enum

import numpy as np
from jaxtyping import Int


class AtomFlag(enum.IntFlag):
    """Bits of `Atoms.flags`; an atom without bits is good."""

    EDGE = 1
    NOT_CONVERGED = 2
    UNLIKELY = 4
    OVERLAPPING = 8
    SATURATED = 16
    POOR_FIT = 32
    FAILED = 64


DESCRIPTIONS = {
    AtomFlag.EDGE: "closer than two spot widths to the edge of the image; its position may be biased",
    AtomFlag.NOT_CONVERGED: "the refinement stopped before it converged",
    AtomFlag.UNLIKELY: "its presence probability is below one half",
    AtomFlag.OVERLAPPING: "another atom lies within two spot widths",
    AtomFlag.SATURATED: "pixels under the spot are at the detector's or display's limit",
    AtomFlag.POOR_FIT: "the spot's shape differs from the model by more than noise allows",
    AtomFlag.FAILED: "no finite fit; the row is NaN",
}
"""What each bit means, for people."""

UNUSABLE = AtomFlag.NOT_CONVERGED | AtomFlag.UNLIKELY | AtomFlag.FAILED
"""Atoms with any of these bits take no part in later stages."""


def decode(flags: int) -> list[str]:
    """Return the names of the bits that are set.

    Examples
    --------
    >>> decode(3)
    ['EDGE', 'NOT_CONVERGED']
    """
    return [str(flag.name) for flag in AtomFlag if flag & flags]


def has(flags: Int[np.ndarray, " atom"], bits: AtomFlag) -> np.ndarray:
    """Return for each atom whether any of these bits is set.

    Examples
    --------
    >>> has(np.array([0, 1, 6]), AtomFlag.EDGE | AtomFlag.UNLIKELY).tolist()
    [False, True, True]
    """
    return (flags & int(bits)) != 0
