"""Causes, not correlations: causal discovery and causal models for samples that are one correlated field."""

from tusi.lazy import load_on_use

_HOMES = {
    "CausalTable": "table",
    "Knowledge": "knowledge",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
