"""Distortion of the scan, learned as a smooth random function from atoms on a lattice or in the frames of a stack."""

import importlib
from typing import Any

_HOMES = {
    "Distortion": "result",
    "DistortionPrior": "prior",
    "StackDistortion": "stack",
    "fit_distortion": "lattices",
    "fit_stack_distortion": "stack",
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
