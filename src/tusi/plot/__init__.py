"""Figures of every stage, drawn on axes that the caller makes; no global plotting state."""

from tusi.plot.canvas import new_figure, style, to_svg
from tusi.plot.clusters import draw_cluster_classes, draw_clusters
from tusi.plot.couplings import draw_couplings
from tusi.plot.forecast import draw_forecast
from tusi.plot.images import draw_atoms, draw_image, draw_vacancies
from tusi.plot.inversion import draw_estimates, draw_expected_error, draw_goodness
from tusi.plot.landscape import draw_landscape
from tusi.plot.lattices import draw_lattice, draw_vectors
from tusi.plot.mixtures import draw_mixture
from tusi.plot.palette import species_map
from tusi.plot.phase_diagram import draw_map, draw_observable, draw_phase_diagram

__all__ = [
    "draw_atoms",
    "draw_cluster_classes",
    "draw_clusters",
    "draw_couplings",
    "draw_estimates",
    "draw_expected_error",
    "draw_forecast",
    "draw_goodness",
    "draw_image",
    "draw_landscape",
    "draw_lattice",
    "draw_map",
    "draw_mixture",
    "draw_observable",
    "draw_phase_diagram",
    "draw_vacancies",
    "draw_vectors",
    "new_figure",
    "species_map",
    "style",
    "to_svg",
]
