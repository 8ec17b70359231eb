"""Monte Carlo on any lattice system: arrangements drawn from the Boltzmann weight, and how far to trust them."""

import importlib
from typing import Any

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


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for those who press TAB."""
    return list(__all__)
