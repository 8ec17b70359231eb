"""What acts on what in a table of places: discovery, checks, levels, maps, words, and where tables come from."""

from typing import TYPE_CHECKING

from tusi.lazy import load_on_use

if TYPE_CHECKING:
    from tusi.study.causes.analysis import CausalAnalysis
    from tusi.study.causes.discovery import discover_causes
    from tusi.study.causes.options import CausesOptions

_HOMES = {
    "CausalAnalysis": "analysis",
    "CausesOptions": "options",
    "discover_causes": "discovery",
}

__all__ = ["CausalAnalysis", "CausesOptions", "discover_causes"]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
