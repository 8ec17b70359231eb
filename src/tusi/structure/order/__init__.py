"""Order parameters with error bars: cells, strain, polarisation, tilt, dimerisation, short-range and bond order."""

from tusi.lazy import load_on_use

_HOMES = {
    "Alternation": "patterns",
    "BornCharge": "off_centring",
    "Cage": "off_centring",
    "Dimerised": "waves",
    "GeometricPhase": "phase_analysis",
    "HiddenDisplacementTest": "hidden",
    "HiddenDisplacements": "hidden",
    "OffCentreSites": "ring_sites",
    "PairDistribution": "pairs",
    "ShortRangeOrder": "short_range",
    "alternations": "patterns",
    "bond_alternation": "waves",
    "bond_order": "bonds",
    "dimerisation": "waves",
    "displacement_scatter": "disorder",
    "find_cage": "off_centring",
    "fit_off_centre_sites": "ring_sites",
    "geometric_phase": "phase_analysis",
    "hidden_displacements": "hidden",
    "pair_distribution": "pairs",
    "polarisation": "off_centring",
    "row_curvature": "curvature",
    "short_range_order": "short_range",
    "strain": "strains",
    "tilt": "tilts",
    "unit_cells": "cells",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
