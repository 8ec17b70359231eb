"""Causal graphs from conditional independences: PC, FCI where causes may be hidden, and causal-learn's searches."""

from tusi.lazy import load_on_use

_HOMES = {
    "CausalLearnFCI": "causal_learn",
    "CausalLearnPC": "causal_learn",
    "ColliderRule": "colliders",
    "ConstraintSearch": "search",
    "Discovery": "search",
    "Evidence": "ledger",
    "FCI": "fci",
    "Mark": "ancestral",
    "MarkovEquivalenceClass": "equivalence",
    "PC": "pc",
    "PartialAncestralGraph": "ancestral",
    "Question": "ledger",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
