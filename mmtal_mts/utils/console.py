"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

_FILE_WIDTH = 160


def result_console() -> Console:
    """Standard output as a place for tables.

    Returns:
        As wide as the terminal; in a file or a pipe wide enough for any table, whose
        numbers would be cut off otherwise.
    """
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    return console
