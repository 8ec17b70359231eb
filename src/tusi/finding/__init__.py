"""From an image to atoms: detect, refine, decide what is present, state how well it is known, compare with truth."""

from tusi.finding.bound import localisation_bound
from tusi.finding.channels import measure_channel
from tusi.finding.detection import LaplacianOfGaussian
from tusi.finding.find import find_atoms
from tusi.finding.matching import Match, match_atoms
from tusi.finding.presence import PresenceTest
from tusi.finding.refinement import JointRefinement
from tusi.finding.result import Finding
from tusi.finding.sites import test_presence

__all__ = [
    "Finding",
    "JointRefinement",
    "LaplacianOfGaussian",
    "Match",
    "PresenceTest",
    "find_atoms",
    "localisation_bound",
    "match_atoms",
    "measure_channel",
    "test_presence",
]
