"""Searches that move weights continuously until no cycle is left; they depend on scales, so all is standardised."""

from tusi.lazy import load_on_use

_HOMES = {
    "ContinuousModel": "search",
    "ContinuousSearch": "search",
    "acyclic_weights": "descent",
    "acyclicity": "descent",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
