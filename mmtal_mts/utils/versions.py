"""Versions of what is installed."""

from __future__ import annotations

import torch


def torch_version() -> tuple[int, int]:
    """Says which torch runs.

    Returns:
        Its first two numbers, e.g. (2, 13).
    """
    major, minor = torch.__version__.split('.')[:2]
    return int(major), int(minor)
