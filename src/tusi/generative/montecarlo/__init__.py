"""Monte Carlo on any lattice system: arrangements drawn from the Boltzmann weight, and how far to trust them."""

from tusi.lazy import load_on_use

_HOMES = {
    "SamplingPlan": "plan",
    "Sampler": "plan",
    "Samples": "samples",
    "draw_samples": "draw",
    "HeatBath": "heat_bath",
    "Exchange": "exchange",
    "Wolff": "cluster_moves",
    "SwendsenWang": "cluster_moves",
    "Tempering": "tempering",
    "PackedIsing": "packed",
    "AcceleratedHeatBath": "accelerated",
    "temper": "tempering",
    "Rungs": "tempering",
}

__all__ = [
    "AcceleratedHeatBath",
    "Exchange",
    "HeatBath",
    "PackedIsing",
    "Rungs",
    "Sampler",
    "Samples",
    "SamplingPlan",
    "SwendsenWang",
    "Tempering",
    "Wolff",
    "draw_samples",
    "temper",
]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
