"""Statistical normal modes: patterns of displacement or composition that neighbourhoods share beyond chance."""

from tusi.lazy import load_on_use

_HOMES = {
    "ModeSettings": "settings",
    "ModeSplit": "splitting",
    "NormalModes": "result",
    "composition_modes": "composition",
    "displacement_modes": "displacement",
    "split_by_neighbours": "splitting",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
