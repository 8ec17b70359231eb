"""The report: one self-contained HTML page, drawn from a result alone, and what to cite for it."""

from tusi.report.causes import render_causes_report, write_causes_report
from tusi.report.inversion import render_inversion_report, write_inversion_report
from tusi.report.inversion_sections import coupling_rows
from tusi.report.page import render_report, write_report
from tusi.report.phase_diagram import render_phase_diagram_report, write_phase_diagram_report
from tusi.report.references import citation, inversion_citation, phase_diagram_citation
from tusi.report.restoration import write_restoration_report
from tusi.report.summary import summary_rows

__all__ = [
    "citation",
    "coupling_rows",
    "inversion_citation",
    "phase_diagram_citation",
    "render_causes_report",
    "render_inversion_report",
    "render_phase_diagram_report",
    "render_report",
    "summary_rows",
    "write_causes_report",
    "write_inversion_report",
    "write_phase_diagram_report",
    "write_report",
    "write_restoration_report",
]
