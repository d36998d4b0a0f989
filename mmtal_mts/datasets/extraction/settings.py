"""What an extraction makes, and the record of it beside the files."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmtal_mts.utils import UserError
from mmtal_mts.utils.json_files import write_json

from ..extraction_record import RECORD_FILE, read_raw_record
from ..transforms.stored_frames import CHANNELS, open_array
from ..transforms.video_readers import VideoReadError
from .flow import FLOW_METHODS
from .sampled_video import SamplingGrid

_BLOCK = 4096
# Bytes per pixel and channel of JPEG images, rounded up from measured ones.
_JPEG_BYTES = 0.15
LAYOUTS = ('npy', 'frames')


@dataclass(frozen=True)
class ExtractionSettings:
    """What is made of every video.

    Attributes:
        modalities (tuple): 'RGB', 'Flow' or both, which decodes once.
        layout (str): 'npy' (an array (T, H, W, C) uint8 per video) or 'frames' (a
            folder of JPEG images per video).
        grid (SamplingGrid): Which frames.
        side (int): Height and width in pixels.
        flow_method (str): 'tvl1', 'dis' or 'farneback'.
        flow_bound (float): Largest flow in pixels of the scaled frames.
    """

    modalities: tuple[str, ...] = ('RGB',)
    layout: str = 'npy'
    grid: SamplingGrid = field(default_factory=SamplingGrid)
    side: int = 112
    flow_method: str = 'tvl1'
    flow_bound: float = 20.0

    def __post_init__(self) -> None:
        if not self.modalities or set(self.modalities) - set(CHANNELS):
            raise ValueError(
                f'modalities must be some of {tuple(CHANNELS)}, got {self.modalities}'
            )
        if self.layout not in LAYOUTS:
            raise ValueError(f'layout must be one of {LAYOUTS}, got {self.layout!r}')
        if self.side < 16:
            raise ValueError(f'side must be at least 16 pixels, got {self.side}')
        if self.flow_method not in FLOW_METHODS:
            raise ValueError(
                f'flow_method must be one of {FLOW_METHODS}, got {self.flow_method!r}'
            )
        if not self.flow_bound > 0:
            raise ValueError(f'flow_bound must be positive, got {self.flow_bound}')

    def shape(self, modality: str) -> tuple[int, int, int]:
        """Returns the (H, W, C) of a frame of 'RGB' or 'Flow'."""
        return self.side, self.side, CHANNELS[modality]

    def folder(self, out_dir: Path, modality: str) -> Path:
        """Returns the folder of a modality, for example ``OUT/flow_npy``."""
        return out_dir / f'{modality.lower()}_{self.layout}'

    def target(self, out_dir: Path, modality: str, video_id: str) -> Path:
        """Returns the file or folder of a video.

        Args:
            out_dir (Path): Root of the output.
            modality (str): 'RGB' or 'Flow'.
            video_id (str): Id of the video.

        Returns:
            Path: Where :class:`~mmtal_mts.datasets.TALDataset` looks for it.

        Raises:
            UserError: If the id would lead out of the folder.
        """
        folder = self.folder(out_dir, modality)
        name = f'{video_id}.npy' if self.layout == 'npy' else video_id
        path = Path(os.path.normpath(folder / name))
        if Path(os.path.normpath(folder)) not in path.parents:
            raise UserError(f'video id {video_id!r} leads out of {folder}')
        return path

    def is_whole(self, path: Path, modality: str) -> bool:
        """Tells whether a video is there already, whole and of the right shape.

        Args:
            path (Path): From :meth:`target`.
            modality (str): 'RGB' or 'Flow'.

        Returns:
            bool: False for what is missing or damaged.
        """
        if self.layout == 'frames':
            # Folders get their name when they are complete.
            return path.is_dir()
        if not path.is_file():
            return False
        try:
            array = open_array(str(path), modality)
        except VideoReadError:
            return False
        wanted = self.grid.num_frames
        return array.shape[1:] == self.shape(modality) and wanted in (None, len(array))

    def num_bytes(self, modality: str, num_frames: int) -> int:
        """Estimates the disk space of a video.

        Args:
            modality (str): 'RGB' or 'Flow'.
            num_frames (int): Sampled frames.

        Returns:
            int: Bytes; exact for arrays.
        """
        values = self.side * self.side * CHANNELS[modality]
        if self.layout == 'npy':
            return num_frames * values + 128
        images = 1 if modality == 'RGB' else 2
        blocks = -(-values * _JPEG_BYTES // (images * _BLOCK))
        return int(num_frames * images * blocks * _BLOCK)

    def record(self, modality: str) -> dict[str, Any]:
        """Returns everything that the files of a modality depend on."""
        record = dict(
            **asdict(self.grid), side=self.side, modality=modality, layout=self.layout
        )
        if modality == 'Flow':
            record.update(flow_method=self.flow_method, flow_bound=self.flow_bound)
        return record

    def check_folder(self, out_dir: Path, modality: str) -> bool:
        """Makes sure that a folder holds only what these settings make.

        Args:
            out_dir (Path): Root of the output.
            modality (str): 'RGB' or 'Flow'.

        Returns:
            bool: Whether the folder has been claimed for these settings.

        Raises:
            UserError: If it holds something else.
        """
        folder = self.folder(out_dir, modality)
        remedy = 'Choose another output folder, or remove this one.'
        found = read_raw_record(folder)
        if found is None:
            if folder.is_dir() and any(
                not entry.name.startswith('.') for entry in folder.iterdir()
            ):
                raise UserError(
                    f'{folder} holds files, but no {RECORD_FILE} that says how they '
                    f'were made. {remedy}'
                )
            return False
        wanted = self.record(modality)
        if found != wanted:
            differences = ', '.join(
                f'{key} was {found.get(key)!r} and is now {wanted.get(key)!r}'
                for key in sorted(set(found) | set(wanted))
                if found.get(key) != wanted.get(key)
            )
            raise UserError(
                f'{folder} was extracted with other settings ({differences}). {remedy}'
            )
        return True

    def claim(self, out_dir: Path, modality: str) -> None:
        """Records the settings in a folder that :meth:`check_folder` accepts.

        Args:
            out_dir (Path): Root of the output.
            modality (str): 'RGB' or 'Flow'.
        """
        if self.check_folder(out_dir, modality):
            return
        path = self.folder(out_dir, modality) / RECORD_FILE
        write_json(path, self.record(modality))
