"""The page that shows the detections of a video beside it."""

from .report import HtmlReportWriter

__all__ = ['HtmlReportWriter']
