"""From an image to atoms: detect, refine, decide what is present, state how well it is known, compare with truth."""

from tusi.finding.detection import LaplacianOfGaussian
from tusi.finding.find import find_atoms
from tusi.finding.presence import PresenceTest
from tusi.finding.refinement import JointRefinement
from tusi.finding.result import Finding

__all__ = ["Finding", "JointRefinement", "LaplacianOfGaussian", "PresenceTest", "find_atoms"]
