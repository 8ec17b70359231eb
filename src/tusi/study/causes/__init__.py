"""What acts on what in a table of places: discovery, checks, levels, maps, words, and where tables come from."""

from typing import TYPE_CHECKING

from tusi.lazy import load_on_use

if TYPE_CHECKING:
    from tusi.study.causes.analysis import CausalAnalysis
    from tusi.study.causes.discovery import discover_causes
    from tusi.study.causes.movies import MovieCauses, MovieOptions, discover_in_time
    from tusi.study.causes.options import CausesOptions

_HOMES = {
    "CausalAnalysis": "analysis",
    "CausesOptions": "options",
    "MovieCauses": "movies",
    "MovieOptions": "movies",
    "discover_causes": "discovery",
    "discover_in_time": "movies",
}

__all__ = ["CausalAnalysis", "CausesOptions", "MovieCauses", "MovieOptions", "discover_causes", "discover_in_time"]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
