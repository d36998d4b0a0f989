"""How the frames in a folder were extracted, as it stands beside them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtal_mts.utils import UserError

RECORD_FILE = 'extraction.json'


@dataclass(frozen=True)
class ExtractionRecord:
    """What a reader of extracted frames needs to know.

    Attributes:
        layout (str): 'npy' or 'frames'.
        modality (str): 'RGB' or 'Flow'.
        fps (float, optional): Frames per second of video.
        num_frames (int, optional): Instead, frames per video whatever its length.
    """

    layout: str
    modality: str
    fps: float | None
    num_frames: int | None

    def rate(self, duration: float) -> float:
        """Returns the frames per second of a video of so many seconds."""
        return self.fps if self.fps is not None else self.num_frames / duration


def read_raw_record(folder: str | os.PathLike) -> dict[str, Any] | None:
    """Reads everything that stands beside extracted frames.

    Args:
        folder (str | os.PathLike): Folder of one modality.

    Returns:
        dict, optional: None if there is no record.

    Raises:
        UserError: If the record cannot be read.
    """
    path = Path(folder) / RECORD_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(
            f'{path}: not valid JSON ({error}). Extract into another folder, or remove '
            'this one.'
        ) from error
    if not isinstance(content, dict):
        raise UserError(f'{path}: must be an object, got {content!r}')
    return content


def read_record(folder: str | os.PathLike) -> ExtractionRecord | None:
    """Reads how the frames in a folder were extracted.

    Args:
        folder (str | os.PathLike): Folder of one modality.

    Returns:
        ExtractionRecord, optional: None if ``extract_clips.py`` did not make it.

    Raises:
        UserError: If the record cannot be read.
    """
    content = read_raw_record(folder)
    if content is None:
        return None
    values = {key: content.get(key) for key in ExtractionRecord.__dataclass_fields__}
    record = ExtractionRecord(**values)
    if (record.fps is None) == (record.num_frames is None):
        raise UserError(
            f'{Path(folder) / RECORD_FILE}: needs either "fps" or "num_frames", got '
            f'{record.fps} and {record.num_frames}'
        )
    return record
