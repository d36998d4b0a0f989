"""Reading single values of foreign files: numbers, times and names of videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote

from ..sources import VIDEO_EXTENSIONS

_EXTENSIONS = (*VIDEO_EXTENSIONS, '.npy', '.wav', '.mp3')


def parse_seconds(value: Any) -> float | None:
    """Reads a number, or a time such as '1:02.5', to the nearest double.

    None if it is no finite time.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        if not isinstance(value, str) or ':' not in value:
            seconds = float(value)
        else:
            parts = value.strip().lstrip('-').split(':')
            if len(parts) > 3:
                return None
            # Decimal, because a sum of doubles would be off by an ulp.
            total = Decimal(0)
            for part in parts:
                total = total * 60 + Decimal(part)
            seconds = float(-total if value.strip().startswith('-') else total)
    except (ValueError, OverflowError, InvalidOperation):
        return None
    return seconds if math.isfinite(seconds) else None


def parse_positive(value: Any) -> float | None:
    """Reads a duration or a frame rate; None if it is not a positive number."""
    number = parse_seconds(value)
    return number if number is not None and number > 0 else None


def media_name(path: str) -> str:
    """Takes the file name out of a path or URL, of any operating system."""
    if '://' in path:
        path = unquote(path)
    return path.replace('\\', '/').rstrip('/').rsplit('/', 1)[-1]


def without_extension(name: str) -> str:
    """Cuts off the extension of a video file; other points may belong to the id."""
    stem, point, extension = name.rpartition('.')
    return stem if point and stem and f'.{extension.lower()}' in _EXTENSIONS else name


def shorten(items: Sequence[str], limit: int = 3) -> str:
    """Lists the first items, and ', ...' if there are more."""
    return ', '.join(items[:limit]) + ', ...' * (len(items) > limit)
