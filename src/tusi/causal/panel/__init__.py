"""Within images and between them, at a site and around it, now and before: which samples a question may compare."""

from tusi.lazy import load_on_use

_HOMES = {
    "FrameLags": "space_time",
    "Interference": "separation",
    "LaggedTable": "lagged",
    "LatticeSteps": "stencil",
    "Neighbourhood": "stencil",
    "SimpsonCheck": "simpson",
    "Slope": "slope",
    "SpaceTime": "space_time",
    "TrackedMovie": "tracks",
    "WithinRadius": "stencil",
    "between_slope": "between",
    "interference": "separation",
    "lagged_table": "lagged",
    "pooled_slope": "between",
    "simpson_check": "simpson",
    "simpson_checks": "simpson",
    "tracked_movie": "tracks",
    "with_neighbour_means": "stencil",
    "within_slope": "within",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
