"""From atomically resolved images to the physics that made them, with uncertainties that have been checked."""

import importlib
from importlib.metadata import version as _version

__version__ = _version("tusi")

_PACKAGES = frozenset(
    {"data", "datasets", "finding", "generative", "imaging", "inference", "io", "plot", "report", "structure", "study"}
)

__all__ = ["__version__", *sorted(_PACKAGES)]


def __getattr__(name: str) -> object:
    """Import a package the first time it is named, so that `import tusi` stays instant (PEP 562)."""
    if name in _PACKAGES:
        return importlib.import_module(f"tusi.{name}")
    raise AttributeError(f"module 'tusi' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
