"""Features of videos by the backbone of a config."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtal_mts.apis.device import usable_device
from mmtal_mts.apis.inference.batch import BatchReport
from mmtal_mts.apis.inference.progress import VideoProgress
from mmtal_mts.apis.inference.window_pipeline import WindowPipeline
from mmtal_mts.datasets.extraction import find_videos
from mmtal_mts.datasets.extraction.record import FolderRecord
from mmtal_mts.datasets.streaming import run_ahead
from mmtal_mts.datasets.transforms.stored_features import open_features
from mmtal_mts.datasets.transforms.video_readers import VideoReadError
from mmtal_mts.datasets.video_stream import VideoStream
from mmtal_mts.models.detectors.tal_mts import DATA_PREPROCESSOR
from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import load_model_weights
from mmtal_mts.utils.errors import error_message
from mmtal_mts.utils.io import atomic_write

RECORD_FILE = 'features.json'
"""Name of the file that says how the features of a folder were made."""


class FeatureExtractor:
    """Makes rows of features of a video.

    Row i stands for the snippet of sampled frames ``[i * stride, i * stride +
    window)``: the mean over time and space of the backbone's maps, joined. With
    ``dense`` the video is cut into clips of ``window`` frames instead, and every
    position in time of the first map becomes a row: several times faster, and what a
    detector of the same clips sees. Scaling, cropping and normalisation are those of
    the config's test pipeline.

    Args:
        cfg (Config): With ``model.backbone`` and ``test_dataloader``.
        weights (str, optional): Checkpoint of a training of this config. None: the
            backbone's own ``pretrained``.
        window (int): Frames of a snippet, or of a clip with ``dense``.
        stride (int): Frames from one snippet to the next; not used with ``dense``.
        dense (bool): See above.
        fps (float, optional): Sampled frames per second; None: those of the config.
        maps (Sequence[int], optional): Which maps of the backbone; None: the last.
        batch_size (int): Snippets or clips at a time.
        device (str, optional): See :func:`.usable_device`.
        frame_size (int, optional): See :class:`.WindowPipeline`.
        flow_method (str): See :class:`.WindowPipeline`.

    Attributes:
        channels (int): C of a row.
        row_stride (int): Sampled frames from one row to the next.
        fps (float): Sampled frames per second.
        settings (dict): Everything that the features depend on but the video.

    Raises:
        UserError: If the config, the weights or the device is unusable.
    """

    def __init__(
        self,
        cfg: Config,
        weights: str | None = None,
        *,
        window: int = 16,
        stride: int = 4,
        dense: bool = False,
        fps: float | None = None,
        maps: Sequence[int] | None = None,
        batch_size: int = 16,
        device: str | None = None,
        frame_size: int | None = None,
        flow_method: str = 'tvl1',
    ) -> None:
        if min(window, stride, batch_size) < 1:
            raise UserError(
                f'window={window}, stride={stride} and batch size {batch_size} must be '
                'positive'
            )
        if 'backbone' not in cfg.model:
            raise UserError(
                f'{cfg.filename}: model {cfg.model.type} has no backbone of its own. '
                'Remedy: extract with the config of each stream'
            )
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        self.window, self.dense, self.batch_size = window, dense, batch_size
        # From one clip to the next; what is dense does not overlap.
        self.hop = window if dense else stride
        self.device = usable_device(device)
        self.pipeline = self._pipeline(cfg, fps, frame_size, flow_method)
        self.fps = self.pipeline.dataset.sample_fps
        if weights is None and cfg.model.backbone.get('pretrained') is None:
            raise UserError(
                f'{cfg.filename}: the backbone would have random weights. Remedy: '
                '--weights CHECKPOINT, or --cfg-options model.backbone.pretrained=FILE'
            )
        backbone_cfg = copy.deepcopy(cfg.model.backbone)
        source = weights or backbone_cfg['pretrained']
        if weights is not None and 'pretrained' in backbone_cfg:
            backbone_cfg['pretrained'] = None
        self.backbone = MODELS.build(backbone_cfg)
        if weights is None:
            self.backbone.init_weights()
        else:
            load_model_weights(self.backbone, weights, prefix='backbone.')
        preprocessor = cfg.model.get('data_preprocessor') or DATA_PREPROCESSOR
        self.preprocessor = MODELS.build(preprocessor)
        self.backbone.to(self.device).eval()
        self.preprocessor.to(self.device)
        self.maps = tuple(maps or (-1,))
        rows_per_clip, self.channels = self._try(cfg)
        self.row_stride = window // rows_per_clip if dense else stride
        self.settings = dict(
            config=Path(cfg.filename or 'config').stem,
            weights=_fingerprint(source),
            window=window,
            stride=self.row_stride,
            dense=dense,
            fps=self.fps,
            maps=list(self.maps),
            channels=self.channels,
            modality=self.pipeline.dataset.modality,
            frame_size=frame_size,
            flow_method=flow_method,
        )

    def _pipeline(
        self, cfg: Config, fps: float | None, frame_size: int | None, flow_method: str
    ) -> WindowPipeline:
        """Snippets as the windows of the config's test data set."""
        cfg = copy.deepcopy(cfg)
        loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
        dataset = loader.get('dataset', {})
        while 'dataset' in dataset:
            dataset = dataset['dataset']
        dataset['clip_len'], dataset['window_stride'] = self.window, self.hop
        dataset['num_frames_per_video'] = None
        if fps is not None:
            dataset['sample_fps'] = fps
        return WindowPipeline.from_config(cfg, frame_size, flow_method)

    def _try(self, cfg: Config) -> tuple[int, int]:
        """Rows and channels of a grey clip; what does not fit is told at the start."""
        channels = cfg.model.backbone.get('in_channels', 3)
        side = cfg.get('crop_size')
        if side is None:
            raise UserError(f'{cfg.filename}: needs crop_size, the side of the frames')
        clip = torch.zeros(channels, self.window, side, side, dtype=torch.uint8)
        try:
            shape = self._rows([clip]).shape[1:]
        except (ValueError, RuntimeError, IndexError) as error:
            raise UserError(
                f'the backbone of {cfg.filename} does not take snippets of '
                f'{self.window} frames, or has no maps {list(self.maps)}: '
                f'{str(error).splitlines()[0]}. Remedy: another --window or --maps'
            ) from error
        if self.window % shape[0]:
            raise UserError(
                f'clips of {self.window} frames give {shape[0]} positions in time, '
                'which is no whole number of frames each. Remedy: another --window'
            )
        return shape

    @torch.inference_mode()
    def _rows(self, clips: Sequence[torch.Tensor]) -> np.ndarray:
        """(B, R, C) float32 rows of B clips (C, T, H, W) uint8."""
        data = self.preprocessor(dict(inputs=list(clips), data_samples=None))
        found = self.backbone(data['inputs'])
        parts = [found[i].float().mean(dim=(3, 4)) for i in self.maps]  # (B, C_i, T_i)
        if self.dense:
            length = parts[0].shape[2]
            parts = [F.interpolate(part, size=length) for part in parts]
        else:
            parts = [part.mean(dim=2, keepdim=True) for part in parts]
        return torch.cat(parts, dim=1).mT.cpu().numpy()

    def __call__(
        self, path: str, report: Callable[[int, int | None], None] | None = None
    ) -> np.ndarray:
        """Extracts one video.

        Args:
            path (str): Video file.
            report (Callable, optional): Called with the number of snippets that are
                done and, as far as it is known, of all.

        Returns:
            np.ndarray: (T, C) float32; a video shorter than a snippet has one row.

        Raises:
            VideoReadError: If it cannot be read.
        """
        stream = VideoStream(path)
        total = self.pipeline.estimate(stream)
        rows: list[np.ndarray] = []
        waiting: list[tuple[int, torch.Tensor]] = []
        done = 0
        clips = run_ahead(self._clips(stream, path), 2 * self.batch_size)
        for clip in clips:
            waiting.append(clip)
            done += 1
            if len(waiting) == self.batch_size:
                rows += self._batch(waiting)
                waiting = []
                if report is not None:
                    report(done, None if total is None else max(total, done))
        if waiting:
            rows += self._batch(waiting)
        if not rows:
            raise VideoReadError(f'{path}: no frames')
        return np.concatenate(rows)

    def _clips(
        self, stream: VideoStream, path: str
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yields the number of real frames of each clip, and its (C, T, H, W)."""
        sampler = self.pipeline.sampler(stream)
        frames = self.pipeline.prepare(sampler)
        for offset, images in clips_from(frames, self.window, self.hop):
            # Part of a snippet is none, but something must stand for a short video.
            if len(images) == self.window or self.dense or offset == 0:
                packed = self.pipeline.pack(offset, images, sampler.sample_fps, path)
                yield len(images), packed['inputs']

    def _batch(self, clips: Sequence[tuple[int, torch.Tensor]]) -> list[np.ndarray]:
        """Rows of some clips, without those that stand for padding."""
        rows = self._rows([clip for _, clip in clips])
        per_row = self.window // rows.shape[1]
        return [own[: max(count // per_row, 1)] for (count, _), own in zip(clips, rows)]


def clips_from(
    frames: Iterable[np.ndarray], length: int, hop: int
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Cuts frames into clips at every multiple of a hop.

    Args:
        frames (Iterable[np.ndarray]): Frames.
        length (int): Frames per clip.
        hop (int): Frames from one clip to the next, at most ``length``.

    Yields:
        tuple[int, list]: Offset and frames; the last clip may be shorter.

    Raises:
        ValueError: If the hop is larger than a clip.
    """
    if hop > length:
        raise ValueError(f'stride={hop} must not be larger than window={length}')
    held: list[np.ndarray] = []
    offset = 0
    for frame in frames:
        held.append(frame)
        if len(held) == length:
            yield offset, list(held)
            held = held[hop:]
            offset += hop
    # Of an overlapping clip only what no other clip has seen is worth a row.
    if len(held) > length - hop or (held and offset == 0):
        yield offset, held


def extract_features(
    extractor: FeatureExtractor,
    video_dir: str,
    out_dir: Path,
    ann_file: str | None = None,
    subsets: Sequence[str] | None = None,
) -> BatchReport:
    """Extracts the videos of a folder or of an annotation file, one file for each.

    Videos whose file is there already are skipped, so that the same command goes on
    after an interruption. A video that fails does not stop the others.

    Args:
        extractor (FeatureExtractor): What makes the features.
        video_dir (str): Folder of the video files.
        out_dir (Path): Folder to write ``VIDEO_ID.npy`` and ``features.json`` to.
        ann_file (str, optional): Annotation file; None takes all videos.
        subsets (Sequence[str], optional): Subsets of it; None takes all.

    Returns:
        BatchReport: What became of each video.

    Raises:
        UserError: If the input is unusable, or the folder holds other features.
    """
    videos, missing = find_videos(video_dir, ann_file, subsets)
    FolderRecord(out_dir, extractor.settings, RECORD_FILE).claim()
    report = BatchReport(failed=dict(missing))
    with VideoProgress(len(videos)) as progress:
        for video in videos:
            path = out_dir / f'{video.video_id}.npy'
            if _is_done(path, extractor.channels):
                report.skipped.append(video.video_id)
                progress.end(f'{video.video_id}: there already', 'dim')
                continue
            progress.begin(video.video_id)
            try:
                features = extractor(video.path, progress.windows)
                with atomic_write(path) as temporary:
                    np.save(temporary, features, allow_pickle=False)
            # Whatever is wrong with this video, the next one may be fine.
            except Exception as error:
                if os.environ.get('MMTAL_DEBUG') == '1':
                    raise
                report.failed[video.path] = error_message(error)
                progress.end(f'{video.video_id}: FAILED, {error_message(error)}', 'red')
                continue
            report.done.append(video.video_id)
            progress.end(f'{video.video_id}: {len(features)} rows')
    return report


def _is_done(path: Path, channels: int) -> bool:
    try:
        return open_features(str(path)).shape[1] == channels
    except VideoReadError:
        return False


def _fingerprint(source: str) -> str:
    """What changes when other weights are used: digest of a file, or an address."""
    if not os.path.isfile(source):
        return str(source)
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]
