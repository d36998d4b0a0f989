"""Fusion of the raw outputs of several networks, and their evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from rich.progress import track

from mmtal_mts.evaluation.functional.raw_outputs import (
    RawOutputFolder,
    RawWindow,
    WindowKey,
    differences,
)
from mmtal_mts.models.detectors import (
    check_weights,
    predict_streams,
    refine_head_without_weights,
)
from mmtal_mts.models.utils import complete_test_cfg
from mmtal_mts.utils import UserError

_MAX_NAMED = 10


def fuse_streams(
    cfg: Config,
    folders: Sequence[str | os.PathLike],
    weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Averages raw outputs before softmax and decoding, and evaluates.

    That is what :class:`~mmtal_mts.models.TwoStreamTALMTS` does in one pass. A single
    folder is decoded and evaluated again, with the settings of the config.

    Args:
        cfg: Config with ``model.test_cfg`` and ``test_evaluator``.
        folders: Folders that ``tools/test.py --dump-raw`` wrote, one per network.
        weights: Weight of each network; None weighs all the same.

    Returns:
        The metrics by name.

    Raises:
        UserError: If windows are missing or do not match, or the config lacks
            something.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    if cfg.get('test_evaluator') is None:
        raise UserError(f'config {cfg.filename} has no test_evaluator')
    head = refine_head_without_weights(cfg.model)
    test_cfg = complete_test_cfg(cfg.model.get('test_cfg'))
    weights = check_weights(weights, len(folders))
    streams = [RawOutputFolder(folder) for folder in folders]
    check_windows(streams)
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = streams[0].dataset_meta
    for key in track(streams[0].keys, 'Fusing'):
        windows = [stream.load(key) for stream in streams]
        _check_match(key, windows, streams)
        sample = _sample(key, windows)
        predict_streams(
            head,
            [_batch_of_one(window) for window in windows],
            windows[0].facts['num_frames'],
            [sample],
            test_cfg,
            weights,
        )
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(len(streams[0].keys))


def check_windows(streams: Sequence[RawOutputFolder]) -> None:
    """Raises unless all networks saw the same windows and classes.

    Args:
        streams: Raw outputs of each network.

    Raises:
        UserError: The message names the windows.
    """
    first = streams[0]
    problems = []
    for other in streams[1:]:
        if other.dataset_meta != first.dataset_meta:
            problems.append(
                f'{first.path} was made with {first.dataset_meta}, {other.path} with '
                f'{other.dataset_meta}'
            )
        for one, two in ((first, other), (other, first)):
            lacking = sorted(set(one.keys) - set(two.keys))
            if lacking:
                problems.append(
                    f'{len(lacking)} windows of {one.path} are missing in '
                    f'{two.path}: {_names(lacking)}'
                )
    if problems:
        raise UserError(
            '\n'.join(problems) + '\nRemedy: test all networks with the same '
            'annotation, subset, clip_len, window_stride and sample_fps'
        )


def _names(keys: Sequence[WindowKey]) -> str:
    names = '; '.join(map(str, keys[:_MAX_NAMED]))
    more = len(keys) - _MAX_NAMED
    return f'{names}; and {more} more' if more > 0 else names


def _check_match(
    key: WindowKey, windows: Sequence[RawWindow], streams: Sequence[RawOutputFolder]
) -> None:
    for window, stream in zip(windows[1:], streams[1:]):
        found = differences(windows[0], window)
        if found:
            raise UserError(
                f'window {key} does not match in {streams[0].path} and '
                f'{stream.path}: {"; ".join(found)}'
            )


def _sample(key: WindowKey, windows: Sequence[RawWindow]) -> ActionDataSample:
    facts = windows[0].facts
    sample = ActionDataSample()
    sample.set_metainfo(
        dict(
            video_id=key.video_id,
            window_offset=facts.get('window_offset', key.window_offset),
            sample_fps=facts['sample_fps'],
            duration=facts['duration'],
            broken=any(window.facts['broken'] for window in windows),
        )
    )
    if facts['video_scores'] is not None:
        sample.set_metainfo(dict(video_scores=facts['video_scores']))
    return sample


def _batch_of_one(window: RawWindow) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(v) for name, v in window.outputs.items()}
    return {
        name: value if name == 'points' else value[None]
        for name, value in tensors.items()
    }
