"""The report: one self-contained HTML page, drawn from a result alone, and what to cite for it."""

from tusi.report.page import render_report, write_report
from tusi.report.references import citation
from tusi.report.summary import summary_rows

__all__ = ["citation", "render_report", "summary_rows", "write_report"]
