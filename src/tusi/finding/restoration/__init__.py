"""Images freed from the motion of specimen and probe, from images alone: stacks, pairs of scan angles, single rows."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
