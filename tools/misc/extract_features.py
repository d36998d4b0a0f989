"""Extracts features from videos with the backbone of a config.

OUT gets one (T, C) array per video, VIDEO_ID.npy, for TALFeatureDataset. Run the same
command again to go on after an interruption. The exit status is 1 if a video failed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from torch import nn

    from mmtal_mts.apis import CfgOptionsAction, find_config, load_config
    from mmtal_mts.apis.batch_inference import BatchReport, VideoProgress
    from mmtal_mts.apis.model_zoo import usable_device
    from mmtal_mts.apis.tal_inferencer import video_settings
    from mmtal_mts.datasets.flow import FLOW_METHODS
    from mmtal_mts.datasets.sources import claim_folder, find_videos
    from mmtal_mts.datasets.stored import open_array
    from mmtal_mts.datasets.video import VideoReader, VideoReadError
    from mmtal_mts.datasets.windows import video_windows
    from mmtal_mts.models.detectors.tal_mts import DATA_PREPROCESSOR
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.checkpoint import load_model_weights
    from mmtal_mts.utils.errors import error_message
    from mmtal_mts.utils.io import atomic_write
    from mmtal_mts.utils.processes import run_ahead
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file, or its name')
    add('videos', help='folder of the video files')
    add('out', type=Path, help='folder to write')
    add('--weights', help='checkpoint of a training (default: pretrained backbone)')
    add('--ann', metavar='FILE.json', help='only the videos of this annotation file')
    add('--subsets', nargs='+', help='only these subsets of it')
    add('--window', type=int, default=16, help='frames per snippet or clip (16)')
    add('--stride', type=int, default=4, help='frames between snippets (4)')
    add('--dense', action='store_true', help='a row per position in time of clips')
    add('--fps', type=float, help="sampled frames per second (the config's)")
    add('--maps', type=int, nargs='+', default=[-1], help='of the backbone (the last)')
    add('--batch-size', type=int, default=16, help='snippets at once (16)')
    add('--device', help='e.g. cpu or cuda:0 (default: a GPU if any)')
    add('--frame-size', type=int, help='side in pixels, for configs that read arrays')
    add('--flow-method', choices=FLOW_METHODS, default='tvl1', help='default: tvl1')
    add('--cfg-options', nargs='+', action=CfgOptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


class FeatureExtractor:
    """Makes rows of features of a video.

    Row i stands for the snippet of sampled frames ``[i * stride, i * stride +
    window)``: the mean over time and space of the backbone's maps, joined. With
    ``dense`` the video is cut into clips of ``window`` frames instead, and every
    position in time of the first map becomes a row. Scaling, cropping and
    normalisation are those of the config's test pipeline.

    Args:
        cfg: Config with ``model.backbone`` and ``test_dataloader``.
        args: Options of the command line.

    Attributes:
        settings: Everything that the features depend on but the video, among it
            ``channels`` of a row, ``fps`` of the sampled frames and the ``stride``
            from one row to the next.
    """

    def __init__(self, cfg: Config, args: argparse.Namespace) -> None:
        if min(args.window, args.stride, args.batch_size) < 1:
            raise UserError(
                f'window={args.window}, stride={args.stride} and batch size '
                f'{args.batch_size} must be positive'
            )
        if 'backbone' not in cfg.model:
            raise UserError(
                f'{cfg.filename}: model {cfg.model.type} has no backbone of its own. '
                'Remedy: extract with the config of each stream'
            )
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        self.args = args
        # From one clip to the next; what is dense does not overlap.
        self.hop = args.window if args.dense else args.stride
        dataset, self.sampling = video_settings(cfg, args.frame_size, args.flow_method)
        self.sampling.update(clip_len=args.window, num_frames_per_video=None)
        fps = self.sampling.get('sample_fps', 10) if args.fps is None else args.fps
        self.sampling['sample_fps'] = fps
        self.pipeline = Compose(dataset['pipeline'])
        self.backbone, weights = _build_backbone(cfg, args.weights)
        preprocessor = cfg.model.get('data_preprocessor') or DATA_PREPROCESSOR
        self.preprocessor = MODELS.build(preprocessor)
        for module in (self.backbone.eval(), self.preprocessor):
            module.to(usable_device(args.device))
        rows_per_clip, channels = self._try(cfg)
        given = ('window', 'dense', 'maps', 'frame_size', 'flow_method')
        self.settings = {name: getattr(args, name) for name in given}
        self.settings.update(weights=weights, fps=fps, channels=channels)
        self.settings['config'] = Path(cfg.filename or 'config').stem
        self.settings['modality'] = self.sampling.get('modality', 'RGB')
        self.settings['stride'] = self.hop // rows_per_clip

    def _try(self, cfg: Config) -> tuple[int, int]:
        """Rows and channels of a grey clip; what does not fit is said at the start."""
        side, window = cfg.get('crop_size'), self.args.window
        if side is None:
            raise UserError(f'{cfg.filename}: needs crop_size, the side of the frames')
        channels = cfg.model.backbone.get('in_channels', 3)
        clip = torch.zeros(channels, window, side, side, dtype=torch.uint8)
        try:
            num_rows, channels = self._rows([clip]).shape[1:]
        except (ValueError, RuntimeError, IndexError) as error:
            raise UserError(
                f'the backbone of {cfg.filename} does not take snippets of {window} '
                f'frames, or has no maps {self.args.maps}: '
                f'{str(error).splitlines()[0]}. Remedy: another --window or --maps'
            ) from error
        if window % num_rows:
            raise UserError(
                f'clips of {window} frames give {num_rows} positions in time, which is '
                'no whole number of frames each. Remedy: another --window'
            )
        return num_rows, channels

    @torch.inference_mode()
    def _rows(self, clips: Sequence[torch.Tensor]) -> np.ndarray:
        """(B, R, C) float32 rows of B clips (C, T, H, W)."""
        data = self.preprocessor(dict(inputs=list(clips), data_samples=None))
        found = self.backbone(data['inputs'])
        maps = [found[i].float().mean(dim=(3, 4)) for i in self.args.maps]  # (B, C, T)
        if self.args.dense:
            maps = [F.interpolate(part, size=maps[0].shape[2]) for part in maps]
        else:
            maps = [part.mean(dim=2, keepdim=True) for part in maps]
        return torch.cat(maps, dim=1).mT.cpu().numpy()

    def __call__(self, path: str, report: Callable = lambda *_: None) -> np.ndarray:
        """(T, C) float32 of a video; one shorter than a snippet has one row."""
        size, window = self.args.batch_size, self.args.window
        reader = VideoReader(path, num_threads=0)
        item = next(video_windows(reader, Path(path).stem, **self.sampling))
        count = reader.times.count(self.settings['fps'])
        offsets = clip_offsets(count, window, self.hop, self.args.dense)
        items = (dict(item, window_offset=offset) for offset in offsets)
        clips = run_ahead((self.pipeline(i)['inputs'] for i in items), 2 * size)
        rows: list[np.ndarray] = []
        while batch := list(islice(clips, size)):
            for own in self._rows(batch):
                # A clip that the video does not fill has rows of padding in the end.
                filled = min(window, count - offsets[len(rows)])
                rows.append(own[: max(filled * len(own) // window, 1)])
            report(len(rows), len(offsets))
        return np.concatenate(rows)


def _build_backbone(cfg: Config, weights: str | None) -> tuple[nn.Module, str]:
    """The backbone of a config with weights, and which they are."""
    backbone = cfg.model.backbone.copy()
    source = weights or backbone.get('pretrained')
    if not source:
        raise UserError(
            f'{cfg.filename}: the backbone would have random weights. Remedy: '
            '--weights CHECKPOINT, or --cfg-options model.backbone.pretrained=FILE'
        )
    if weights and 'pretrained' in backbone:
        backbone['pretrained'] = None
    model = MODELS.build(backbone)
    if weights:
        load_model_weights(model, weights, prefix='backbone.')
    else:
        model.init_weights()
    if os.path.isfile(source):
        source = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]
    return model, str(source)


def clip_offsets(count: int, length: int, hop: int, dense: bool = False) -> list[int]:
    """First frames of the clips of a video, at every multiple of a hop.

    A video that is shorter than a clip has one. With ``dense`` what is left in the end
    is one too, padded.
    """
    return [o for o in range(0, count, hop) if not o or dense or o + length <= count]


def extract_features(extractor: FeatureExtractor) -> BatchReport:
    """Extracts the videos of the command line, one file for each.

    Videos whose file is there already are skipped. A video that fails does not stop
    the others.
    """
    args = extractor.args
    videos, missing = find_videos(args.videos, args.ann, args.subsets)
    claim_folder(args.out, extractor.settings, 'features.json')
    report = BatchReport(failed=dict(missing))
    with VideoProgress(len(videos)) as progress:
        for name, video_path, _ in videos:
            path = args.out / f'{name}.npy'
            with suppress(VideoReadError):
                found = open_array(str(path), 'features')
                if found.shape[1] == extractor.settings['channels']:
                    report.skipped.append(name)
                    progress.end(f'{name}: there already', 'dim')
                    continue
            progress.begin(name)
            try:
                if args.out.resolve() not in path.resolve().parents:
                    raise UserError(f'id {name!r} leads out of {args.out}')
                features = extractor(video_path, progress.windows)
                with atomic_write(path) as temporary:
                    np.save(temporary, features, allow_pickle=False)
            # Whatever is wrong with this video, the next one may be fine.
            except Exception as error:
                if os.environ.get('MMTAL_DEBUG') == '1':
                    raise
                report.failed[video_path] = error_message(error)
                progress.end(f'{name}: FAILED, {error_message(error)}', 'red')
                continue
            report.done.append(name)
            progress.end(f'{name}: {len(features)} rows')
    return report


def main() -> None:
    """Extracts."""
    args = parse_args()
    cfg = load_config(find_config(args.config), args.cfg_options)
    extractor = FeatureExtractor(cfg, args)
    report = extract_features(extractor)
    print(
        '{}\nfeatures of {channels} channels, one row per {stride} frames at {fps:g} '
        'fps, are in {}'.format(report.summary(), args.out, **extractor.settings)
    )
    if report.failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
