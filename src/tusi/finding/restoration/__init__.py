"""Images freed from the motion of specimen and probe, from images alone: stacks, pairs of scan angles, single rows."""

import importlib
from typing import Any

_HOMES = {
    "FrameFlag": "displacement",
    "NonRigid": "strategies",
    "Restoration": "result",
    "Rigid": "strategies",
    "ScanDisplacement": "displacement",
    "ScanDrift": "strategies",
    "correct_scan_pair": "pairs",
    "register_stack": "stacks",
    "stack_frames": "frames",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
