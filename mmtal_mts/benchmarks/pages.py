"""Puts tables into a Markdown page, and results into a file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mmtal_mts.utils import UserError, json_files
from mmtal_mts.utils.io import atomic_write

from .report import Report


def update_page(path: str | os.PathLike, report: Report) -> None:
    """Replaces the section of a benchmark between its two markers.

    The markers are ``<!-- benchmark: NAME -->`` and ``<!-- end of NAME -->``.

    Args:
        path: Markdown page.
        report: What to put there.

    Raises:
        UserError: If there is no page, or it lacks the markers.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'page {path} does not exist')
    begin, end = f'<!-- benchmark: {report.name} -->', f'<!-- end of {report.name} -->'
    pattern = re.compile(f'{re.escape(begin)}.*?{re.escape(end)}', re.DOTALL)
    page = path.read_text(encoding='utf-8')
    section = f'{begin}\n\n{report.to_markdown()}\n\n{end}'
    page, found = pattern.subn(lambda _: section, page)
    if found != 1:
        raise UserError(
            f'page {path} has {found} sections from {begin} to {end}; expected one'
        )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding='utf-8')


def write_json(path: str | os.PathLike, reports: Sequence[Report]) -> None:
    """Writes everything that was measured.

    Args:
        path: JSON file to write; missing folders are made.
        reports: The reports.
    """
    json_files.write_json(path, [report.to_json() for report in reports])
