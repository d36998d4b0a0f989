"""Writes JSON files that are whole or not there."""

from __future__ import annotations

import json
import os
from typing import Any

from mmtal_mts.utils.whole_files import whole_file


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file under a temporary name and rename it.

    Numbers are written with all their digits.

    Args:
        path (str | os.PathLike): File to write; missing folders are made.
        content (Any): What to write.

    Raises:
        ValueError: If a number is infinite or NaN, which JSON does not know.
    """
    with whole_file(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write('\n')
