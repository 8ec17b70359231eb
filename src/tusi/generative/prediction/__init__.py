"""What fitted lattice models predict: phase diagrams, transitions, unmeasured conditions, images that nobody took."""

import importlib
from typing import Any

_HOMES = {
    "Conditions": "conditions",
    "FittedModel": "conditions",
    "fitted_model": "conditions",
    "structure_factor": "order",
    "OrderParameter": "order",
    "UniformOrder": "order",
    "WaveOrder": "order",
    "SeparationOrder": "order",
    "find_order": "order",
    "Measurement": "measurement",
    "ObservableTable": "measurement",
    "observables": "measurement",
    "DiagramPlan": "diagram",
    "PhaseDiagram": "diagram",
    "phase_diagram": "diagram",
    "Transition": "transition",
    "find_transition": "transition",
    "ThermodynamicMean": "thermodynamic_mean",
    "SimulatedMean": "thermodynamic_mean",
    "ProcessPrediction": "gaussian_process",
    "ThermodynamicProcess": "gaussian_process",
    "fit_thermodynamic_process": "gaussian_process",
    "Forecast": "forecast",
    "leave_one_out": "forecast",
    "ForecastPlan": "forecast",
    "predict_histogram": "forecast",
    "sample_at": "forecast",
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
