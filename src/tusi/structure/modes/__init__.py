"""Statistical normal modes: patterns of displacement or composition that neighbourhoods share beyond chance."""

import importlib
from typing import Any

_HOMES = {
    "ModeSettings": "settings",
    "ModeSplit": "splitting",
    "NormalModes": "result",
    "composition_modes": "composition",
    "displacement_modes": "displacement",
    "split_by_neighbours": "splitting",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, for those who press TAB."""
    return list(__all__)
