"""What fitted lattice models predict: phase diagrams, transitions, unmeasured conditions, images that nobody took."""

from tusi.lazy import load_on_use

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

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
