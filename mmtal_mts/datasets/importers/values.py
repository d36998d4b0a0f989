"""Reading single values of foreign files."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote

from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS


def parse_seconds(value: Any) -> float | None:
    """Reads a time without rounding.

    Args:
        value (Any): A number, or text such as '18.6', '1:02.5' or '00:01:02.50'.

    Returns:
        float, optional: Seconds, the double nearest to what stands there; None if it
        is no finite time.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        if not isinstance(value, str):
            seconds = float(value)
        elif ':' in value:
            parts = value.strip().lstrip('-').split(':')
            if len(parts) > 3:
                return None
            # Decimal, because a sum of doubles would be off by an ulp.
            total = Decimal(0)
            for part in parts:
                total = total * 60 + Decimal(part)
            seconds = float(-total if value.strip().startswith('-') else total)
        else:
            seconds = float(value)
    except (ValueError, OverflowError, InvalidOperation):
        return None
    return seconds if math.isfinite(seconds) else None


def parse_positive(value: Any) -> float | None:
    """Reads a duration or a frame rate.

    Args:
        value (Any): A number or text.

    Returns:
        float, optional: None if it is not a positive number.
    """
    number = parse_seconds(value)
    return number if number is not None and number > 0 else None


def media_name(path: str) -> str:
    """Takes the file name out of a path or URL, of any operating system.

    Args:
        path (str): E.g. 'file:///C:/My%20clips/a.mp4' or 'clips\\\\a.mp4'.

    Returns:
        str: E.g. 'a.mp4'.
    """
    if '://' in path:
        path = unquote(path)
    return path.replace('\\', '/').rstrip('/').rsplit('/', 1)[-1]


def without_extension(name: str) -> str:
    """Cuts the extension of a video file off.

    Args:
        name (str): File name.

    Returns:
        str: The name; unchanged if it does not end like a video file, because ids
        may contain points.
    """
    stem, point, extension = name.rpartition('.')
    known = (*VIDEO_EXTENSIONS, '.npy', '.wav', '.mp3')
    return stem if point and stem and f'.{extension.lower()}' in known else name
