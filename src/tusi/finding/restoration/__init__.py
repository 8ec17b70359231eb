"""Images freed from the motion of specimen and probe, from images alone: stacks, pairs of scan angles, single rows."""

import importlib
from typing import Any

_HOMES = {
    "Exposure": "exposure",
    "FrameFlag": "displacement",
    "NonRigid": "strategies",
    "Restoration": "result",
    "Rigid": "strategies",
    "RowJitter": "row_jitter",
    "ScanDisplacement": "displacement",
    "ScanDrift": "strategies",
    "correct_scan_pair": "pairs",
    "estimate_exposure": "exposure",
    "estimate_row_jitter": "row_jitter",
    "register_stack": "stacks",
    "restore_frames": "resampling",
    "stack_frames": "frames",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
