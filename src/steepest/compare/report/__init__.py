"""The report of a study: one HTML page and one Markdown file."""

from steepest.compare.report.page import write_report

__all__ = ["write_report"]
