"""The report: tables, figures and the page of one study or of several together."""

from samemind.reporting.report import write_report

__all__ = ["write_report"]
